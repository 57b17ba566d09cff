"""The keys of schedules, limits and hooks: what they become, what wins, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.model.planning import Timetable
from holdfast.model.target import Hooks, Limits, Target
from support.config import BASE, Place, schedule_of

DEFAULTS = '\n[defaults]\nschedule = "@daily"\n'


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(folder=tmp_path)


def only(place: Place, text: str, **environ: str) -> Target:
    [target] = place.load(text, overrides=None, **environ).targets()
    return target


def test_where_there_is_an_identity_it_is_tried_monthly(place: Place) -> None:
    def rule(text: str) -> str | None:
        found = place.load(text).targets()[0].canary
        return None if found is None else found.schedule.text

    here = BASE.replace("[encryption]", '[encryption]\nidentity_file = "identity.txt"')
    assert rule(BASE) is None
    assert rule(here) == "@monthly"
    assert rule(here + 'canary_schedule = ""\n') is None
    assert rule(here + 'canary_schedule = "@weekly"\n') == "@weekly"


def test_a_target_without_a_schedule_is_never_backed_up_by_itself(place: Place) -> None:
    target = only(place, BASE)
    assert (target.backup, target.verify) == (None, None)
    assert target.limits == Limits(timeout=None, stall=1800)


def test_the_keys_make_a_timetable(place: Place) -> None:
    target = only(
        place,
        BASE
        + 'schedule = "30 2 * * *"\ntimezone = "Asia/Tokyo"\njitter = "20m"\ncatch_up = "off"\nattempts = 5\n'
        'retry_delay = "30s"\ntimeout = "3h"\nstall_limit = "off"\nverify_schedule = "@weekly"\n',
    )
    assert target.backup is not None
    assert target.backup == Timetable(schedule=target.backup.schedule, catch_up=0, attempts=5, retry_delay=30)
    assert (str(target.backup.schedule.zone), target.backup.schedule.jitter) == ("Asia/Tokyo", 1200)
    assert target.verify is not None
    assert target.verify.schedule.interval == timedelta(days=7)
    assert target.limits == Limits(timeout=10800, stall=None)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "@hourly"),
        ('copy_schedule = "@daily"\n', "@daily"),
        ('copy_schedule = ""\n', None),
        ('stores = ["other"]\n', None),
        ('schedule = "@daily"\njitter = "3h"\n', "@hourly"),
    ],
)
def test_copies_are_brought_every_hour_where_there_are_several_stores(
    place: Place, text: str, rule: str | None
) -> None:
    target = only(place, BASE + text + '[stores.other]\nurl = "/other"\n')
    assert (None if target.copy is None else target.copy.schedule.text) == rule


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ('"6h"', "every 6h"),
        ("90", "every 90s"),
        ("120", "every 2m"),
        ('"24h"', "every 1d"),
        ('"1d"', "every 1d"),
    ],
)
def test_an_interval_is_written_in_its_largest_unit(place: Place, value: str, rule: str) -> None:
    assert schedule_of(only(place, f"{BASE}every = {value}\n")) == rule


def test_the_zone_is_the_daemons_unless_the_target_has_its_own(place: Place) -> None:
    target = only(place, '[daemon]\ntimezone = "Europe/Berlin"\n' + BASE + 'schedule = "@daily"\n')
    assert target.backup is not None
    assert str(target.backup.schedule.zone) == "Europe/Berlin"


@pytest.mark.parametrize(
    ("own", "rule"),
    [
        ("", "@daily"),
        ('every = "6h"\n', "every 6h"),
        ('schedule = ""\n', None),
        ('schedule = "@hourly"\n', "@hourly"),
    ],
)
def test_a_target_that_sets_one_of_the_two_has_neither_from_the_defaults(
    place: Place, own: str, rule: str | None
) -> None:
    assert schedule_of(only(place, BASE + own + DEFAULTS)) == rule


def test_a_schedule_from_a_variable_wins(place: Place) -> None:
    target = only(place, BASE + DEFAULTS, HOLDFAST_TARGETS__SHOP__EVERY="2h")
    assert schedule_of(target) == "every 2h"


def test_hooks_are_lists_of_arguments_and_see_no_secrets(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "open-sesame")
    text = BASE + '[targets.shop.hooks]\nbefore_backup = ["/bin/mount", "/a b", "/a b"]\ntimeout = "1m"\n'
    hooks = only(place, text).hooks
    assert hooks == Hooks(before_backup=("/bin/mount", "/a b", "/a b"), timeout=60, env=hooks.env)
    assert "PATH" in hooks.env
    assert "open-sesame" not in hooks.env.values()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'schedule = "@daily"\nevery = "6h"',
            "targets.shop.every: schedule is set too; remove one of the two",
        ),
        ('schedule = "every 6h"', 'targets.shop.schedule: an interval has a key of its own: every = "6h"'),
        ('schedule = "0 0 30 2 *"', "targets.shop.schedule: no year has a day '0 0 30 2 *'"),
        ("every = 1.5", "targets.shop.every: whole seconds were expected"),
        ('every = "2000d"', "targets.shop.every: a whole number of s, m, h or d, up to a year"),
        ('every = "soon"', "targets.shop.every: a duration was expected"),
        (
            'every = "1h"\njitter = "1h"',
            "targets.shop.jitter: it is not shorter than the time from one run to the next",
        ),
        (
            'timezone = "Europe/Berln"',
            "targets.shop.timezone: no time zone of that name; did you mean Europe/Berlin?",
        ),
        ("attempts = 0", "targets.shop.attempts: it has to be greater than or equal to 1"),
        (
            "hooks = { befor_backup = [] }",
            "targets.shop.hooks.befor_backup: unknown key; did you mean before_backup?",
        ),
        ('hooks = { on_failure = [""] }', "targets.shop.hooks.on_failure"),
    ],
)
def test_what_makes_no_sense_is_refused(place: Place, text: str, said: str) -> None:
    assert said in place.refused(f"{BASE}{text}\n").message
