"""A host that comes back from a snapshot of last week: its ledger knows less than its stores, and some things that are no more."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs.catalog import rebuild
from holdfast.jobs.find import open_best
from holdfast.jobs.reading import read_plain
from holdfast.jobs.services import Services
from holdfast.ledger.ledger import BackupRow, Ledger
from holdfast.model import layout
from holdfast.model.errors import BlockedError
from support.model_values import sample_backup
from support.oracle import Oracle, with_name
from support.yard import yard


def reads(services: Services, row: BackupRow) -> None:
    opened = open_best(services, row)
    assert read_plain(opened.place, opened.backup.parts[0], services.keys) == b"x" * 1000


@pytest.mark.fault("ledger.old")
def test_a_ledger_of_last_week_takes_nothing_away(tmp_path: Path) -> None:
    old = tmp_path / "last week"
    with yard(tmp_path) as place:
        place.take(6)
        with closing(sqlite3.connect(place.services.ledger.path)) as snapshot:
            snapshot.execute("VACUUM INTO ?", [str(old)])
        for _ in range(7):
            place.take()
            place.prune()
        path, stores, target = place.services.ledger.path, place.stores, place.target
        services, now = place.services, place.clock.now()
        oracle = Oracle(services=services, targets=(target,), folder=tmp_path)
        before, kept = oracle.before, {row.backup.id for row in services.ledger.backups() if row.good}
        for each in path.parent.glob("ledger.sqlite*"):
            each.unlink()
        shutil.copyfile(old, path)
        with Ledger.open(path, now=now) as ledger:
            place.made.services = services = replace(services, ledger=ledger, host=sample_backup().host)
            rebuild(services, quick=True, forget=False)
            found = place.clock.now().timestamp()
            assert {row.backup.id for row in ledger.backups() if row.good} == kept
            gone = {each[2] for each in with_name(stores, layout.TOMBSTONE)}
            assert not gone & {row.backup.id for row in ledger.backups() if row.good}
            for _ in range(4):
                place.take()
                try:
                    place.prune()
                except BlockedError:  # it takes a while to believe the clock again
                    continue
            oracle = Oracle(
                services=place.services, targets=(target,), folder=tmp_path, before=before, restores=reads
            )
            oracle.shows("holdfast_ledger_loss_timestamp_seconds", found, reason="rolled_back")
            oracle.noted("did not know a backup that this host took")
            oracle.holds()
