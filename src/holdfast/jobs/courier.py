"""Delivers what is in the outbox for one channel, in a thread of its own: a hanging endpoint holds up nobody else."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from holdfast.jobs.services import Reporter
from holdfast.ledger import notifications as outbox
from holdfast.ledger.ledger import Ledger
from holdfast.model.errors import Error, LedgerError
from holdfast.notify.base import Channel, DeliveryError
from holdfast.system import logs
from holdfast.system.clock import Clock

PATIENCE = timedelta(hours=24)  # after that it is no news any more
_PAUSES = (15, 60, 300, 900, 3600)  # seconds; the last again and again
_MOST = 40  # tries; more than 24 hours hold, unless the clock was set back
_LEASE = timedelta(minutes=2)  # longer than a delivery may take
_LEDGER_PAUSE = 60.0


def again_at(attempts: int, at: datetime, now: datetime, retry_after: float | None) -> datetime | None:
    """When to try again what failed that often since `at`; None to give up."""
    late = now - at >= PATIENCE and attempts >= len(
        _PAUSES
    )  # the clock may have jumped: a few tries in any case
    if late or attempts >= _MOST:
        return None
    pause = _PAUSES[min(attempts, len(_PAUSES)) - 1]
    wanted = min(retry_after or 0, _PAUSES[-1])
    return now + timedelta(seconds=max(pause, wanted))


class Courier:
    """Sends to one channel. The thread starts at the first call, and sleeps while there is nothing to send."""

    def __init__(self, channel: Channel, ledger: Ledger, clock: Clock, reporter: Reporter) -> None:
        self.channel = channel
        self._ledger = ledger
        self._clock = clock
        self._reporter = reporter
        self._changed = threading.Condition()
        self._asked = self._served = 0
        self._stopped = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """There is something to send."""
        with self._changed:
            if self._stopped:
                return
            self._asked += 1
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name=f"notify {self.channel.name}", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """Begin nothing more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def settled(self, seconds: float) -> bool:
        """Wait until all that can be sent now was tried, and not for longer; return whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: self._served == self._asked, max(seconds, 0))

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread, and not for longer. What hangs is left behind; its lease runs out."""
        if self._thread is not None:
            self._thread.join(max(seconds, 0))

    def _run(self) -> None:
        while not self._stopped:
            asked, pause = self._asked, _LEDGER_PAUSE
            try:
                due = outbox.claim(self._ledger, self.channel.name, self._clock.now(), lease=_LEASE)
                if due is not None:
                    self._deliver(due)
                    continue
                at = outbox.next_try(self._ledger, self.channel.name)
                pause = threading.TIMEOUT_MAX if at is None else (at - self._clock.now()).total_seconds()
            except LedgerError as error:
                if not self._stopped:
                    self._warn("notifications cannot be read or recorded", error)
            self._sleep(asked, pause)

    def _sleep(self, served: int, seconds: float) -> None:
        """Wait until somebody calls, or for the time to try again."""
        with self._changed:
            self._served = served
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stopped or self._asked != served, _bounded(seconds))

    def _deliver(self, due: outbox.Due) -> None:
        event = due.event
        run = {} if event.run_id is None else {"run_id": event.run_id}
        with logs.about(kind=event.kind, job=event.job, target=event.target, **run):
            self._send(due)

    def _send(self, due: outbox.Due) -> None:
        name = self.channel.name
        try:
            complaint = self.channel.send(due.event)
        except Exception as error:  # noqa: BLE001 - whatever a channel does, the others and the runs go on
            retry_after = error.retry_after if isinstance(error, DeliveryError) else None
            now = self._clock.now()
            at = again_at(due.attempts, due.at, now, retry_after)
            said = logs.redacted(str(error) if isinstance(error, Error) else repr(error))
            self._warn(
                "a notification was given up" if at is None else "a notification failed",
                error,
                attempt=due.attempts,
                again_at=None if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}",
            )
            outbox.failed(self._ledger, name, due.id, error=said, again_at=at, now=now)
            return
        outbox.delivered(self._ledger, name, due.id, self._clock.now())
        if complaint is not None:
            self._reporter.warn("a notification reached only some", channel=name, error=complaint)

    def _warn(self, event: str, error: Exception, **facts: object) -> None:
        said = str(error) if isinstance(error, Error) else repr(error)
        hint = {"hint": error.hint} if isinstance(error, Error) and error.hint else {}
        self._reporter.warn(event, channel=self.channel.name, **facts, error=said, **hint)


def _bounded(seconds: float) -> float:
    return min(max(seconds, 1.0), threading.TIMEOUT_MAX)
