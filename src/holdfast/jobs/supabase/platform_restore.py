"""Has the platform restore a project to a point in time: checks, tells what would be lost, starts it, and follows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

from holdfast.jobs import runner
from holdfast.jobs.services import Services
from holdfast.jobs.supabase.platform import api_of
from holdfast.model.codec import time_text
from holdfast.model.errors import CancelledError, NotFoundError, ProviderError, UsageError
from holdfast.model.platform import HEALTHY, RESTORE_FAILED, PlatformBackups, Standing
from holdfast.model.run import Run
from holdfast.model.target import Target
from holdfast.providers.supabase_api import SupabaseApi
from holdfast.system.stop import Stop

_LOOK_AGAIN = 5.0
_BEGINS_WITHIN = 300.0
_GOES_ON = "It goes on at the platform, and cannot be stopped from here: see the dashboard, or `holdfast supabase backups`."


def _unheard(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What would happen: the project goes back to `at`, and what was written since then is lost.

    `newest` is the id of Holdfast's own newest backup, and when it was begun; None where there is none.
    """

    project: Standing
    at: datetime
    window: tuple[datetime, datetime]
    lost: timedelta
    newest: tuple[str, datetime] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long to wait, in seconds: between two looks, for the restore to begin, and for its end."""

    look: float = _LOOK_AGAIN
    begin: float = _BEGINS_WITHIN
    end: float = 4 * 3600.0


def intend(services: Services, target: Target, at: datetime, stop: Stop) -> Intent:
    """Check that the platform can restore this time; nothing is changed. Raise UsageError, NotFoundError, ProviderError."""
    api = api_of(target, stop)
    project, found = api.standing(), api.backups()
    window = _window(target, found)
    if not window[0] <= at <= window[1]:
        raise UsageError(
            f"the platform cannot restore {time_text(at)}: its window is {time_text(window[0])} to {time_text(window[1])}",
            hint="Take a time within. What was written after the end of the window may not have reached its archive yet.",
        )
    if project.status != HEALTHY:
        raise ProviderError(
            f"project {project.name} ({project.ref}) is {project.status}, not {HEALTHY}",
            hint="Wait until it is, or see the dashboard: a restore can be started from a healthy project only.",
        )
    row = next((row for row in services.ledger.backups(target.name) if not row.hidden), None)
    return Intent(
        project=project,
        at=at.replace(microsecond=0),
        window=window,
        lost=services.clock.now() - at,
        newest=None if row is None else (row.backup.id, row.backup.started_at),
    )


def _window(target: Target, found: PlatformBackups) -> tuple[datetime, datetime]:
    if not found.pitr:
        raise UsageError(
            f"point-in-time recovery is not enabled for the project of target {target.name}",
            hint="It is an add-on: see Project Settings > Add-ons. Holdfast's own backups restore with `holdfast restore`.",
        )
    if found.window is None:
        raise NotFoundError(
            f"the platform has nothing yet to restore the project of target {target.name} from",
            hint="After the add-on was bought, its first backup takes a while.",
        )
    return found.window


def restore(
    services: Services,
    target: Target,
    intent: Intent,
    stop: Stop,
    *,
    pace: Pace | None = None,
    tell: Callable[[str], None] = _unheard,
) -> None:
    """Start the restore and follow it to its end; `tell` is told each status that the project comes into.

    Raise ProviderError when it fails, or does not end in time. No backup of the target begins on this host meanwhile.
    """
    run = Run(
        job="provider_restore",
        target=target.name,
        started_at=services.clock.now(),
        host=services.host,
        pid=services.pid,
    )
    api = api_of(target, stop)

    def body(meter: runner.Meter) -> None:
        services.reporter.info(
            "the platform is told to restore", project=intent.project.ref, to=time_text(intent.at)
        )
        _start(api, intent)
        try:
            _Following(services, api, stop, pace or Pace(), meter.pulse, tell).follow()
        except CancelledError as error:
            raise CancelledError(
                "no longer following the restore", hint=_GOES_ON, exit_code=error.exit_code
            ) from error

    with runner.target_lock(services, target.name):
        runner.close_lost_runs(services, "provider_restore", target.name, locked=True)
        runner.execute(services, run, body)


def _start(api: SupabaseApi, intent: Intent) -> None:
    try:
        api.restore_to(intent.at)
    except ProviderError as error:
        if error.status is None or error.status >= 500:  # noqa: PLR2004 - HTTP's failures of the server
            raise ProviderError(
                f"it is not known whether the restore was started: {error.message}",
                hint="See the project's status in the dashboard before anything else; it was not asked for twice.",
                status=error.status,
            ) from error
        raise


@dataclass(frozen=True, slots=True)
class _Following:
    """Looks at the project's status until the restore has ended."""

    services: Services
    api: SupabaseApi
    stop: Stop
    pace: Pace
    pulse: Callable[[], None]
    tell: Callable[[str], None]

    def follow(self) -> None:
        began, last = self.services.clock.monotonic(), HEALTHY
        left = False  # the healthy project that it was
        while True:
            self._wait()
            passed = self.services.clock.monotonic() - began
            status = self._status(last)
            if status != last:
                self.tell(status)
                last = status
            left = left or status != HEALTHY
            if status == HEALTHY and left:
                return
            if status == RESTORE_FAILED:
                raise ProviderError(
                    f"the platform says {RESTORE_FAILED}: the project was not restored",
                    hint="See the dashboard, and Supabase's support; Holdfast's own backups restore with `holdfast restore`.",
                )
            if not left and passed > self.pace.begin:
                self._too_long(f"the project still is {HEALTHY}: the restore was not seen to begin", passed)
            if passed > self.pace.end:
                self._too_long(f"the project still is {status}", passed)

    def _wait(self) -> None:
        self.pulse()
        self.stop.wait(self.pace.look)

    def _status(self, last: str) -> str:
        """Ask; while the project is being restored, an answer that fails for the moment changes nothing."""
        try:
            return self.api.standing().status
        except ProviderError as error:
            if error.status is not None and error.status < 500 and error.status != 429:  # noqa: PLR2004 - HTTP's
                raise
            self.services.reporter.warn("the project's status could not be asked", error=error.message)
            return last

    def _too_long(self, text: str, passed: float) -> NoReturn:
        raise ProviderError(f"{text} after {passed:.0f} s", hint=_GOES_ON)
