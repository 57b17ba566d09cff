"""Slots: what crontab(5) means, once on the days on which the clock changes, in order and complete in every zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.model.schedule import Cron, Schedule, parse, time_zone
from support import zones
from support.zones import END, START

BERLIN = "Europe/Berlin"
times = st.datetimes(datetime(1971, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - zone follows
some_zones = st.sampled_from(
    [BERLIN, "UTC", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia"]
)


def local(schedule: Schedule, after: str, count: int) -> list[str]:
    """Give the next slots in the schedule's own zone, after a time there."""
    begin = datetime.fromisoformat(after).replace(tzinfo=schedule.zone)
    slots = islice(schedule.slots(begin), count)
    return [slot.astimezone(schedule.zone).isoformat(timespec="minutes") for slot in slots]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("@hourly", ["2026-11-22T13:00", "2026-11-22T14:00"]),
        ("@daily", ["2026-11-23T00:00", "2026-11-24T00:00"]),
        ("@weekly", ["2026-11-29T00:00", "2026-12-06T00:00"]),
        ("@monthly", ["2026-12-01T00:00", "2027-01-01T00:00"]),
        ("30 2 * * *", ["2026-11-23T02:30", "2026-11-24T02:30"]),
        ("*/25 13 * * *", ["2026-11-22T13:00", "2026-11-22T13:25", "2026-11-22T13:50", "2026-11-23T13:00"]),
        ("5/30 13 * * *", ["2026-11-22T13:05", "2026-11-22T13:35", "2026-11-23T13:05"]),
        ("0 4,22 * * mon-fri", ["2026-11-23T04:00", "2026-11-23T22:00", "2026-11-24T04:00"]),
        ("0 0 * * 7", ["2026-11-29T00:00"]),
        ("0 0 1,15 * mon", ["2026-11-23T00:00", "2026-11-30T00:00", "2026-12-01T00:00", "2026-12-07T00:00"]),
        ("0 0 1-7 * */7", ["2026-12-06T00:00", "2027-01-03T00:00"]),
        ("0 0 29 feb *", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("0 0 31 * *", ["2026-12-31T00:00", "2027-01-31T00:00", "2027-03-31T00:00"]),
        ("every 6h", ["2026-11-22T18:00", "2026-11-23T00:00"]),
        ("every 90s", ["2026-11-22T12:01", "2026-11-22T12:03"]),
        ("every 1d", ["2026-11-23T00:00", "2026-11-24T00:00"]),
    ],
)
def test_a_rule_means_what_crontab_says(rule: str, expected: list[str]) -> None:
    found = local(parse(rule), "2026-11-22T12:00:30", len(expected))
    assert [text.removesuffix("+00:00") for text in found] == expected


@pytest.mark.parametrize(
    "rule", ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "every 0s", "every 1.5h", "every 2y", "every"]
)
def test_a_rule_that_never_comes_true_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match=r"no year has a day|was expected|were expected"):
        parse(rule)


@pytest.mark.fault("clock.zones")
def test_a_time_that_is_skipped_comes_as_much_later() -> None:
    assert local(parse("30 2 * * *", zone=BERLIN), "2026-03-28T12:00", 3) == [
        "2026-03-29T03:30+02:00",
        "2026-03-30T02:30+02:00",
        "2026-03-31T02:30+02:00",
    ]


@pytest.mark.fault("clock.zones")
def test_a_time_that_is_repeated_comes_the_first_time_only() -> None:
    assert local(parse("30 2 * * *", zone=BERLIN), "2026-10-24T12:00", 3) == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
        "2026-10-27T02:30+01:00",
    ]


def test_a_rule_for_every_hour_goes_by_the_time_that_passes() -> None:
    hourly = parse("0 * * * *", zone=BERLIN)
    for day in ("2026-03-28T22:30", "2026-10-24T22:30"):
        begin = datetime.fromisoformat(day).replace(tzinfo=UTC)
        slots = list(islice(hourly.slots(begin), 8))
        assert {later - earlier for earlier, later in pairwise(slots)} == {timedelta(hours=1)}


def test_a_day_that_a_zone_skips_has_no_slot_of_its_own() -> None:
    assert local(parse("30 2 * * *", zone="Pacific/Apia"), "2011-12-28T12:00", 3) == [
        "2011-12-29T02:30-10:00",
        "2011-12-31T02:30+14:00",
        "2012-01-01T02:30+14:00",
    ]


