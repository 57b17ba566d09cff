"""Starts what is due: one thread decides, each run has a thread of its own, and what cannot start yet waits in order.

The ledger tells what was done and the clock what is owed, so nothing is lost when a wake-up comes late, twice or never:
every decision is made anew from both.
"""

from __future__ import annotations

import dataclasses
import functools
import queue
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from traceback import format_exception

from holdfast.jobs import lost, scheduled
from holdfast.jobs.scheduled import Kind, Pool
from holdfast.jobs.services import Services
from holdfast.jobs.setup import Setup
from holdfast.ledger import scheduling
from holdfast.ledger.ledger import LedgerGoneError
from holdfast.ledger.scheduling import Key
from holdfast.model.errors import Error
from holdfast.model.planning import Plan, Standing, plan
from holdfast.model.run import Occasion
from holdfast.postgres import conninfo
from holdfast.system import memory
from holdfast.system.clock import JumpWatch
from holdfast.system.stop import Stop

_AGAIN = timedelta(minutes=1)
_TESTS_AT_ONCE, _REST_AT_ONCE = 1, 2  # a test makes a cluster, and works both cores and the disk
_PLACE = ("service", "host", "hostaddr", "port")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """Something to be done in a thread, when its pool has room and nothing else burdens its servers."""

    key: Key
    pool: Pool
    servers: frozenset[str]
    work: Callable[[], object] | None  # None: what the plan says when its turn has come


@dataclass(slots=True)
class _Running:
    task: _Task
    services: Services
    thread: threading.Thread


