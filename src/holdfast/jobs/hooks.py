"""Runs the owner's own programs around a backup or a recovery: facts in HOOK_* variables and as JSON on stdin, no shell."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from holdfast.jobs.services import Services
from holdfast.model import codec
from holdfast.model.backup import Backup
from holdfast.model.errors import Error, SourceError
from holdfast.model.run import Run, Trigger
from holdfast.model.target import Target
from holdfast.system import logs, proc
from holdfast.system.stop import Stop

Event = Literal["before_backup", "after_backup", "on_failure", "stop_services", "resume_services"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The facts that a hook is given; what is not known yet is None, and sets no variable. Sizes in bytes."""

    event: Event
    target: str
    backup_id: str | None
    trigger: Trigger
    slot: datetime | None
    attempt: int
    started_at: datetime
    finished_at: datetime | None = None
    size: int | None = None
    stored_size: int | None = None
    databases: tuple[str, ...] | None = None
    failed_copies: tuple[str, ...] | None = None
    error_code: str | None = None
    error: str | None = None


def before(services: Services, target: Target, run: Run, stop: Stop) -> None:
    """Run the hook before a backup. Raise SourceError when it fails: there is to be no backup then."""
    _run(services, target, _told("before_backup", run), stop)


def after(
    services: Services,
    target: Target,
    run: Run,
    backup: Backup,
    failed_copies: tuple[str, ...],
    stop: Stop,
) -> None:
    """Run the hook after a backup, which counts whatever the hook says."""
    told = dataclasses.replace(
        _told("after_backup", run),
        finished_at=backup.finished_at,
        size=backup.size,
        stored_size=backup.stored_size,
        databases=backup.databases,
        failed_copies=failed_copies,
    )
    _run_and_warn(services, target, told, stop)


def failed(services: Services, target: Target, run: Run, error: BaseException, stop: Stop) -> None:
    """Run the hook after a failure, which stays what it is."""
    told = dataclasses.replace(
        _told("on_failure", run),
        finished_at=services.clock.now(),
        error_code=error.code if isinstance(error, Error) else Error.code,
        error=logs.redacted(str(error) or type(error).__name__),
    )
    _run_and_warn(services, target, told, stop)


def services_of_others(
    services: Services, target: Target, event: Event, backup_id: str | None, stop: Stop
) -> None:
    """Run the hook that stops or resumes what uses the target's databases. Raise SourceError when it fails."""
    told = Told(
        event=event,
        target=target.name,
        backup_id=backup_id,
        trigger="manual",
        slot=None,
        attempt=1,
        started_at=services.clock.now(),
    )
    _run(services, target, told, stop)


def _told(event: Event, run: Run) -> Told:
    return Told(
        event=event,
        target=run.target,
        backup_id=run.backup_id,
        trigger=run.trigger,
        slot=run.slot,
        attempt=run.attempt,
        started_at=run.started_at,
    )


def _run_and_warn(services: Services, target: Target, told: Told, stop: Stop) -> None:
    try:
        _run(services, target, told, stop)
    except SourceError as error:
        services.reporter.warn("a hook failed", target=target.name, hook=told.event, error=str(error))


def _run(services: Services, target: Target, told: Told, stop: Stop) -> None:
    argv: tuple[str, ...] = getattr(target.hooks, told.event)
    if not argv:
        return
    facts = codec.to_json(told)
    assert isinstance(facts, dict)  # noqa: S101 - the JSON of a dataclass
    command = proc.Command(argv=argv, env={**target.hooks.env, **_variables(facts)})
    services.stage(f"hook:{told.event}")
    try:
        proc.output_of(command, stop, stdin=json.dumps(facts).encode() + b"\n", seconds=target.hooks.timeout)
    except SourceError as error:
        stop.check()
        raise SourceError(
            f"target {target.name}: hook {told.event}: {error.message}",
            hint=f"Run it by hand, or correct targets.{target.name}.hooks.{told.event}.",
        ) from error
    services.reporter.info("hook ran", target=target.name, hook=told.event)


def _variables(facts: dict[str, codec.Json]) -> dict[str, str]:
    """One variable a fact; lists are on stdin only, as names may hold anything."""
    return {
        f"HOOK_{name.upper()}": str(value).replace("\0", "")
        for name, value in facts.items()
        if value is not None and not isinstance(value, list)
    }
