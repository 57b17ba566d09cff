"""The owner's programs around a backup: what they are told, and what their failure means."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.jobs.backup import backup
from holdfast.model.errors import CancelledError, SourceError
from holdfast.model.run import Occasion
from holdfast.model.target import Hooks
from holdfast.postgres.conninfo import Conninfo
from holdfast.system import logs
from support.faults import assert_failed
from support.postgres import execute
from support.world import World, world

SLOT = datetime(2026, 11, 22, 2, tzinfo=UTC)
WRITER = (
    "import json, os, sys; json.dump([json.load(sys.stdin), {k: v for k, v in os.environ.items() if k[:5] == 'HOOK_'}],"
    " open(sys.argv[1], 'w'))"
)


def writes(path: Path) -> tuple[str, ...]:
    """A program that writes down what it is told."""
    return (sys.executable, "-c", WRITER, str(path))


def told(path: Path) -> tuple[dict[str, object], dict[str, str]]:
    facts, variables = json.loads(path.read_text())
    return facts, variables


@pytest.fixture
def shop(database: Conninfo, tmp_path: Path) -> Iterator[World]:
    execute(database, "CREATE TABLE items AS SELECT 1 AS n")
    with world(tmp_path, database.argv_dsn(), databases=(str(database.database),)) as made:
        yield made


def with_hooks(shop: World, **hooks: tuple[str, ...] | float) -> None:
    shop.target = dataclasses.replace(shop.target, hooks=Hooks(**hooks))  # type: ignore[arg-type]


def test_hooks_are_told_the_facts(shop: World, database: Conninfo, tmp_path: Path) -> None:
    before, after, failed = (tmp_path / name for name in ("before", "after", "failed"))
    with_hooks(shop, before_backup=writes(before), after_backup=writes(after), on_failure=writes(failed))
    occasion = Occasion(trigger="catch_up", slot=SLOT, attempt=2)
    made = backup(shop.services, shop.target, shop.stop, occasion=occasion).backup
    facts, variables = told(before)
    assert variables["HOOK_SLOT"] == facts["slot"] == "2026-11-22T02:00:00Z"
    assert (facts["event"], facts["target"], facts["trigger"], facts["attempt"]) == (
        "before_backup",
        "shop",
        "catch_up",
        2,
    )
    assert (facts["backup_id"], facts["size"]) == (made.id, None)
    names = {"EVENT", "TARGET", "BACKUP_ID", "TRIGGER", "SLOT", "ATTEMPT", "STARTED_AT"}
    assert set(variables) == {f"HOOK_{name}" for name in names}
    facts, variables = told(after)
    assert (facts["size"], facts["stored_size"]) == (made.size, made.stored_size)
    assert (facts["databases"], facts["failed_copies"]) == ([database.database], [])
    assert variables["HOOK_SIZE"] == str(made.size)
    assert "HOOK_DATABASES" not in variables
    assert not failed.exists()


def test_a_hook_that_fails_before_a_backup_stops_it(shop: World, tmp_path: Path) -> None:
    failed = tmp_path / "failed"
    argv = (sys.executable, "-c", "import sys; sys.exit('the disk is not mounted')")
    with_hooks(shop, before_backup=argv, on_failure=writes(failed))
    with pytest.raises(
        SourceError, match=r"hook before_backup: .*exited with status 1: the disk is not mounted"
    ) as caught:
        backup(shop.services, shop.target, shop.stop)
    assert caught.value.hint == "Run it by hand, or correct targets.shop.hooks.before_backup."
    assert_failed(shop, "source")
    facts, variables = told(failed)
    assert facts["error_code"] == variables["HOOK_ERROR_CODE"] == "source"
    assert "the disk is not mounted" in variables["HOOK_ERROR"]


def test_a_hook_that_fails_afterwards_is_a_warning(shop: World) -> None:
    with_hooks(shop, after_backup=("/nonexistent/program",))
    backup(shop.services, shop.target, shop.stop)
    [run] = shop.services.ledger.runs()
    assert run.status == "succeeded"
    assert [(event, facts["hook"]) for event, facts in shop.recorder.warnings] == [
        ("a hook failed", "after_backup")
    ]


def test_a_hook_that_hangs_is_ended(shop: World) -> None:
    with_hooks(shop, before_backup=(sys.executable, "-c", "import time; time.sleep(60)"), timeout=0.3)
    with pytest.raises(SourceError, match=r"did not end within 0\.3 s"):
        backup(shop.services, shop.target, shop.stop)
    assert_failed(shop, "source")


def test_a_stop_ends_a_hook_and_no_other_is_run(shop: World, tmp_path: Path) -> None:
    failed = tmp_path / "failed"
    with_hooks(
        shop, before_backup=(sys.executable, "-c", "import time; time.sleep(60)"), on_failure=writes(failed)
    )
    services = shop.staged(lambda name: shop.stop.request() if name == "hook:before_backup" else None)
    with pytest.raises(CancelledError):
        backup(services, shop.target, shop.stop)
    assert_failed(shop, "cancelled", "cancelled")
    assert not failed.exists()


def test_a_hook_gets_no_secret(shop: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = tmp_path / "failed"
    monkeypatch.setattr(logs, "_secrets", set())
    logs.register_secret("open-sesame")
    monkeypatch.setenv("PGPASSWORD", "open-sesame")
    argv = (
        sys.executable,
        "-c",
        "import os, sys; sys.exit('open-sesame ' + str('PGPASSWORD' in os.environ))",
    )
    with_hooks(shop, before_backup=argv, on_failure=writes(failed))
    with pytest.raises(SourceError):
        backup(shop.services, shop.target, shop.stop)
    assert "*** False" in str(told(failed)[0]["error"])
    assert "open-sesame" not in failed.read_text()
