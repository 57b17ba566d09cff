from __future__ import annotations

import pytest

from holdfast.render import restore
from support.restore_values import planned_restore, restored, restored_tables


def test_a_restore_says_what_came_back(capsys: pytest.CaptureFixture[str]) -> None:
    restore.report(restored())
    assert capsys.readouterr().out.splitlines() == [
        "roles: 1 created",
        "  kept as they were here: old",
        "  tablespaces left out: fast (--tablespace-map OLD=PATH)",
        "database app: 1 table, 7 rows, as in the backup",
        "  look",
        "restored 20261122T020000Z-7f3a into here: 1 B in 1.0 s (1 B/s)",
    ]


def test_a_dry_run_says_what_would_happen_and_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    restore.plan(planned_restore())
    assert capsys.readouterr().out.splitlines() == [
        "20261122T020000Z-7f3a into here, PostgreSQL 15.1; nothing is changed now",
        "roles: 1 would be created",
        "  would be kept as they are: old",
        "  tablespaces left out: fast (--tablespace-map OLD=PATH)",
        "database new (in the backup: app) would be created: 1 table, 7 rows, 10.0 MB, owner me, encoding UTF8",
        "staging needs 10.0 MB in /spool, which has 2.0 MB free",
        "note  it is older",
        "fail  the disk is small",
        "      Buy another.",
        "the restore would be refused: 1 problem",
    ]


def test_tables_are_listed_with_what_was_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    restore.tables(restored_tables())
    assert capsys.readouterr().out.splitlines() == [
        "table public.new (in the backup: public.t): 7 rows",
        "also, because needed:",
        "  type public.mood",
        "left out:",
        "  foreign key f: its table is not there",
        "note: look",
        "restored from 20261122T020000Z-7f3a into database live on here: 1 B in 1.0 s (1 B/s)",
    ]
    restore.tables(restored_tables(dry_run=True))
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "would be restored from 20261122T020000Z-7f3a into database live on here: 1 table, 2 index",
        "  1 B would be read; nothing was changed",
    ]