@pytest.mark.fault("clock.zones")
@pytest.mark.parametrize(
    "rule",
    [
        "30 2 * * *",
        *(
            pytest.param(rule, marks=pytest.mark.extended)
            for rule in ("0 0 * * *", "30 1 * * *", "59 23 * * *")
        ),
    ],
)
def test_a_daily_rule_runs_once_a_day_in_every_zone_for_two_years(rule: str) -> None:
    assert len(zones.kinds()) > 40
    for name in zones.kinds():
        slots = list(parse(rule, zone=name).slots_between(START, END))
        distances = {later - earlier for earlier, later in pairwise(slots)}
        assert timedelta(hours=22) <= min(distances) <= max(distances) <= timedelta(hours=26), name
        assert len(slots) == (END - START).days, name


fields = st.tuples(
    st.sampled_from(["*", "0", "59", "*/20", "7,30", "0-10/5"]),
    st.sampled_from(["*", "2", "1-3", "*/6", "0,23", "3/7"]),
    st.sampled_from(["*", "1", "29-31", "*/9"]),
    st.sampled_from(["*", "3", "10", "mar-oct"]),
    st.sampled_from(["*", "sun", "mon-fri", "*/2"]),
)
rules = fields.map(" ".join) | st.sampled_from(["every 7m", "every 5h", "every 1d"])


@given(rule=rules, zone=some_zones, after=times)
def test_slots_are_strictly_increasing_and_the_next_one_is_found_from_anywhere(
    rule: str, zone: str, after: datetime
) -> None:
    schedule = parse(rule, zone=zone)
    slots = list(islice(schedule.slots(after), 12))
    assert after < slots[0]
    assert all(earlier < later for earlier, later in pairwise(slots))
    for earlier, later in pairwise(slots):
        assert next(schedule.slots(earlier)) == later
        assert next(schedule.slots(later - timedelta(seconds=1))) == later
    assert list(schedule.slots_between(after, slots[-1])) == slots


@settings(deadline=None, max_examples=40)
@given(rule=fields.map(" ".join), zone=some_zones, day=st.dates(date(2000, 1, 1), date(2037, 1, 1)))
def test_no_minute_that_the_rule_names_is_lost(rule: str, zone: str, day: date) -> None:
    """Each minute whose local time fits is a slot, unless the clock showed the same time an hour before."""
    schedule, where = parse(rule, zone=zone), time_zone(zone)
    assert isinstance(schedule.rule, Cron)
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    found = set(schedule.slots_between(begin - timedelta(minutes=1), begin + timedelta(days=3)))
    for number in range(3 * 1440):
        minute = begin + timedelta(minutes=number)
        there = minute.astimezone(where)
        fits = there.minute in schedule.rule.minutes and there.hour in schedule.rule.hours
        if fits and schedule.rule.fits(there.date()) and not there.fold:
            assert minute in found


@given(seconds=st.integers(1, 366 * 86400), after=times)
def test_an_interval_is_the_same_on_all_hosts(seconds: int, after: datetime) -> None:
    slot = next(parse(f"every {seconds}s").slots(after))
    assert slot.timestamp() % seconds == 0
    assert timedelta(0) < slot - after <= timedelta(seconds=seconds)


@given(jitter=st.integers(0, 7200), target=st.text(max_size=9), slot=times)
def test_the_jitter_is_a_slots_own_and_below_its_limit(jitter: int, target: str, slot: datetime) -> None:
    schedule = parse("@daily", jitter=jitter)
    delay = schedule.delay(target, slot)
    assert delay == schedule.delay(target, slot)
    assert timedelta(0) <= delay < timedelta(seconds=max(1, jitter))


def test_the_jitter_spreads_the_targets() -> None:
    schedule = parse("@daily", jitter=3600)
    delays = [schedule.delay(f"t{number}", START).total_seconds() for number in range(1000)]
    quarters = [sum(1 for delay in delays if delay // 900 == quarter) for quarter in range(4)]
    assert min(quarters) > 200


@pytest.mark.parametrize(
    ("rule", "longest", "shortest"),
    [
        ("@daily", timedelta(days=1), timedelta(days=1)),
        ("@monthly", timedelta(days=31), timedelta(days=28)),
        ("0 2 * * mon-fri", timedelta(days=3), timedelta(days=1)),
        ("0 1,3 * * *", timedelta(hours=22), timedelta(hours=2)),
        ("*/15 * * * *", timedelta(minutes=15), timedelta(minutes=15)),
        ("0 0 29 2 *", timedelta(days=1461), timedelta(days=1461)),
        ("every 6h", timedelta(hours=6), timedelta(hours=6)),
    ],
)
def test_the_interval_is_the_longest_regular_distance(
    rule: str, longest: timedelta, shortest: timedelta
) -> None:
    assert (parse(rule).interval, parse(rule).shortest_interval) == (longest, shortest)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone 'Mars/Olympus'"):
        parse("@daily", zone="Mars/Olympus")
