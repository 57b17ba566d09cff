from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.postgres.swapping import has_such_name, new_name

NOW = datetime(2026, 11, 22, 20, 30, 15, tzinfo=UTC)
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=80)


def test_a_name_is_dated_in_utc() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=9)))
    assert new_name("shop", "before", there, longest=63, taken=frozenset()) == "shop_before_20261122T203015"


def test_a_name_that_is_taken_gets_a_number() -> None:
    taken = frozenset({"shop_before_20261122T203015", "shop_before_20261122T203015_2"})
    assert new_name("shop", "before", NOW, longest=63, taken=taken) == "shop_before_20261122T203015_3"


@given(NAMES, st.sampled_from(["before", "restoring"]), st.integers(0, 12))
def test_a_name_fits_is_free_and_is_known_again(name: str, word: str, rivals: int) -> None:
    taken: set[str] = set()
    for _ in range(rivals + 1):
        made = new_name(name, word, NOW, longest=63, taken=frozenset(taken))
        assert made not in taken
        assert len(made.encode()) <= 63
        assert has_such_name(made, name, word, longest=63)
        taken.add(made)


@pytest.mark.parametrize(
    "other",
    [
        "shop",
        "shop_before_yesterday",
        "shopping_before_20261122T203015",
        "shop_before_20261122T203015 ",
        "_before_20261122T203015",
        "workshop_before_20261122T203015",
        "s_before_20261122T203015",
    ],
)
def test_other_names_are_not_taken_for_ours(other: str) -> None:
    assert not has_such_name(other, "shop", "before", longest=63)
