"""Tells the channels what is news, once each: the daemon's and the commands' one way to notify."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from holdfast.jobs import forgotten, silence
from holdfast.jobs.checks.finding import Finding
from holdfast.jobs.courier import PATIENCE, Courier
from holdfast.jobs.news import Desk, News
from holdfast.jobs.services import Reporter
from holdfast.ledger import notifications as outbox
from holdfast.ledger import standings
from holdfast.ledger.ledger import Ledger
from holdfast.ledger.standings import Key, Last
from holdfast.model.errors import Error, NotifyError
from holdfast.model.event import Event, Kind
from holdfast.model.planning import Timetable
from holdfast.model.run import Run
from holdfast.notify.base import Channel
from holdfast.system import logs
from holdfast.system.clock import Clock

_TIDY = 86400.0
_LEDGER: Key = ("catalog", "")
_JOIN = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A channel and what it is to be told: kinds of events, of which jobs and (None: all) targets."""

    channel: Channel
    on: frozenset[Kind]
    jobs: frozenset[str]
    targets: frozenset[str] | None = None

    def wants(self, kind: Kind, key: Key) -> bool:
        """Whether the channel is to be told."""
        job, target = key
        if job == "catalog":  # of the host's ledger, which all its targets and jobs have in common
            return ("failure" if kind == "loss" else kind) in self.on
        return kind in self.on and job in self.jobs and (self.targets is None or target in self.targets)


@dataclass(slots=True, kw_only=True)
class Notifier:
    """Tells of runs, from any thread. No method raises, or waits for anything but the ledger and `close` for `seconds`.

    What is not delivered when its `with` ends stays in the outbox, for the daemon or the next command.
    """

    ledger: Ledger
    clock: Clock
    reporter: Reporter
    host: str
    seconds: float
    _subscriptions: tuple[Subscription, ...] = ()
    _timetables: Mapping[Key, Timetable] = field(default_factory=dict)
    _couriers: dict[str, Courier] = field(default_factory=dict)
    _settled: dict[Key, Last] = field(default_factory=dict)
    _tidied: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def use(
        self, subscriptions: Sequence[Subscription], timetables: Mapping[Key, Timetable] | None = None
    ) -> None:
        """Work by this config from now on. `timetables` tell what is tried again."""
        for courier in self._couriers.values():
            courier.stop()
        self._couriers = {
            each.channel.name: Courier(each.channel, self.ledger, self.clock, self.reporter)
            for each in subscriptions
        }
        self._subscriptions, self._timetables = tuple(subscriptions), dict(timetables or {})
        self._settled.clear()

    def begun(self, run: Run) -> None:
        """Take note that a run has begun: monitors are told."""
        if not self._subscriptions or not standings.counts(run):
            return
        with self._guarded():
            key: Key = (run.job, run.target)
            told = f"start {run.id}."
            self._tell(key, [News(event=self._desk().event("start", key, run), key=told, monitors_key=told)])

    def ended(self, run: Run) -> None:
        """Take note that a run has ended, however that was."""
        if not self._subscriptions or not standings.counts(run):
            return
        with self._guarded():
            key: Key = (run.job, run.target)
            desk = self._desk()
            self._tell(key, desk.of(key, standings.last(self.ledger, key)))
            self._tell(_LEDGER, forgotten.news(desk))

    def look(self) -> None:
        """See what has become news by the time alone, and what other processes left behind; about once a minute."""
        if not self._subscriptions:
            return
        with self._guarded():
            passed = self.clock.monotonic()
            desk, found = self._desk(), standings.lasts(self.ledger)
            for key, last in found.items():
                if last.failing or self._settled.get(key) != last:
                    self._tell(key, desk.of(key, last))
                    self._settled[key] = last
            self._tell(_LEDGER, forgotten.news(desk))
            for news in (*desk.overdue(found), *silence.news(desk, found)):
                self._tell((news.event.job, news.event.target), [news])
            for channel in outbox.waiting(self.ledger, desk.now) & self._couriers.keys():
                self._couriers[channel].wake()
            if self._tidied is None or passed - self._tidied >= _TIDY:
                self._tidied = passed
                outbox.begin_counting(self.ledger, self._couriers)
                outbox.tidy(self.ledger, self._couriers, desk.now, patience=PATIENCE)

    def close(self) -> None:
        """Deliver what can be delivered in time, and end."""
        until = self.clock.monotonic() + self.seconds
        couriers = list(self._couriers.values())
        for courier in couriers:
            courier.settled(until - self.clock.monotonic())
        for courier in couriers:
            courier.stop()
        until = self.clock.monotonic() + _JOIN
        for courier in couriers:
            courier.join(until - self.clock.monotonic())

    def _desk(self) -> Desk:
        return Desk(ledger=self.ledger, timetables=self._timetables, host=self.host, now=self.clock.now())

    def _tell(self, key: Key, found: Iterable[News]) -> None:
        """Put news into the outbox for all who want it and do not have it."""
        for news in found:
            for each in self._subscriptions:
                if each.wants(news.event.kind, key):
                    self._put(each.channel, news)

    def _put(self, channel: Channel, news: News) -> None:
        told = news.monitors_key if channel.monitors else news.key
        if not told or outbox.has(self.ledger, channel.name, told):
            return
        if news.after and not any(outbox.has_like(self.ledger, channel.name, each) for each in news.after):
            return
        event = news.event
        if channel.monitors and event.kind != "start":
            event = dataclasses.replace(event, log=logs.tail(event.target, event.started_at))
        if outbox.put(self.ledger, channel.name, told, event, newest_only=channel.monitors):
            self._couriers[channel.name].wake()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """A notification never changes a run: what fails here is said, and that is all."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - see above; a bug here is no reason for a backup to fail
            said = str(error) if isinstance(error, Error) else repr(error)
            self.reporter.warn("notifications could not be put into the outbox", error=said)


def try_out(channels: Iterable[Channel], host: str, clock: Clock) -> Iterator[Finding]:
    """Send a test event through each channel, one after the other, and tell how that went."""
    for channel in channels:
        event = Event(kind="test", job="backup", target="test", host=host, at=clock.now())
        subject = f"notify {channel.name}"
        try:
            complaint = channel.send(event)
        except NotifyError as error:
            yield Finding(level="fail", subject=subject, message=error.message, hint=error.hint)
        else:
            message = complaint or "delivered"
            yield Finding(level="warn" if complaint else "ok", subject=subject, message=message)
