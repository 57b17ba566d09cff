"""The keys of retention: what holds where, what is refused, and when a target is pruned by itself."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.model.errors import ConfigError
from holdfast.model.retention import FOREVER, Policy
from holdfast.model.target import Target
from support.config import BASE, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(folder=tmp_path)


def only(place: Place, text: str) -> Target:
    [target] = place.load(text, overrides=None).targets()
    return target


def test_without_a_word_the_rules_are_the_defaults(place: Place) -> None:
    rules = only(place, BASE).rules("disk")
    assert rules.policy == Policy(daily=7, weekly=4, monthly=12, yearly=FOREVER, minimum=2)
    assert (rules.grace, rules.max_deletions) == (timedelta(days=3), None)


def test_the_narrower_section_says_a_key_and_the_wider_fills_the_rest_in(place: Place) -> None:
    target = only(
        place,
        BASE
        + 'timezone = "Europe/Berlin"\n[targets.shop.retention]\ndaily = 9\nwithin = "30d"\n'
        + "[defaults.retention]\ndaily = 1\nweekly = 2\nminimum = 5\n"
        + '[stores.other]\nurl = "/other"\n[stores.other.retention]\ndaily = 99\ngrace = "1d"\n',
    )
    own, other = target.rules("anything"), target.rules("other")
    assert (own.policy.daily, own.policy.weekly, own.policy.minimum, own.policy.monthly) == (9, 2, 5, 12)
    assert own.policy.within == timedelta(days=30)
    assert str(own.policy.zone) == "Europe/Berlin"
    assert (other.policy.daily, other.policy.weekly, other.grace) == (99, 2, timedelta(days=1))
    assert own.grace == timedelta(days=3)


def test_forever_is_a_count(place: Place) -> None:
    text = BASE + '[targets.shop.retention]\nkeep_last = "forever"\n'
    assert only(place, text).rules("x").policy.keep_last == FOREVER


EMPTY = "daily = 0\nweekly = 0\nmonthly = 0\nyearly = 0\n"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (EMPTY, "no rule keeps anything"),
        ("daily = -1\n", "greater than or equal to 0"),
        ("daily = true\n", ""),
        ('daily = "ever"\n', ""),
        ("minimum = 0\n", "greater than or equal to 1"),
        ('grace = "10m"\n', "at least an hour"),
        ("max_deletions = 0\n", ""),
        ("dialy = 3\n", "did you mean daily"),
        ('require = "perfect"\n', ""),
    ],
)
@pytest.mark.parametrize("section", ["targets.shop", "defaults", "stores.disk"])
def test_rules_that_cannot_be_meant_are_refused(place: Place, section: str, keys: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        place.load(BASE + f"[{section}.retention]\n{keys}", overrides=None)
    assert said in caught.value.message
    assert "retention" in caught.value.message


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ("", None),
        ('schedule = "@daily"\n', "45 5 * * *"),
        ('schedule = "@daily"\nprune_schedule = ""\n', None),
        ('every = "6h"\nprune_schedule = "0 7 * * *"\n', "0 7 * * *"),
        ('prune_schedule = "0 7 * * *"\n', "0 7 * * *"),
    ],
)
def test_a_target_is_pruned_daily_where_it_is_backed_up_by_itself(
    place: Place, keys: str, rule: str | None
) -> None:
    target = only(place, BASE + keys)
    assert (None if target.prune is None else target.prune.schedule.text) == rule
