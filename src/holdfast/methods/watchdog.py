"""Watches over a dump while it runs: that nobody waits behind its locks for long, and that the lock session lives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from holdfast.model.errors import Error, SourceError
from holdfast.postgres import server
from holdfast.postgres.conninfo import Conninfo
from holdfast.system.stop import Stop

_TICK = 5.0
_TICKS_A_LIMIT = 4


@contextmanager
def watching(
    conninfo: Conninfo, *, application_name: str, limit: float | None, stop: Stop, warn: Callable[[str], None]
) -> Iterator[None]:
    """Request the stop when a session has waited `limit` seconds for a lock of the sessions of that name.

    A `limit` of None watches nothing. Trouble of the watchdog's own is a warning, and it tries again.
    """
    if limit is None:
        yield
        return
    done = threading.Event()
    tick = min(_TICK, limit / _TICKS_A_LIMIT)

    def watch() -> None:
        while not done.wait(tick):
            try:
                _watch_session(conninfo, application_name, limit, tick, stop, done)
            except SourceError as error:
                warn(f"the lock watchdog cannot look: {error}")

    thread = threading.Thread(target=watch, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _watch_session(
    conninfo: Conninfo, application_name: str, limit: float, tick: float, stop: Stop, done: threading.Event
) -> None:
    with server.connect(conninfo, application_name=f"{application_name} watchdog"[:63]) as connection:
        while not done.wait(tick):
            for blocked in server.blocked_sessions(connection, application_name):
                if blocked.waited >= limit:
                    stop.request(_too_long(blocked, limit))
                    return


def _too_long(blocked: server.Blocked, limit: float) -> Error:
    return SourceError(
        f"dump stopped: process {blocked.pid} of {blocked.user} in {blocked.database} has waited"
        f" {blocked.waited:.0f} s for {blocked.mode} on {blocked.relation or 'an object'} behind its locks"
        f" (limit {limit:g} s)",
        hint='Back up at a quieter time, or raise the target\'s blocking_limit (or set it to "off").',
    )
