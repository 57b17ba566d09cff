"""The backup that `latest` means, where the latest is of no use."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.jobs import recover
from holdfast.jobs.find import LATEST, find
from holdfast.jobs.status import status
from holdfast.ledger import facts, scheduling, standings
from holdfast.ledger.ledger import BackupRow
from holdfast.model.errors import NotFoundError
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


def test_a_target_that_has_no_backup_is_told_which_have_some(tmp_path: Path) -> None:
    with yard(tmp_path) as place:
        place.take()
        with pytest.raises(NotFoundError, match="no backup of target shpo") as caught:
            find(place.services, LATEST, target="shpo")
        assert "There are backups of shop." in str(caught.value.hint)


def test_a_backup_that_a_wrong_clock_dated_is_not_the_latest_until_then(tmp_path: Path) -> None:
    with yard(tmp_path) as place:
        first, ahead = place.take()[0], place.put(place.clock.now() + timedelta(days=27000))
        assert find(place.services, LATEST).backup.id == first
        second = place.take()[0]
        found = status(place.services, [place.target])[0]
        assert (found.last_good and found.last_good.backup.id, found.age_seconds) == (second, 0)
        [looked] = recover.look(place.services)
        assert [row.backup.id for row in looked.whole] == [second, first, ahead]
        assert looked.best_known is not None
        assert looked.best_known.backup.id == second
        overview = facts.overview(place.services.ledger.path, place.clock.now())
        assert overview.newest["shop"].backup_id == second
        place.services.ledger.record_copy(ahead, "b", "complete", place.clock.now())
        overview = facts.overview(place.services.ledger.path, place.clock.now())
        assert overview.holdings["shop", "b"].behind == 2
        scheduling.configure(place.services.ledger, ["shop"], {}, place.clock.now())
        known = standings.newest_backups(place.services.ledger, place.clock.now())
        assert known["shop"].year == place.clock.now().year
        place.clock.set(place.clock.now() - timedelta(days=27000))  # now it is ours that is wrong
        assert find(place.services, LATEST).backup.id == ahead


def test_a_long_history_is_not_searched_for_each_of_its_backups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of backups, each compared with all others, would take minutes."""

    def compared(one: BackupRow, _: object) -> bool:
        raise AssertionError(f"{one.backup.id} was compared with another")

    with yard(tmp_path) as place:
        taken = place.take(3)
        place.put(place.clock.now() + timedelta(days=27000))
        monkeypatch.setattr(BackupRow, "__eq__", compared)
        assert find(place.services, LATEST).backup.id == taken[-1]
        [looked] = recover.look(place.services)
        assert len(looked.whole) == 4


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("lastest", "Did you mean `latest`?"),
        ("LATEST", "Did you mean `latest`?"),
        ("last", "Did you mean `latest`?"),
        ("shop", "shop is a target: `latest --target shop` is its last backup."),
        ("newest", "A backup is named by its id, the beginning of one, or `latest`;"),
        ("1999", "`holdfast list` shows what there is; `holdfast catalog rebuild`"),
    ],
)
def test_a_word_that_is_no_backup_is_answered_with_what_was_meant(
    tmp_path: Path, word: str, hint: str
) -> None:
    with yard(tmp_path) as place:
        place.take()
        with pytest.raises(NotFoundError, match=f"no backup '{word}'") as caught:
            find(place.services, word)
        assert (caught.value.hint or "").startswith(hint)
