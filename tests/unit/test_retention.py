"""What a policy keeps: by golden tables, by properties, and against a slow reference written separately."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.model.retention import FOREVER, PERIODS, Candidate, Policy, Verdict, judge
from support.retention_reference import kept as reference

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
NOTHING = Policy(daily=0, weekly=0, monthly=0, yearly=0, minimum=1)
# Among them summer time of half an hour, another time in Ramadan, and days without a midnight.
ZONES = [
    UTC,
    *map(ZoneInfo, ("Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu")),
    *map(ZoneInfo, ("Australia/Lord_Howe", "Africa/Casablanca", "America/Sao_Paulo")),
]


def on(text: str, **more: object) -> Candidate:
    """A good backup at a time, its id the time."""
    return Candidate(id=text, at=datetime.fromisoformat(text).replace(tzinfo=UTC), **more)  # type: ignore[arg-type]


def ids(verdicts: Sequence[Verdict]) -> list[str]:
    return [each.backup.id for each in verdicts if each.kept]


def kept(backups: Sequence[Candidate], policy: Policy, now: datetime = NOW) -> list[str]:
    return ids(judge(backups, policy, now))


def rules(backups: Sequence[Candidate], policy: Policy, now: datetime = NOW) -> dict[str, list[str]]:
    return {
        each.backup.id: [f"{reason.rule} {reason.detail}".strip() for reason in each.reasons]
        for each in judge(backups, policy, now)
    }


# Golden tables


def test_the_first_good_backup_of_a_period_is_its_keeper() -> None:
    days = [on("2026-11-24T02:00"), on("2026-11-24T14:00"), on("2026-11-25T02:00"), on("2026-11-25T14:00")]
    assert rules(days, replace(NOTHING, daily=2)) == {
        "2026-11-24T02:00": ["daily 2026-11-24"],
        "2026-11-24T14:00": [],
        "2026-11-25T02:00": ["daily 2026-11-25"],
        "2026-11-25T14:00": ["newest", "minimum"],
    }


def test_all_rules_in_one_table() -> None:
    backups = [
        on("2024-12-30T02:00"),  # of the ISO year 2025
        on("2025-12-31T02:00"),
        on("2026-01-01T02:00"),
        on("2026-10-31T02:00"),
        on("2026-11-01T02:00"),
        on("2026-11-23T02:00"),
        on("2026-11-24T02:00"),
        on("2026-11-25T02:00"),
        on("2026-11-26T02:00"),
        on("2026-11-26T03:00"),
        on("2026-11-26T03:30"),
    ]
    policy = Policy(keep_last=1, hourly=2, daily=2, weekly=2, monthly=2, yearly=2, minimum=1)
    assert rules(backups, policy) == {
        "2024-12-30T02:00": [],
        "2025-12-31T02:00": ["yearly 2025"],
        "2026-01-01T02:00": ["yearly 2026"],
        "2026-10-31T02:00": ["weekly 2026-W44", "monthly 2026-10"],
        "2026-11-01T02:00": ["monthly 2026-11"],
        "2026-11-23T02:00": ["weekly 2026-W48"],
        "2026-11-24T02:00": [],
        "2026-11-25T02:00": ["daily 2026-11-25"],
        "2026-11-26T02:00": ["hourly 2026-11-26T02+00:00", "daily 2026-11-26"],
        "2026-11-26T03:00": ["hourly 2026-11-26T03+00:00"],
        "2026-11-26T03:30": ["newest", "minimum", "last"],
    }


def test_days_begin_where_the_target_is() -> None:
    late = [
        on("2026-07-01T21:30"),
        on("2026-07-01T22:30"),
        on("2026-07-02T21:30"),
    ]  # 23:30, 00:30, 23:30 in Berlin
    berlin = replace(NOTHING, daily=9, zone=ZoneInfo("Europe/Berlin"))
    assert kept(late, berlin) == ["2026-07-01T21:30", "2026-07-01T22:30", "2026-07-02T21:30"]
    assert rules(late, berlin)["2026-07-02T21:30"] == ["newest", "minimum"]
    assert rules(late, replace(berlin, zone=UTC))["2026-07-01T22:30"] == []


@pytest.mark.fault("clock.zones")
def test_the_hour_that_comes_twice_in_autumn_is_two_hours_of_one_day() -> None:
    night = [
        on("2026-10-25T00:10"),
        on("2026-10-25T01:10"),
        on("2026-10-25T01:20"),
    ]  # 02:10, 02:10, 02:20 in Berlin
    policy = replace(NOTHING, hourly=9, daily=9, zone=ZoneInfo("Europe/Berlin"))
    assert rules(night, policy) == {
        "2026-10-25T00:10": ["hourly 2026-10-25T02+02:00", "daily 2026-10-25"],
        "2026-10-25T01:10": ["hourly 2026-10-25T02+01:00"],
        "2026-10-25T01:20": ["newest", "minimum"],
    }


def test_weeks_are_those_of_iso() -> None:
    turn = [on("2026-12-31T02:00"), on("2027-01-03T02:00"), on("2027-01-04T02:00")]
    found = rules(turn, replace(NOTHING, weekly=9), NOW.replace(year=2028))
    assert list(found.values()) == [
        ["weekly 2026-W53"],
        [],
        ["newest", "minimum", "weekly 2027-W01"],
    ]


def test_when_backups_stop_nothing_ages_out() -> None:
    week = [on(f"2026-11-{day:02}T02:00") for day in range(10, 20)]
    policy = Policy(within=timedelta(days=3), yearly=0)
    assert kept(week, policy) == kept(week, policy, NOW.replace(year=2126))


def test_within_counts_back_from_the_newest_good_backup() -> None:
    week = [on(f"2026-11-{day:02}T02:00") for day in range(10, 20)]
    assert kept(week, replace(NOTHING, within=timedelta(days=2))) == [
        "2026-11-17T02:00",
        "2026-11-18T02:00",
        "2026-11-19T02:00",
    ]


def test_a_failed_time_takes_no_slot() -> None:
    gap = [on("2026-09-01T02:00"), on("2026-09-02T02:00"), on("2026-11-26T02:00")]
    assert kept(gap, replace(NOTHING, daily=3)) == [each.id for each in gap]


def test_a_pinned_backup_stays_and_takes_no_slot() -> None:
    days = [on(f"2026-11-{day}T02:00") for day in (22, 23, 24, 25)]
    days[3] = replace(days[3], pinned="audit")
    assert rules(days, replace(NOTHING, daily=2)) == {
        "2026-11-22T02:00": [],
        "2026-11-23T02:00": ["daily 2026-11-23"],
        "2026-11-24T02:00": ["daily 2026-11-24"],
        "2026-11-25T02:00": ["pinned audit", "newest", "minimum"],
    }


def test_children_keep_their_parents() -> None:
    chain = [
        on("2026-11-01T02:00"),
        on("2026-11-02T02:00", parent="2026-11-01T02:00"),
        on("2026-11-03T02:00"),
        on("2026-11-04T02:00", parent="2026-11-02T02:00"),
    ]
    assert rules(chain, NOTHING)["2026-11-01T02:00"] == ["parent 2026-11-02T02:00"]
    assert kept(chain, NOTHING) == ["2026-11-01T02:00", "2026-11-02T02:00", "2026-11-04T02:00"]


def test_a_suspect_backup_is_no_keeper_and_evicts_nobody() -> None:
    real = [on(f"2026-11-{day}T02:00") for day in range(10, 27)]
    flood = [on(f"2027-{month:02}-{day:02}T02:00") for month in range(1, 13) for day in range(1, 28)]
    for policy in (Policy(), Policy(keep_last=5), Policy(within=timedelta(days=3), yearly=0)):
        assert set(kept(real, policy)) == set(kept([*real, *flood], policy)) - {each.id for each in flood}
    assert all(
        reason == ["suspect"]
        for backup, reason in rules([*real, *flood], Policy()).items()
        if backup > "2027"
    )


def test_a_backup_that_is_dated_later_than_it_came_into_the_store_is_suspect() -> None:
    came = datetime(2026, 11, 20, tzinfo=UTC)
    late = [
        on("2026-11-19T02:00", stored_at=came),
        on("2026-11-20T00:59", stored_at=came),
        on("2026-11-20T01:01", stored_at=came),
    ]
    assert [each.suspect(NOW) for each in late] == [False, False, True]
    assert rules(late, Policy())["2026-11-20T01:01"] == ["suspect"]


def test_a_damaged_backup_takes_no_slot_and_stays_as_long_as_if_it_were_whole() -> None:
    days = [
        on("2026-11-20T02:00", good=False),
        on("2026-11-20T14:00"),
        on("2026-11-21T02:00"),
        on("2026-11-22T02:00"),
    ]
    found = rules(days, replace(NOTHING, daily=3))
    assert found["2026-11-20T02:00"] == ["damaged daily 2026-11-20"]
    assert found["2026-11-20T14:00"] == ["daily 2026-11-20"]
    assert rules(days, replace(NOTHING, daily=2))["2026-11-20T02:00"] == []


def test_proven_forbids_what_is_newer_than_the_newest_proven() -> None:
    days = [on(f"2026-11-{day}T02:00") for day in range(20, 26)]
    days[2] = replace(days[2], proven=True)
    strict = replace(NOTHING, require="proven")
    assert rules(days, strict)["2026-11-22T02:00"] == ["newest_proven"]
    assert kept(days, strict) == [each.id for each in days[2:]]
    assert kept([replace(each, proven=False) for each in days], strict) == [each.id for each in days]
    assert kept(days, NOTHING) == ["2026-11-22T02:00", "2026-11-25T02:00"]


# Properties

counts = st.sampled_from([0, 0, 1, 2, 3, 7, FOREVER])
policies = st.builds(
    Policy,
    keep_last=counts,
    hourly=counts,
    daily=counts,
    weekly=counts,
    monthly=counts,
    yearly=counts,
    within=st.none() | st.timedeltas(timedelta(minutes=1), timedelta(days=900)),
    minimum=st.integers(1, 4),
    require=st.sampled_from(["good", "proven"]),
    zone=st.sampled_from(ZONES),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Candidate]:
    """Any backups, close together and far apart, some of them dated in the future."""
    spread = draw(st.sampled_from([3 * 3600, 3 * 86400, 90 * 86400, 4 * 365 * 86400]))
    backups = []
    for number in range(draw(st.integers(0, 14))):
        at = NOW + timedelta(days=1) - timedelta(seconds=draw(st.integers(0, spread)))
        parent = f"b{draw(st.integers(0, 14))}" if draw(st.integers(0, 4)) == 0 else None
        state = draw(st.sampled_from(["good", "good", "good", "damaged", "waiting"]))
        backups.append(
            Candidate(
                id=f"b{number}",
                at=at,
                good=state == "good",
                waiting=state == "waiting",
                proven=draw(st.booleans()),
                pinned="why" if draw(st.integers(0, 6)) == 0 else None,
                parent=parent,
                stored_at=at
                + draw(st.sampled_from([timedelta(), 3 * timedelta(days=1)]))
                + timedelta(seconds=draw(st.integers(-2 * 3600, 60)))
                if draw(st.booleans())
                else None,
            )
        )
    return backups


@settings(max_examples=2 * settings().max_examples)
@given(histories(), policies)
def test_the_promise_holds_as_the_reference_says(backups: list[Candidate], policy: Policy) -> None:
    assert set(kept(backups, policy)) == reference(backups, policy, NOW)


@pytest.mark.fault("retention.last")
@given(histories(), policies)
def test_the_newest_good_and_the_newest_proven_are_always_kept(
    backups: list[Candidate], policy: Policy
) -> None:
    sound = sorted((b for b in backups if b.good and not b.suspect(NOW)), key=lambda b: (b.at, b.id))
    found = kept(backups, policy)
    assert not sound or sound[-1].id in found
    proven = [each.id for each in sound if each.proven]
    assert not proven or proven[-1] in found
    assert len([each for each in sound if each.id in found]) >= min(policy.minimum, len(sound))


@given(histories(), policies)
def test_the_good_ones_are_judged_as_if_those_that_wait_were_not_there(
    backups: list[Candidate], policy: Policy
) -> None:
    alone = [replace(each, parent=None) for each in backups]
    good = [each for each in alone if not each.waiting]
    found = {each.backup.id: each.reasons for each in judge(alone, policy, NOW) if each.backup.good}
    assert found == {each.backup.id: each.reasons for each in judge(good, policy, NOW) if each.backup.good}


@given(histories(), policies)
def test_pruning_twice_is_pruning_once(backups: list[Candidate], policy: Policy) -> None:
    found = set(kept(backups, policy))
    left = [each for each in backups if each.id in found]
    assert set(kept(left, policy)) == found


@given(histories(), policies, st.sampled_from(["keep_last", *PERIODS, "minimum"]), st.integers(1, 5))
def test_more_slots_never_keep_fewer(backups: list[Candidate], policy: Policy, rule: str, more: int) -> None:
    wider = replace(policy, **{rule: min(FOREVER, getattr(policy, rule) + more)})
    assert set(kept(backups, policy)) <= set(kept(backups, wider))


@given(histories(), policies, st.randoms())
def test_the_order_of_input_does_not_matter(
    backups: list[Candidate], policy: Policy, chance: random.Random
) -> None:
    shuffled = list(backups)
    chance.shuffle(shuffled)
    assert judge(shuffled, policy, NOW) == judge(backups, policy, NOW)


@given(histories(), policies)
def test_reasons_name_each_keeper_and_are_words(backups: list[Candidate], policy: Policy) -> None:
    for verdict in judge(backups, policy, NOW):
        assert verdict.kept == bool(verdict.reasons)
        assert all(reason.text.strip() == reason.text and reason.text for reason in verdict.reasons)
        assert len(set(verdict.reasons)) == len(verdict.reasons)


@given(histories(), policies, st.timedeltas(timedelta(), timedelta(days=40_000)))
def test_time_alone_expires_nothing(backups: list[Candidate], policy: Policy, later: timedelta) -> None:
    past = [each for each in backups if not each.suspect(NOW)]
    assert kept(past, policy, NOW + later) == kept(past, policy)


# Simulated years


@pytest.mark.extended
def test_ten_years_of_daily_backups_with_outages() -> None:
    chance, policy, shelf = (
        random.Random(7),
        replace(Policy(), zone=ZoneInfo("Europe/Berlin")),
        dict[str, Candidate](),
    )
    day, out, taken = datetime(2026, 1, 1, 1, 30, tzinfo=UTC), 0, list[Candidate]()
    for number in range(3653):
        out = out - 1 if out else chance.choice([0] * 60 + [1, 3, 20, 45])
        now = day + timedelta(days=number)
        if not out:
            made = Candidate(id=f"{number:05}", at=now)
            taken.append(made)
            shelf[made.id] = made
        shelf = {each.backup.id: each.backup for each in judge(shelf.values(), policy, now) if each.kept}
        assert not taken or taken[-1].id in shelf
        assert len(shelf) <= 2 + 7 + 4 + 12 + 11
        assert [each.id for each in taken[-7:]] == sorted(shelf)[-7:][-len(taken[-7:]) :]
    assert sorted(shelf) == kept(taken, policy, now)  # to prune every day came to the same as to prune once
    some = chance.sample(taken, 250)
    assert set(kept(some, policy, now)) == reference(some, policy, now)
    assert {each.at.year for each in shelf.values()} == set(range(2026, 2036))


@pytest.mark.extended
def test_ten_years_of_hourly_backups_with_outages() -> None:
    chance, zone = random.Random(11), ZoneInfo("America/New_York")
    policy = Policy(hourly=24, daily=7, weekly=4, monthly=12, yearly=3, zone=zone)
    shelf, at, out = dict[str, Candidate](), datetime(2026, 1, 1, 5, tzinfo=UTC), 0
    for number in range(87_660):
        out = out - 1 if out else chance.choice([0] * 2000 + [1, 30, 900])
        now = at + timedelta(hours=number)
        if not out:
            shelf[f"{number:06}"] = Candidate(id=f"{number:06}", at=now)
        if number % 24 == 23 and shelf:
            newest = max(shelf)
            shelf = {each.backup.id: each.backup for each in judge(shelf.values(), policy, now) if each.kept}
            assert newest in shelf
            assert len(shelf) <= 2 + 24 + 7 + 4 + 12 + 3
    years = sorted({each.at.astimezone(zone).year for each in shelf.values()})
    assert years == [2033, 2034, 2035, 2036][-len(years) :]
    assert len({each.at.astimezone(zone).strftime("%Y-%m") for each in shelf.values()}) >= 12


@pytest.mark.extended
def test_of_a_hundred_thousand_backups_few_are_kept() -> None:
    many = [
        Candidate(id=f"{number:06}", at=NOW - timedelta(minutes=17 * number), good=number % 50 > 0)
        for number in range(100_000)
    ]
    policy = Policy(keep_last=10, hourly=48, within=timedelta(days=3), zone=ZoneInfo("Europe/Berlin"))
    verdicts = judge(many, policy, NOW)
    assert 50 < sum(1 for each in verdicts if each.kept) < 500


def test_the_time_to_judge_grows_with_the_number_of_backups_only() -> None:
    def seconds(count: int) -> float:
        many = [
            Candidate(id=f"{number:06}", at=NOW - timedelta(minutes=17 * number)) for number in range(count)
        ]
        began = time.process_time()
        judge(many, Policy(hourly=48), NOW)
        return time.process_time() - began

    seconds(1000)
    assert seconds(20_000) < 20 * 8 * max(seconds(1000), 0.001)
