"""What the fault tests of stores and of signals share: a config in a folder, and looks at what a run left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from holdfast.ledger.ledger import Ledger
from holdfast.model.layout import LEASE_PREFIX
from holdfast.postgres.conninfo import Conninfo
from holdfast.system.clock import SystemClock
from support.faults import assert_no_drafts
from support.home import Home
from support.world import write_config


def home(folder: Path, database: Conninfo, *, target: str = "", **config: object) -> Home:
    """Write a config for the database, whose store is `store` unless `stores` says otherwise."""
    keys = f'databases = ["{database.database}"]\n{target}'
    path = write_config(folder, database.argv_dsn(), target=keys, **config)  # type: ignore[arg-type]
    return Home(folder=folder, config=path, database=database)


def at(name: str, action: Callable[[], object]) -> Callable[[str], None]:
    """Give a stage callback that acts once, when the stage begins."""
    left = [action]

    def stage(found: str) -> None:
        if found == name and left:
            left.pop()()

    return stage


def last_run(folder: Home) -> tuple[str, str | None]:
    with Ledger.open(folder.state / "ledger.sqlite", now=SystemClock().now()) as ledger:
        assert ledger.unfinished() == []
        run = ledger.runs("shop", "backup")[0]
        return run.status, run.error_code


def files(folder: Path) -> list[Path]:
    """The files below a folder; not the leases of a store, which stay when they are given back."""
    return [path for path in folder.rglob("*") if path.is_file() and LEASE_PREFIX not in path.parts]


def assert_next_is_good(folder: Home, listed: int = 1) -> None:
    folder.run("backup")
    assert len(folder.ids()) == listed
    folder.run("verify", "--all")
    assert_no_drafts(folder.folder)
