"""How long a backup's lock has to last, by what keeps it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.model.retention import FOREVER, Candidate, Policy, judge
from holdfast.model.terms import Span, Term, terms

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)  # a Thursday
NOTHING = Policy(daily=0, weekly=0, monthly=0, yearly=0, minimum=1)
SPAN = Span(first=3 * DAY, longest=35 * DAY)


def backup(at: datetime, **more: object) -> Candidate:
    return replace(Candidate(id=f"{at:%Y%m%dT%H%M%SZ}-0000", at=at), **more)  # type: ignore[arg-type]


def of(policy: Policy, *backups: Candidate, every: timedelta | None = None) -> list[Term | None]:
    found = terms(judge(backups, policy, NOW), policy, every)
    return [found.get(each.id) for each in sorted(backups, key=lambda each: each.at)]


@pytest.mark.parametrize(
    ("rule", "count", "until"),
    [
        ("hourly", 5, datetime(2026, 11, 24, 7, tzinfo=UTC)),
        ("daily", 7, datetime(2026, 12, 1, tzinfo=UTC)),
        ("weekly", 4, datetime(2026, 12, 21, tzinfo=UTC)),
        ("monthly", 12, datetime(2027, 11, 1, tzinfo=UTC)),
        ("yearly", 3, datetime(2029, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_period_is_kept_until_so_many_others_may_have_begun(rule: str, count: int, until: datetime) -> None:
    first, newest = backup(datetime(2026, 11, 24, 2, 30, tzinfo=UTC)), backup(NOW - timedelta(hours=1))
    (found, _) = of(replace(NOTHING, **{rule: count}), first, newest)  # type: ignore[arg-type]
    assert found == Term(until=until)


def test_days_are_those_of_the_zone() -> None:
    policy = replace(NOTHING, daily=1, zone=ZoneInfo("Pacific/Auckland"))
    at = datetime(2026, 11, 25, 23, 0, tzinfo=UTC)  # the 26th there
    (found,) = of(policy, backup(at))
    assert found == Term(until=datetime(2026, 11, 26, 11, tzinfo=UTC))


@pytest.mark.parametrize("rule", ["keep_last", "hourly", "daily", "weekly", "monthly", "yearly"])
def test_what_is_kept_for_good_is_held(rule: str) -> None:
    (found, _) = of(replace(NOTHING, **{rule: FOREVER}), backup(NOW - DAY), backup(NOW - DAY / 24))  # type: ignore[arg-type]
    assert found is not None
    assert found.hold


def test_a_pinned_one_is_held_and_its_neighbours_are_not() -> None:
    pinned, other = backup(NOW - 2 * DAY, pinned="audit"), backup(NOW - DAY)
    assert [each and each.hold for each in of(replace(NOTHING, daily=3), pinned, other)] == [True, False]


def test_the_last_ones_are_kept_until_so_many_newer_ones_are_there() -> None:
    taken = [backup(NOW - days * DAY) for days in (3, 2, 1)]
    found = of(replace(NOTHING, keep_last=3), *taken, every=DAY)
    assert [each and each.until for each in found] == [NOW, NOW + DAY, NOW + 2 * DAY]
    assert found == of(replace(NOTHING, keep_last=3), *taken)  # as they came, where no schedule tells
    assert of(replace(NOTHING, keep_last=3), taken[0]) == [Term()]
    assert of(replace(NOTHING, keep_last=FOREVER - 1), *taken, every=DAY)[0] == Term(
        until=datetime.max.replace(tzinfo=UTC)
    )


def test_what_is_not_kept_has_no_term() -> None:
    assert of(NOTHING, backup(NOW - 2 * DAY), backup(NOW - DAY))[0] is None


def test_within_counts_from_the_backup() -> None:
    (found, _) = of(replace(NOTHING, within=5 * DAY), backup(NOW - 2 * DAY), backup(NOW - DAY))
    assert found == Term(until=NOW + 3 * DAY)


def test_a_parent_is_kept_as_long_as_its_child() -> None:
    parent = backup(NOW - 2 * DAY)
    child = backup(NOW - DAY, parent=parent.id, pinned="audit")
    assert [each and each.hold for each in of(NOTHING, parent, child)] == [True, True]


def test_no_day_can_be_told_for_what_is_damaged_or_suspect() -> None:
    damaged = backup(NOW - 2 * DAY, good=False)
    suspect = backup(NOW - DAY, stored_at=NOW - 9 * DAY)
    assert of(replace(NOTHING, daily=9), damaged, suspect) == [Term(), Term()]


@given(
    until=st.none() | st.datetimes(timezones=st.just(UTC)),
    known=st.none() | st.timedeltas(timedelta(days=-100), timedelta(days=35)),
    first=st.integers(1, 35),
)
def test_no_lock_is_wanted_beyond_the_longest_nor_is_one_left_to_end(
    until: datetime | None, known: timedelta | None, first: int
) -> None:
    span = Span(first=first * DAY, longest=35 * DAY)
    wanted = span.wanted(Term(until=until), NOW)
    assert NOW + span.first <= wanted <= NOW + span.longest
    if not span.is_due(None if known is None else NOW + known, wanted, NOW):
        assert known is not None
        assert known >= min(span.first / 2, wanted - NOW)
    assert not span.is_due(wanted, wanted, NOW)


def test_a_far_lock_is_extended_when_half_of_it_is_over() -> None:
    wanted = SPAN.wanted(Term(until=NOW + 365 * DAY), NOW)
    assert wanted == NOW + 35 * DAY
    assert not SPAN.is_due(NOW + 18 * DAY, wanted, NOW)
    assert SPAN.is_due(NOW + 17 * DAY, wanted, NOW)


def test_a_lock_that_reaches_its_term_is_left_alone() -> None:
    wanted = SPAN.wanted(Term(until=NOW + 9 * DAY), NOW)
    assert not SPAN.is_due(NOW + 9 * DAY, wanted, NOW)


def test_what_outlives_its_term_has_a_short_lock() -> None:
    wanted = SPAN.wanted(Term(until=NOW - 9 * DAY), NOW)
    assert wanted == NOW + 3 * DAY
    assert not SPAN.is_due(NOW + 2 * DAY, wanted, NOW)
    assert SPAN.is_due(NOW + DAY, wanted, NOW)
