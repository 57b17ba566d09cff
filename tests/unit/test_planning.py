"""What is owed: each slot once, the newest first, again after a failure, and never because a clock was wrong."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.model.planning import History, Pause, Plan, Standing, Timetable, plan
from holdfast.model.run import Occasion, Run, Status
from holdfast.model.schedule import parse
from support import zones

START = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAILY = Timetable(schedule=parse("0 2 * * *"))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(slots=True, kw_only=True)
class Life:
    """A daemon's life by a fake clock: it looks when the plan says, and runs what is due, which ends as `outcome` says."""

    timetable: Timetable = DAILY
    now: datetime = START
    standing: Standing = field(default_factory=lambda: Standing(since=START, watched_since=START))
    outcome: Callable[[Occasion], tuple[Status, str | None]] = lambda _: ("succeeded", None)
    takes: timedelta = timedelta(minutes=5)
    runs: list[Run] = field(default_factory=list)
    missed: list[datetime] = field(default_factory=list)
    _known: list[datetime] = field(default_factory=list)
    _attempts: dict[datetime, list[Run]] = field(default_factory=dict)

    def until(self, end: datetime) -> None:
        """Live on until then."""
        while self.now <= end:
            found = self.look()
            if found.due is not None:
                self._run(found.due)
            else:
                assert found.look_at > self.now
                self.now = found.look_at

    def look(self) -> Plan:
        """Plan as the dispatcher does, from the slots that anything is known of."""
        newest = bisect_right(self._known, self.now) - 1
        history = None
        if newest >= 0:
            slot = self._known[newest]
            history = History(slot=slot, attempts=tuple(self._attempts.get(slot, ())))
        found = plan(self.timetable, "shop", replace(self.standing, history=history), self.now)
        self.missed += found.missed
        for slot in found.missed:
            insort(self._known, slot)
        return found

    def _run(self, due: Occasion) -> None:
        status, code = self.outcome(due)
        run = Run(
            job="backup",
            target="shop",
            trigger=due.trigger,
            slot=due.slot,
            attempt=due.attempt,
            status=status,
            started_at=self.now,
            finished_at=self.now + self.takes,
            error_code=code,
        )
        self.runs.append(run)
        assert due.slot is not None
        if due.slot not in self._attempts:
            insort(self._known, due.slot)
        self._attempts.setdefault(due.slot, []).append(run)
        self.now += self.takes

    @property
    def slots(self) -> list[datetime | None]:
        """The slots of the runs that succeeded."""
        return [run.slot for run in self.runs if run.status == "succeeded"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_new_target_waits_for_its_first_slot() -> None:
    life = Life()
    assert life.look() == Plan(look_at=at("2026-11-23T02:00"))
    life.until(START + 3 * DAY)
    assert life.slots == [at(f"2026-11-{day}T02:00") for day in (23, 24, 25)]
    assert {(run.trigger, run.attempt) for run in life.runs} == {("schedule", 1)}
    assert life.missed == []


def live_daily(zone: str, begin: datetime, end: datetime) -> None:
    """Live through these days with a daily rule; each has to have its run."""
    timetable = Timetable(schedule=parse("30 2 * * *", zone=zone))
    life = Life(timetable=timetable, now=begin, standing=Standing(since=begin, watched_since=begin))
    life.until(end)
    assert life.slots == list(timetable.schedule.slots_between(begin, end)), zone
    assert (len(set(life.slots)), life.missed) == (len(life.slots), []), zone
    days = [slot.astimezone(ZoneInfo(zone)).date() for slot in life.slots if slot]
    assert {later - earlier for earlier, later in pairwise(days)} == {DAY}, zone


def test_a_daily_slot_runs_once_whenever_a_clock_changes_in_every_zone() -> None:
    changes = [(zone, at) for zone, offsets in zones.kinds().items() for at, _ in offsets]
    assert len(changes) > 150
    for zone, at in changes:
        live_daily(zone, at - 2 * DAY, at + 3 * DAY)


@pytest.mark.extended
def test_a_daily_slot_runs_once_a_day_in_every_zone_for_two_years() -> None:
    for zone in zones.kinds():
        live_daily(zone, zones.START, zones.END)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "America/Nuuk"])
@pytest.mark.parametrize("begin", [datetime(2026, 3, 25, tzinfo=UTC), datetime(2026, 10, 20, tzinfo=UTC)])
def test_every_hour_runs_once_when_the_clock_changes(zone: str, begin: datetime) -> None:
    timetable = Timetable(schedule=parse("0 * * * *", zone=zone))
    life = Life(timetable=timetable, now=begin, standing=Standing(since=begin, watched_since=begin))
    life.until(begin + 10 * DAY)
    assert life.slots == list(timetable.schedule.slots_between(begin, begin + 10 * DAY))
    assert (len(set(life.slots)), life.missed) == (240, [])