@dataclass(slots=True)
class Dispatcher:
    """Runs the jobs of a setup. `alarm` is asked to call `look(key)` at a time; a later one replaces an earlier.

    `watched_since` is since when somebody was there: a sleep of the machine, or a clock set forward, begins it anew.
    """

    setup: Setup
    stop: Stop
    alarm: Callable[[Key, datetime], None]
    watched_since: datetime
    _asked: queue.SimpleQueue[Callable[[], None] | None] = field(default_factory=queue.SimpleQueue)
    _waiting: dict[Key, _Task] = field(default_factory=dict)
    _running: dict[Key, _Running] = field(default_factory=dict)
    _servers: dict[str, str] = field(default_factory=dict)
    _settled: bool = False
    _watch: JumpWatch = field(init=False)

    def __post_init__(self) -> None:
        """Begin to watch the clock."""
        self._watch = JumpWatch(self.setup.services.clock)

    # Asked by any thread; none of these waits.

    def look(self, key: Key) -> None:
        """See whether a job is due."""
        self._asked.put(lambda: self._look([key]))

    def look_at_all(self) -> None:
        """See which jobs are due."""
        self._asked.put(lambda: self._look(self.setup.timetables))

    def change(self, setup: Setup) -> None:
        """Work by another config from now on."""

        def change() -> None:
            self.setup = setup
            self._waiting = {
                key: task for key, task in self._waiting.items() if task.work or key in setup.timetables
            }
            self._look(setup.timetables)

        self._asked.put(change)

    def also(self, key: Key, work: Callable[[], object]) -> None:
        """Do something once, beside what is planned."""

        def queue_up() -> None:
            self._waiting[key] = _Task(key=key, pool="rest", servers=frozenset(), work=work)

        self._asked.put(queue_up)

    def ask(self, step: Callable[[], None]) -> None:
        """Have something short done by the thread that decides, such as a word to the ledger."""
        self._asked.put(step)

    def in_use(self) -> list[Services]:
        """The services of the setup, and those of the runs that began with an earlier one."""
        found = [self.setup.services, *(running.services for running in list(self._running.values()))]
        return list({id(services): services for services in found}.values())

    def close(self) -> None:
        """Begin nothing more. What runs is told by the stop token."""
        self._asked.put(None)

    def wait(self, seconds: float) -> list[str]:
        """Wait until nothing runs any more; name what still does after that time."""
        deadline = time.monotonic() + seconds
        left = list(self._running.values())
        for running in left:
            running.thread.join(max(0.0, deadline - time.monotonic()))
        return [running.thread.name for running in left if running.thread.is_alive()]

    # Done by the one thread that decides.

    def run(self) -> None:
        """Decide until `close`. What makes that impossible ends the whole daemon: a silent one would be worse."""
        try:
            self._guarded(self._settle_lost)
            while (asked := self._asked.get()) is not None:
                self._guarded(asked)
                self._guarded(self._begin_waiting)
        except LedgerGoneError as error:
            self.stop.request(error)
        except Exception as error:  # noqa: BLE001 - the end of a thread
            hint = "This is a bug in Holdfast; please report it with the lines above."
            self.setup.services.reporter.warn(
                "the dispatcher broke off", error="".join(format_exception(error))
            )
            self.stop.request(Error(f"internal error in the dispatcher: {error!r}", hint=hint))

    def _guarded(self, step: Callable[[], None]) -> None:
        """Take a step. When the ledger is locked, or its disk is full, look at everything again in a while."""
        try:
            step()
        except LedgerGoneError:
            raise
        except Error as error:
            self.setup.services.reporter.warn("could not plan; trying again", error=str(error))
            again = self.setup.services.clock.now() + _AGAIN
            for key in self.setup.timetables:
                if key not in self._running:
                    self.alarm(key, again)

    def _look(self, keys: Collection[Key]) -> None:
        """Put what is due into the queue, and arrange for a look at the rest when its time comes."""
        if not self._settled:
            self._settle_lost()
        later: dict[Key, datetime] = {}
        for key in keys:
            if key in self._waiting or key in self._running or key not in self.setup.timetables:
                continue
            found = self._plan(key)
            later[key] = found.look_at
            if found.due is not None:
                kind = self.setup.kinds[key[0]]
                self._waiting[key] = _Task(
                    key=key, pool=kind.pool, servers=self._server(kind, key), work=None
                )
            else:
                self.alarm(key, found.look_at)
        if later:
            scheduling.plan_next(self.setup.services.ledger, later)

    def _plan(self, key: Key) -> Plan:
        services, now = self.setup.services, self.setup.services.clock.now()
        if self._watch.look() > timedelta():  # an alarm may be quicker than the main thread to notice
            self.watched_since = now
        timetable = self.setup.timetables[key]
        standing = Standing(
            since=scheduling.since(services.ledger, key) or now,
            watched_since=self.watched_since,
            history=scheduling.history(services.ledger, key, now),
            pause=scheduling.pauses(services.ledger).get(key[1]),
        )
        found = self._first(key, plan(timetable, key[1], standing, now), standing, now)
        if found.missed:
            services.reporter.warn("runs were missed", job=key[0], target=key[1], count=len(found.missed))
            reason = "nobody was there, or the run before took too long"
            scheduling.record_missed(
                services.ledger, key, found.missed, now=now, host=services.host, reason=reason
            )
        return found

    def _first(self, key: Key, found: Plan, standing: Standing, now: datetime) -> Plan:
        """A job that was never done may be owed at once, in a slot of its own."""
        paused = standing.pause is not None and standing.pause.holds(now)
        kind, target = self.setup.kinds[key[0]], self.setup.targets[key[1]]
        if found.due is not None or paused or not kind.first(self.setup.services, target):
            return found
        return dataclasses.replace(found, due=Occasion(trigger="schedule", slot=now.replace(microsecond=0)))

    def _begin_waiting(self) -> None:
        for key, task in list(self._waiting.items()):
            if self.stop.requested:
                return
            if not self._has_room(task):
                continue
            del self._waiting[key]
            work = task.work or self._work(key)
            if work is not None:
                self._begin(task, work)

    def _has_room(self, task: _Task) -> bool:
        if task.key in self._running:
            return False
        tasks = [running.task for running in self._running.values()]
        limit = {"dumps": self.setup.max_dumps, "tests": _TESTS_AT_ONCE, "rest": _REST_AT_ONCE}[task.pool]
        if sum(1 for other in tasks if other.pool == task.pool) >= limit:
            return False
        return not any(task.servers & other.servers for other in tasks)

    def _work(self, key: Key) -> Callable[[], object] | None:
        """What a job owes now, which may be another slot than when it began to wait, or nothing."""
        found = self._plan(key)
        if found.due is None:
            self.alarm(key, found.look_at)
            return None
        services, target = self.setup.services, self.setup.targets[key[1]]
        return functools.partial(
            scheduled.execute, self.setup.kinds[key[0]], services, target, self.stop, found.due
        )

    def _begin(self, task: _Task, work: Callable[[], object]) -> None:
        def body() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the end of a thread: a bug must not stop the others
                job, target = task.key
                self.setup.services.reporter.warn(
                    "a run broke off", job=job, target=target, error=repr(error)
                )
                self._asked.put(lambda: self._broke_off(task.key))
            else:
                self._asked.put(lambda: self._ended(task.key))

        thread = threading.Thread(target=body, name=" ".join(task.key), daemon=True)
        self._running[task.key] = _Running(task=task, services=self.setup.services, thread=thread)
        thread.start()

    def _ended(self, key: Key) -> None:
        self._running.pop(key, None)
        if not self._running:
            memory.give_back()
        self._servers = scheduling.servers(self.setup.services.ledger)
        self._look([key, *(other for other in self.setup.timetables if other[1] == key[1] and other != key)])

    def _broke_off(self, key: Key) -> None:
        """The ledger may know nothing of this attempt, so that it seems to be due at once: take a breath."""
        self._running.pop(key, None)
        self.alarm(key, self.setup.services.clock.now() + _AGAIN)

    def _server(self, kind: Kind, key: Key) -> frozenset[str]:
        """What tells a server from others: its address, and its identifier once that is known."""
        if kind.pool != "dumps":
            return frozenset()
        target = self.setup.targets[key[1]]
        if target.url is None and target.supabase is not None:
            return frozenset({target.supabase.ref, self._servers.get(key[1], target.supabase.ref)})
        where = conninfo.parse(target.url, password=target.password)
        place = {name: where.params[name] for name in _PLACE if name in where.params}
        address = dataclasses.replace(where, params=place).safe
        return frozenset({address, self._servers.get(key[1], address)})

    def _settle_lost(self) -> None:
        services = self.setup.services
        self._servers = scheduling.servers(services.ledger)
        for target in lost.settle(services, self.setup.targets):
            key: Key = ("backup", target.name)  # no backup of it begins meanwhile
            work = functools.partial(lost.sweep_up, services, target)
            self._waiting[key] = _Task(key=key, pool="rest", servers=frozenset(), work=work)
        self._settled = True
