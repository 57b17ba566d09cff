"""A clock that jumps while a backup is made: its id, its slot and the others stay what they are."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.jobs.backup import backup
from holdfast.jobs.prune import Wish, prune
from holdfast.jobs.runner import SkippedError
from holdfast.jobs.services import Services
from holdfast.ledger.ledger import BackupRow
from holdfast.model.retention import Policy
from holdfast.model.run import Occasion
from holdfast.model.target import Rules, Target
from holdfast.system.stop import Stop
from support.endurance import ordeal
from support.oracle import Oracle
from support.runs import at

START = datetime(2031, 1, 1, tzinfo=UTC)
SHOP = Target(name="shop", stores=("a", "b"))


def nothing_to_open(_: Services, row: BackupRow) -> None:
    assert row.good


@pytest.mark.fault("clock.jump")
@pytest.mark.parametrize("days", [3650, -365])
def test_a_clock_that_jumps_in_the_midst_of_a_backup_changes_no_other(tmp_path: Path, days: int) -> None:
    with ordeal(tmp_path, 1, START, (SHOP,)) as world:
        for store in world.stores.values():
            store.frail = False

        def take(services: Services, slot: datetime, attempt: int = 1) -> str:
            occasion = Occasion(trigger="schedule", slot=slot, attempt=attempt)
            return backup(services, SHOP, Stop(), occasion=occasion).backup.id

        ids = []
        few = replace(SHOP, retention=Rules(policy=Policy(daily=2, weekly=0, monthly=0, yearly=0)))
        with world.process() as services:
            for number in range(4):
                world.clock.sleep(timedelta(days=1))
                ids.append(take(services, START + timedelta(days=number)))
            oracle = Oracle(services=services, targets=(SHOP,), folder=tmp_path, restores=nothing_to_open)
            right = world.clock.now()

            def jump() -> None:
                world.clock.set(right + timedelta(days=days))

            world.clock.sleep(timedelta(days=1))
            right, slot = world.clock.now(), START + timedelta(days=4)
            ids.append(take(replace(services, stage=at("streaming:database", jump)), slot))
            with pytest.raises(SkippedError):
                take(services, slot, 2)
            oracle.visible("backup", "skipped")
            prune(services, few, Stop(), wish=Wish())  # what it refused is in its result
            assert world.buried() == set()
            world.clock.set(right)
            world.clock.sleep(timedelta(days=1))
            ids.append(take(services, slot + timedelta(days=1)))
            assert ids == sorted(set(ids))
            assert {row.backup.id for row in services.ledger.backups() if row.good} == set(ids)
            oracle.holds()