@pytest.mark.parametrize("rule", ["0 0 29 2 *", "0 0 29 2 */7", "@monthly", "every 366d", "every 1s"])
def test_the_rarest_and_the_most_frequent_rules_are_planned(rule: str) -> None:
    life = Life(timetable=Timetable(schedule=parse(rule)))
    assert life.look().look_at == next(life.timetable.schedule.slots(START))
    away(life, START + 9000 * DAY)
    assert life.look().due is None or rule == "every 1s"
    assert len(life.missed) <= 1000


def away(life: Life, back: datetime) -> None:
    """Nobody is there until `back`."""
    life.now = back
    life.standing = replace(life.standing, watched_since=back)


def test_after_three_days_away_the_newest_slot_runs_and_the_others_were_missed() -> None:
    life = Life()
    life.until(at("2026-11-23T12:00"))
    away(life, at("2026-11-27T09:00"))
    life.until(at("2026-11-27T12:00"))
    assert life.slots == [at("2026-11-23T02:00"), at("2026-11-27T02:00")]
    assert life.runs[-1].trigger == "catch_up"
    assert life.missed == [at(f"2026-11-{day}T02:00") for day in (24, 25, 26)]


@pytest.mark.parametrize("catch_up", [0, 3600])
def test_a_slot_that_is_too_old_was_missed(catch_up: float) -> None:
    life = Life(timetable=replace(DAILY, catch_up=catch_up))
    away(life, at("2026-11-24T09:00"))
    life.until(at("2026-11-24T12:00"))
    assert (life.slots, life.missed) == ([], [at("2026-11-23T02:00"), at("2026-11-24T02:00")])
    life.until(at("2026-11-25T12:00"))
    assert life.slots == [at("2026-11-25T02:00")]


def test_a_slot_that_only_had_to_wait_for_its_turn_is_not_too_old() -> None:
    life = Life(timetable=replace(DAILY, catch_up=0))
    life.now = at("2026-11-23T19:00")  # it was there all the time, but 500 others came first
    life.until(at("2026-11-23T20:00"))
    assert [(run.slot, run.trigger) for run in life.runs] == [(at("2026-11-23T02:00"), "schedule")]


def test_a_run_longer_than_its_interval_is_followed_by_the_newest_slot() -> None:
    life = Life(timetable=Timetable(schedule=parse("@hourly")), takes=timedelta(minutes=150))
    life.until(START + 6 * HOUR)
    assert life.slots == [at(f"2026-11-22T{hour}:00") for hour in (13, 15, 18)]
    assert life.missed == [at(f"2026-11-22T{hour}:00") for hour in (14, 16, 17)]


def test_a_failure_is_tried_again_three_times_within_the_hour_and_then_left() -> None:
    life = Life(outcome=lambda _: ("failed", "source"), takes=timedelta(minutes=1))
    life.until(at("2026-11-24T01:00"))
    first = at("2026-11-23T02:00")
    assert [(run.started_at - first, run.attempt) for run in life.runs] == [
        (timedelta(0), 1),
        (timedelta(minutes=6), 2),
        (timedelta(minutes=22), 3),
    ]
    assert {run.slot for run in life.runs} == {first}
    life.until(at("2026-11-24T02:00"))
    assert (life.runs[-1].slot, life.runs[-1].attempt) == (at("2026-11-24T02:00"), 1)


def test_no_length_of_time_that_a_config_may_hold_breaks_the_planning() -> None:
    timetable = replace(DAILY, attempts=10, retry_delay=1e12, catch_up=1e18)
    life = Life(timetable=timetable, outcome=lambda _: ("failed", "source"))
    away(life, START + 2 * DAY)
    life.until(START + 9 * DAY)
    assert len(life.runs) > 1


def test_a_retry_that_succeeds_is_the_last_attempt() -> None:
    life = Life(outcome=lambda due: ("failed", "store") if due.attempt == 1 else ("succeeded", None))
    life.until(at("2026-11-25T01:00"))
    assert [(run.attempt, run.status) for run in life.runs] == [(1, "failed"), (2, "succeeded")] * 2


@pytest.mark.parametrize("code", ["config", "key", "integrity", "internal"])
def test_what_needs_a_person_is_not_tried_again(code: str) -> None:
    life = Life(outcome=lambda _: ("failed", code))
    life.until(at("2026-11-24T01:00"))
    assert len(life.runs) == 1


@pytest.mark.parametrize("status", ["lost", "running"])
def test_a_run_that_died_is_made_up_for_at_once_but_not_for_ever(status: Status) -> None:
    life = Life(outcome=lambda _: (status, None), takes=timedelta(seconds=1))
    life.until(at("2026-11-24T01:00"))
    assert [run.attempt for run in life.runs] == [1, 2, 3]
    assert life.runs[-1].started_at - life.runs[0].started_at < timedelta(minutes=1)


