"""The backup that `latest` means, where the latest is of no use."""

from __future__ import annotations

from pathlib import Path

from holdfast.jobs.find import LATEST, find
from support.yard import Yard, yard


def marked(place: Yard, backup_id: str) -> None:
    place.services.ledger.record_copy(backup_id, "a", "damaged", place.clock.now(), "a flipped bit")


def test_the_latest_is_passed_over_while_it_is_whole_nowhere(tmp_path: Path) -> None:
    with yard(tmp_path) as place:
        taken = place.take(3)
        marked(place, taken[-1])
        assert find(place.services, LATEST).backup.id == taken[-1]
        assert find(place.services, LATEST, whole=True).backup.id == taken[-2]
        marked(place, taken[-2])
        marked(place, taken[-3])  # now it is the latest again, which fails and says why
        assert find(place.services, LATEST, whole=True).backup.id == taken[-1]
