"""The daemon: enters the scheduler and what it drives, watches over them, rereads the config, and leaves in good order.

APScheduler keeps the times and wakes the dispatcher; what is due then, the dispatcher decides from the ledger. The main
thread goes by the monotonic clock, so that it notices when the other one is set.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from holdfast import __version__, app
from holdfast.config.loading import Config
from holdfast.jobs import monitoring
from holdfast.jobs.dispatch import Dispatcher
from holdfast.jobs.lookout import Lookout
from holdfast.jobs.services import Reporter
from holdfast.jobs.setup import Setup
from holdfast.ledger import probes, scheduling
from holdfast.ledger.ledger import Ledger
from holdfast.ledger.probes import Tried
from holdfast.ledger.scheduling import Key
from holdfast.metrics import endpoint
from holdfast.metrics.host import Surroundings
from holdfast.model.errors import CancelledError, ConfigError, Error
from holdfast.render.words import many
from holdfast.stores.base import hurry
from holdfast.system import lock, logs, memory, service, signals
from holdfast.system.clock import JumpWatch, SystemClock
from holdfast.system.stop import Stop

_LOOK = 1.0
_TICK = 10.0
_STALLED = 60.0
_WRITE = 60.0
_STOP_SECONDS = 8.0  # of the ten that a stop may take
_LAST_WORDS = 1.0  # for the ledger, after those
_NOTIFY_SECONDS = 1.0  # of those
_STORES: Key = ("catalog", "all")


def run(path: Path | None, overrides: Sequence[str], *, reporter: Reporter, quiet: bool) -> None:
    """Be the daemon until told to end. Raise BusyError when another one runs on the same state directory."""
    memory.begin()
    stop = Stop()
    hangups: queue.SimpleQueue[None] = queue.SimpleQueue()  # unlike Event, safe in signal handlers
    with ExitStack() as held:
        # Before the config is read: a hangup that comes meanwhile has it read again.
        held.enter_context(signals.stopping(stop, on_hangup=lambda: hangups.put(None)))
        loaded = app.read_config(path, overrides)
        _configure_logs(loaded, quiet=quiet)
        held.enter_context(_alone(loaded))
        ledger = held.enter_context(_ledger(loaded))
        daemon = _Daemon(loaded, ledger, stop, reporter)
        with daemon.running():
            while not stop.wait(_LOOK):
                daemon.look()
                if not hangups.empty():
                    hangups.get()
                    daemon.reload(path, overrides, quiet=quiet)
        if daemon.left:
            os._exit(Error.exit_code)
    if stop.error is not None and not isinstance(stop.error, CancelledError):
        raise stop.error


def _configure_logs(loaded: Config, *, quiet: bool) -> None:
    logs.configure(format=loaded.daemon.log_format, level=loaded.daemon.log_level, quiet=quiet)


@contextmanager
def _alone(loaded: Config) -> Iterator[None]:
    """Hold the place of the one daemon of a state directory."""
    since = SystemClock().now().strftime("%Y-%m-%dT%H:%M:%SZ")
    holder = f"the daemon with process number {os.getpid()} on {socket.gethostname()} since {since}"
    state = loaded.daemon.state_dir
    hint = "One daemon at a time: end that one first (`systemctl stop holdfast`); commands work beside it."
    with lock.exclusive(state / "daemon.lock", what=f"the state directory {state}", holder=holder, hint=hint):
        yield


@contextmanager
def _ledger(loaded: Config) -> Iterator[Ledger]:
    with Ledger.open(loaded.ledger_file, now=SystemClock().now()) as ledger:
        yield ledger


class _Daemon:
    """The parts of a running daemon. `left` are the threads that did not end in time.

    The main thread never touches the ledger once it runs: waiting for one that is locked, it would hear no signal.
    """

    def __init__(self, loaded: Config, ledger: Ledger, stop: Stop, reporter: Reporter) -> None:
        self._config, self._configured = loaded, loaded.configured()
        self._ledger = ledger
        ledger.needed, ledger.among = self._configured.copies, self._configured.targets
        self._stop = stop
        self._reporter = reporter
        self._clock = SystemClock()
        self._hurrying = ExitStack()
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            # In the scheduler's own thread: all that it does is to put a question into the dispatcher's queue.
            executors={"default": DebugExecutor()},
            job_defaults={"misfire_grace_time": None, "coalesce": True},
        )
        self._notifier = app.make_notifier(ledger, reporter, seconds=_NOTIFY_SECONDS)
        before = scheduling.daemon(ledger)
        self._watch = JumpWatch(self._clock, before.tick_at if before is not None else None)
        self._dispatcher = Dispatcher(
            setup=self._setup(loaded), stop=stop, alarm=self._alarm, watched_since=self._clock.now()
        )
        self._hurrying.enter_context(stop.calling(self._hurry))
        self._notify(loaded, self._dispatcher.setup)
        self._status = _status(self._dispatcher.setup)
        self._ticked = self._answered = self._written = self._clock.monotonic()
        self._stores: tuple[Tried, ...] = ()  # not yet in the ledger
        self._up: dict[str, bool] = {}
        self._lookout = Lookout()
        self.left: list[str] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Begin with everything; at the end leave in reverse, in the time that a stop may take."""
        setup, now = self._dispatcher.setup, self._clock.now()
        scheduling.started(
            self._ledger, now=now, version=__version__, host=setup.services.host, pid=setup.services.pid
        )
        scheduling.configure(self._ledger, tuple(setup.targets), setup.planned, now)
        deciding = threading.Thread(target=self._dispatcher.run, name="dispatcher", daemon=True)
        with self._hurrying, self._answering():
            self._scheduler.start()
            self._begin_ticking()
            deciding.start()
            self._look_through(setup, first=True)
            self._dispatcher.look_at_all()
            self._dispatcher.ask(self._notifier.look)
            service.ready(self._status)
            self._reporter.info("the daemon is ready", version=__version__, status=self._status)
            try:
                yield
            finally:
                service.stopping()
                self._stop.request()
                self._scheduler.shutdown(wait=False)
                self._dispatcher.ask(lambda: scheduling.stopped(self._ledger, self._clock.now()))
                self._dispatcher.close()
                until = self._clock.monotonic() + _STOP_SECONDS
                self._notifier.close()  # while the runs wind down
                self.left = self._dispatcher.wait(until - self._clock.monotonic())
                deciding.join(until + _LAST_WORDS - self._clock.monotonic())
                self.left += [deciding.name] if deciding.is_alive() else []
                left = {"left": ", ".join(self.left)} if self.left else {}
                self._reporter.info("the daemon has ended", **left)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Serve the metrics, and try the stores. Address, certificate and login are those of the start."""
        config = self._config
        watched = monitoring.Monitoring(
            ledger_file=config.ledger_file,
            surroundings=Surroundings(
                version=__version__,
                state_dir=config.daemon.state_dir,
                certificate=config.daemon.tls_certificate_file,
            ),
            configured=lambda: self._configured,
            clock=self._clock,
        )
        serving = endpoint.serving(
            config.listen_address,
            watched.metrics,
            watched.problems,
            lambda: watched.problems() or (("the daemon is about to end",) if self._stop.requested else ()),
            tls=config.tls,
            auth=config.login(),
        )
        probing = monitoring.probing(lambda: self._dispatcher.setup.services, self._stop, self._tried)
        with serving as (host, port), probing:
            self._reporter.info("metrics are served", host=host, port=port)
            yield

    def _tried(self, found: tuple[Tried, ...]) -> None:
        """Have written down how the stores are: what is new at once, else with the next tick, for the disk's sleep."""
        self._stores, before = found, self._up
        self._up = {each.store: each.error is None for each in found}
        if self._up != before:
            self._dispatcher.ask(self._record_stores)

    def _record_stores(self) -> None:
        found, self._stores = self._stores, ()
        if found:
            probes.record(self._ledger, found)

    def look(self) -> None:
        """See to the clock, the scheduler and systemd; once a minute tell the ledger."""
        jump = self._watch.look()
        if jump:
            self._reporter.warn("the clock jumped, or the machine slept", seconds=round(jump.total_seconds()))
            self._record_config(self._dispatcher.setup)
            self._begin_ticking()
            self._dispatcher.look_at_all()
        passed = self._clock.monotonic()
        if self._ticked != self._answered:
            self._answered = self._ticked
            service.alive()
        if passed - self._ticked < _STALLED and (passed - self._written >= _WRITE or jump):
            self._written = passed
            now, suspect = self._clock.now(), self._watch.suspect
            self._dispatcher.ask(lambda: scheduling.ticked(self._ledger, now, clock_suspect=suspect))
            self._dispatcher.ask(self._record_stores)
            self._dispatcher.ask(self._notifier.look)
        self._look_through(self._dispatcher.setup)

    def _look_through(self, setup: Setup, *, first: bool = False) -> None:
        """Fill a ledger that is new, and have the stores looked through where others write; a first backup may be owed a test."""
        due = self._lookout.is_due(setup, self._clock.monotonic())

        def work() -> None:
            if first:
                app.fill(setup.services)
            if due and self._lookout.look(setup.services):
                self._dispatcher.look_at_all()

        if first or due:
            self._dispatcher.also(_STORES, work)

    def reload(self, path: Path | None, overrides: Sequence[str], *, quiet: bool) -> None:
        """Work by the config as it is now; one with anything wrong in it is refused whole."""
        service.reloading()
        now = self._clock.now()
        try:
            loaded = app.read_config(path, overrides)
            if loaded.daemon.state_dir != self._config.daemon.state_dir:
                raise ConfigError(
                    "daemon.state_dir cannot change while the daemon runs",
                    hint="Restart it in place of reloading.",
                )
            setup = self._setup(loaded)
        except Error as error:
            said = error.message
            status = f"{self._status}; the new config is refused, the log says why"
            self._reporter.warn("the new config is refused, the old one goes on", error=said)
            self._dispatcher.ask(lambda: scheduling.reloaded(self._ledger, now, said))
        else:
            _configure_logs(loaded, quiet=quiet)
            self._config, self._configured = loaded, loaded.configured()
            self._ledger.needed, self._ledger.among = self._configured.copies, self._configured.targets
            status = self._status = _status(setup)
            self._record_config(setup)
            self._dispatcher.change(setup)
            self._notify(loaded, setup)
            self._dispatcher.ask(lambda: scheduling.reloaded(self._ledger, now))
            self._reporter.info("the config was read again", status=self._status)
        service.ready_again(status)

    def _setup(self, loaded: Config) -> Setup:
        services = app.make_services(loaded, self._ledger, self._reporter, watcher=self._notifier)
        whole = app.App(config=loaded, services=services, targets=loaded.targets(), stop=self._stop)
        if any(target.backup is not None for target in whole.targets):
            services = whole.writing_services()
        return Setup.of(services, whole.targets, loaded.daemon.max_dumps)

    def _hurry(self) -> None:
        for services in self._dispatcher.in_use():
            hurry(services.stores.values())

    def _notify(self, loaded: Config, setup: Setup) -> None:
        self._notifier.use(loaded.subscriptions(), setup.planned)

    def _record_config(self, setup: Setup) -> None:
        now = self._clock.now()
        self._dispatcher.ask(
            lambda: scheduling.configure(self._ledger, tuple(setup.targets), setup.planned, now)
        )

    def _alarm(self, key: Key, at: datetime) -> None:
        self._scheduler.add_job(
            self._dispatcher.look,
            DateTrigger(at, timezone=UTC),
            args=[key],
            id=" ".join(key),
            replace_existing=True,
        )

    def _begin_ticking(self) -> None:
        """Tick from now on: after the clock was set back, the next tick would be as far away as that."""
        self._scheduler.add_job(
            self._tick, IntervalTrigger(seconds=_TICK, timezone=UTC), id="tick", replace_existing=True
        )

    def _tick(self) -> None:
        self._ticked = self._clock.monotonic()


def _status(setup: Setup) -> str:
    """One line for systemctl."""
    return f"{many(len(setup.targets), 'target')}, {many(len(setup.timetables), 'schedule')}"