def test_a_cancelled_run_does_not_count_as_a_try() -> None:
    life = Life(
        outcome=lambda due: ("cancelled" if due.attempt < 7 else "succeeded", None),
        takes=timedelta(minutes=1),
    )
    life.until(at("2026-11-23T03:00"))
    assert [run.status for run in life.runs] == ["cancelled"] * 6 + ["succeeded"]


def test_after_stops_a_slot_still_has_all_its_tries() -> None:
    life = Life(outcome=lambda due: ("cancelled" if due.attempt <= 2 else "failed", "source"))
    life.until(at("2026-11-24T01:00"))
    assert [run.status for run in life.runs] == ["cancelled"] * 2 + ["failed"] * 3


def test_what_was_left_long_ago_is_not_tried_again_after_a_restart() -> None:
    life = Life(
        timetable=Timetable(schedule=parse("@weekly")), outcome=lambda _: ("cancelled", None), takes=DAY
    )
    life.until(at("2026-11-29T00:00"))
    away(life, at("2026-12-02T00:00"))
    life.outcome = lambda _: ("succeeded", None)
    life.until(at("2026-12-05T00:00"))
    assert len(life.runs) == 1


@pytest.mark.parametrize("status", ["succeeded", "skipped", "missed"])
def test_a_slot_that_is_settled_stays_so(status: Status) -> None:
    life = Life(outcome=lambda _: (status, None))
    life.until(at("2026-11-23T23:00"))
    assert len(life.runs) == 1


def test_a_slot_whose_backup_a_rebuilt_ledger_knows_is_done() -> None:
    slot = at("2026-11-23T02:00")
    standing = Standing(since=START, watched_since=START, history=History(slot=slot, done=True))
    assert plan(DAILY, "shop", standing, slot + HOUR) == Plan(look_at=slot + DAY)


def test_a_pause_owes_nothing_and_its_end_begins_anew() -> None:
    life = Life()
    life.standing = replace(life.standing, pause=Pause(since=START, until=START + 3 * DAY))
    life.until(START + 3 * DAY + HOUR)
    assert (life.runs, life.missed) == ([], [])
    life.until(START + 4 * DAY)
    assert life.slots == [at("2026-11-26T02:00")]


def test_a_pause_without_an_end_is_looked_at_with_each_slot() -> None:
    standing = Standing(since=START, watched_since=START, pause=Pause(since=START))
    assert plan(DAILY, "shop", standing, START + 9 * DAY) == Plan(look_at=at("2026-12-02T02:00"))


def test_a_clock_that_is_set_back_runs_no_slot_twice() -> None:
    life = Life()
    life.until(at("2026-11-23T02:30"))
    life.now = at("2026-11-22T23:00")
    life.until(at("2026-11-24T03:00"))
    assert life.slots == [at("2026-11-23T02:00"), at("2026-11-24T02:00")]


def test_a_clock_that_was_years_ahead_keeps_nobody_from_the_next_slot() -> None:
    life = Life()
    away(life, at("2034-01-01T12:00"))
    life.until(at("2034-01-01T13:00"))
    assert len(life.missed) == 999
    away(life, at("2026-11-23T12:00"))
    life.until(at("2026-11-24T12:00"))
    assert life.slots[-2:] == [at("2026-11-23T02:00"), at("2026-11-24T02:00")]


@settings(max_examples=settings().max_examples // 2)
@given(
    rule=st.sampled_from(["@hourly", "*/10 * * * *", "0 2,3 * * *", "every 45m"]),
    jitter=st.integers(0, 500),
    steps=st.lists(st.tuples(st.sampled_from(["live", "away", "back"]), st.integers(1, 4000)), max_size=8),
    fates=st.lists(st.sampled_from(["succeeded", "failed", "lost", "cancelled"]), min_size=1, max_size=9),
    takes=st.integers(1, 5000),
)
def test_whatever_happens_no_slot_succeeds_twice_and_each_is_accounted_for(
    rule: str, jitter: int, steps: list[tuple[str, int]], fates: list[Status], takes: int
) -> None:
    life = Life(timetable=Timetable(schedule=parse(rule, jitter=jitter)), takes=timedelta(seconds=takes))
    life.outcome = lambda due: (fates[(due.attempt + len(life.runs)) % len(fates)], "source")
    latest = life.now
    for what, count in steps:
        if what == "live":
            life.until(life.now + timedelta(seconds=10 * count))
        else:
            away(life, life.now + timedelta(seconds=10 * count * (1 if what == "away" else -1)))
        latest = max(latest, life.now)
    assert max(Counter(life.slots).values(), default=1) == 1
    tried = {run.slot for run in life.runs}
    assert not tried & set(life.missed)
    attempts = Counter((run.slot, run.attempt) for run in life.runs)
    assert max(attempts.values(), default=1) == 1
    accounted = tried | set(life.missed)
    owed = life.timetable.schedule.slots_between(START, max((s for s in accounted if s), default=START))
    assert set(owed) == accounted
