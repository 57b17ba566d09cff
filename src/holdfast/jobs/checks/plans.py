"""Checks what a target is to do by itself: when it is backed up, and whether the programs around that are there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime

from holdfast.jobs.checks.finding import Finding
from holdfast.model import planning
from holdfast.model.target import Target

_HOOKS = ("before_backup", "after_backup", "on_failure", "stop_services", "resume_services")


def check_plan(target: Target, now: datetime) -> Iterator[Finding]:
    """Tell when the next backup is due, that none ever is, and which program of a hook cannot be run."""
    yield _check_schedule(target, now)
    for hook in _HOOKS:
        argv: tuple[str, ...] = getattr(target.hooks, hook)
        if argv and shutil.which(argv[0], path=target.hooks.env.get("PATH")) is None:
            yield Finding(
                level="fail",
                subject=f"target {target.name}",
                message=f"hook {hook}: there is no program {argv[0]} that this user may run",
                hint=f"Write targets.{target.name}.hooks.{hook} as a list: the program's path, then each argument by itself.",
            )


def _check_schedule(target: Target, now: datetime) -> Finding:
    subject = f"target {target.name}"
    if target.backup is None:
        return Finding(
            level="warn",
            subject=subject,
            message="no schedule: the daemon never takes a backup of it; what is overdue is told by what is usual, once four were taken here",
            hint=f"Set targets.{target.name}.schedule, such as @daily; or leave it to what calls `holdfast backup {target.name}`.",
        )
    rule = target.backup.schedule
    due = planning.next_due(rule, target.name, now)
    return Finding(
        level="ok",
        subject=subject,
        message=f"backed up by the daemon {rule.text} ({rule.zone}), next at {due:%Y-%m-%d %H:%M:%S}Z",
    )
