"""What `check` says of a target's schedule and hooks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.jobs.checks.finding import Finding, guarded
from holdfast.jobs.checks.plans import check_plan
from holdfast.model import schedule
from holdfast.model.errors import SourceError
from holdfast.model.planning import Timetable
from holdfast.model.target import Hooks, Target

NOW = datetime(2026, 11, 26, 18, 0, tzinfo=UTC)
TARGET = Target(name="shop", stores=("a",))


def test_a_target_without_a_schedule_is_told() -> None:
    (finding,) = check_plan(TARGET, NOW)
    assert finding.level == "warn"
    assert finding.message.startswith("no schedule: the daemon never takes a backup of it")


def test_the_next_backup_is_named() -> None:
    rule = schedule.parse("30 2 * * *", zone="Europe/Berlin")
    target = dataclasses.replace(
        TARGET, backup=Timetable(schedule=rule, catch_up=0, attempts=1, retry_delay=1)
    )
    (finding,) = check_plan(target, NOW)
    assert finding.level == "ok"
    assert (
        finding.message == "backed up by the daemon 30 2 * * * (Europe/Berlin), next at 2026-11-27 01:30:00Z"
    )


@pytest.mark.parametrize(
    ("argv", "fails"),
    [
        (("sh", "-c", "true"), False),
        (("/bin/sh -c true",), True),
        (("no-such-program",), True),
        (("{here}/script",), True),
    ],
)
def test_a_hook_that_cannot_be_run_fails(tmp_path: Path, argv: tuple[str, ...], fails: bool) -> None:  # noqa: FBT001
    (tmp_path / "script").write_text("#!/bin/sh\n")
    argv = tuple(word.format(here=tmp_path) for word in argv)
    hooks = Hooks(before_backup=argv, env={"PATH": "/bin:/usr/bin"})
    (_, *found) = check_plan(dataclasses.replace(TARGET, hooks=hooks), NOW)
    assert [finding.level for finding in found] == ["fail"] * fails
    assert all(argv[0] in finding.message for finding in found)


def test_a_finding_says_once_what_it_is_of() -> None:
    def broken() -> Iterator[Finding]:
        raise SourceError("target shop: no database 'shpo' on the server")
        yield

    (finding,) = guarded("target shop", broken())
    assert (finding.subject, finding.message) == ("target shop", "no database 'shpo' on the server")
