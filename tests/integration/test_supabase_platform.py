"""What Supabase keeps of a project by itself is listed, watched, set, and restored by its own means."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.jobs import runner
from holdfast.jobs.checks.platform import check_platform
from holdfast.jobs.supabase import platform as job
from holdfast.jobs.supabase import platform_restore as restoring
from holdfast.ledger import facts
from holdfast.ledger.ledger import Ledger
from holdfast.metrics import collector
from holdfast.metrics.host import Surroundings
from holdfast.model.errors import (
    BusyError,
    CancelledError,
    ConfigError,
    NotFoundError,
    ProviderError,
    UsageError,
)
from holdfast.model.overview import Configured
from holdfast.model.run import Job, Occasion, Run, Status
from holdfast.model.supabase import Project
from holdfast.postgres import conninfo
from support.home import Home
from support.supabase_api_server import TOKEN, Fault, Platform, supabase_api
from support.terminal import Terminal
from support.world import World, argv, world, write_config

URL = "postgresql://postgres@127.0.0.1:1/postgres"
AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
FAILED: tuple[Status, ...] = ("failed",)
QUICK = restoring.Pace(look=0.01, begin=0.3, end=5)
KINDS: tuple[Job, ...] = ("provider", "provider_restore")
NONE = {"region": "x", "walg_enabled": True, "pitr_enabled": False, "backups": [], "physical_backup_data": {}}


@pytest.fixture
def platform() -> Iterator[Platform]:
    with supabase_api() as running:
        yield running


@pytest.fixture
def made(platform: Platform, tmp_path: Path) -> Iterator[World]:
    project = Project(ref=platform.ref, access_token=TOKEN, api_url=platform.url)
    with world(tmp_path, URL, supabase=project) as opened:
        yield opened


def home(folder: Path, platform: Platform, more: str = "") -> Home:
    """A home whose target is the project; the token lies in a file."""
    (folder / "token").write_text(TOKEN + "\n")
    keys = f'provider = "supabase"\nproject_ref = "{platform.ref}"\napi_url = "{platform.url}"\naccess_token_file = "token"\n{more}'
    return Home(folder=folder, config=write_config(folder, URL, target=keys), database=conninfo.parse(URL))


def metrics(ledger: Ledger, configured: Configured) -> list[str]:
    text = collector.scrape(
        lambda: facts.overview(ledger.path, AT),
        configured,
        Surroundings(version="1", state_dir=ledger.path.parent),
        AT.timestamp(),
    ).decode()
    return [line for line in text.splitlines() if line.startswith("holdfast_provider_")]


def configured(*, asked: bool) -> Configured:
    return Configured(targets={"shop": ("a",)}, stores=("a",), providers={"shop": asked})


def test_every_series_is_there_from_the_first_scrape(made: World) -> None:
    labels = '{target="shop"}'
    assert metrics(made.services.ledger, configured(asked=True)) == [
        f"holdfast_provider_backup_last_success_timestamp_seconds{labels} 0.0",
        f"holdfast_provider_backup_pitr_window_start_timestamp_seconds{labels} 0.0",
        f"holdfast_provider_backup_pitr_window_end_timestamp_seconds{labels} 0.0",
    ]
    assert all(line.endswith(" NaN") for line in metrics(made.services.ledger, configured(asked=False)))


def test_what_the_platform_says_is_in_the_next_scrape(made: World, platform: Platform) -> None:
    job.backups(made.services, made.target, made.stop)
    values = [line.split()[1] for line in metrics(made.services.ledger, configured(asked=True))]
    assert values == ["1795341600.0", "1794708000.0", "1795341600.0"]
    platform.backups = {**platform.backups, "pitr_enabled": False}
    job.backups(made.services, made.target, made.stop)
    assert [line.split()[1] for line in metrics(made.services.ledger, configured(asked=True))][1:] == [
        "0.0",
        "0.0",
    ]


@pytest.mark.extended
def test_an_empty_list_is_no_success_and_takes_the_old_one_back(made: World, platform: Platform) -> None:
    job.backups(made.services, made.target, made.stop)
    platform.backups = dict(NONE)
    job.watch(made.services, made.target, made.stop, Occasion(trigger="schedule", slot=AT))
    assert metrics(made.services.ledger, configured(asked=True))[0].endswith(" 0.0")
    assert [event for event, _ in made.recorder.warnings] == ["the platform has no backup of its own"]


@pytest.mark.extended
def test_a_question_that_fails_is_a_failed_run_and_changes_nothing(made: World, platform: Platform) -> None:
    job.backups(made.services, made.target, made.stop)
    before = metrics(made.services.ledger, configured(asked=True))
    platform.faults.append(Fault(status=401))
    with pytest.raises(ProviderError):
        job.backups(made.services, made.target, made.stop)
    assert metrics(made.services.ledger, configured(asked=True)) == before
    last = made.services.ledger.last_run("shop", "provider", FAILED)
    assert last is not None
    assert last.error_code == "provider"


def test_a_target_that_is_on_no_platform_is_told_so(made: World) -> None:
    with pytest.raises(ConfigError, match="on no hosting platform"):
        job.backups(made.services, replace(made.target, supabase=None), made.stop)
    without = replace(made.target, supabase=Project(ref="a" * 20))
    with pytest.raises(ConfigError, match="no access token"):
        job.backups(made.services, without, made.stop)


@pytest.mark.extended
def test_a_schedule_that_cannot_be_changed_is_explained(made: World, platform: Platform) -> None:
    platform.schedule_changes_left = 0
    with pytest.raises(ProviderError) as caught:
        job.schedule(made.target, made.stop, AT.time())
    assert "three times in 24 hours" in (caught.value.hint or "")
    for status in (402, 404):
        platform.schedule = status
        with pytest.raises(ProviderError) as caught:
            job.schedule(made.target, made.stop, None)
        assert "plan" in (caught.value.hint or "")


def intend(made: World, at: datetime = AT) -> restoring.Intent:
    return restoring.intend(made.services, made.target, at, made.stop)


def test_a_restore_is_followed_to_its_end(made: World, platform: Platform) -> None:
    platform.after_restore = deque(["ACTIVE_HEALTHY", "RESTORING", "RESTORING", "ACTIVE_HEALTHY"])
    said: list[str] = []
    restoring.restore(made.services, made.target, intend(made), made.stop, pace=QUICK, tell=said.append)
    assert platform.restored_to == [int(AT.timestamp())]
    assert not platform.after_restore
    assert said == ["RESTORING", "ACTIVE_HEALTHY"]


@pytest.mark.extended
def test_an_answer_that_fails_meanwhile_is_borne(made: World, platform: Platform) -> None:
    platform.while_restoring = [Fault(status=429, headers={"Retry-After": "3600"})]
    restoring.restore(made.services, made.target, intend(made), made.stop, pace=QUICK)
    assert not platform.after_restore


@pytest.mark.extended
@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        (["RESTORING", "RESTORE_FAILED"], "RESTORE_FAILED"),
        (["RESTORING"], "still is RESTORING"),
        (["ACTIVE_HEALTHY"], "not seen to begin"),
    ],
)
def test_a_restore_that_does_not_end_well_is_an_error(
    made: World, platform: Platform, statuses: list[str], said: str
) -> None:
    platform.after_restore = deque(statuses)
    with pytest.raises(ProviderError, match=said):
        restoring.restore(made.services, made.target, intend(made), made.stop, pace=replace(QUICK, end=0.5))
    last = made.services.ledger.last_run("shop", "provider_restore", FAILED)
    assert last is not None
    assert last.error_code == "provider"


@pytest.mark.extended
def test_whoever_stops_following_is_told_that_it_goes_on(made: World, platform: Platform) -> None:
    platform.after_restore = deque(["RESTORING"])
    found = intend(made)
    threading.Timer(0.2, made.stop.request).start()
    with pytest.raises(CancelledError) as caught:
        restoring.restore(made.services, made.target, found, made.stop, pace=QUICK)
    assert "cannot be stopped from here" in (caught.value.hint or "")


def test_a_restore_that_may_have_begun_is_not_asked_for_twice(made: World, platform: Platform) -> None:
    found = intend(made)
    platform.faults.append(Fault(status=504))
    with pytest.raises(ProviderError, match="not known whether") as caught:
        restoring.restore(made.services, made.target, found, made.stop, pace=QUICK)
    assert "dashboard" in (caught.value.hint or "")
    assert platform.asked().count("POST /database/backups/restore-pitr") == 1


def test_a_time_out_of_the_window_or_without_a_window_is_refused(made: World, platform: Platform) -> None:
    for wrong in (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 22, 10, 0, 1, tzinfo=UTC)):
        with pytest.raises(UsageError, match="its window is 2026-11-15T02:00:00Z"):
            intend(made, wrong)
    platform.status = "PAUSING"
    with pytest.raises(ProviderError, match="is PAUSING"):
        intend(made)
    platform.backups["physical_backup_data"] = {}
    with pytest.raises(NotFoundError):
        intend(made)
    platform.backups["pitr_enabled"] = False
    with pytest.raises(UsageError, match="not enabled"):
        intend(made)
    assert not platform.restored_to


def test_what_a_process_left_open_that_died_is_closed_by_the_next(made: World) -> None:
    services = made.services
    for kind in KINDS:
        dead = Run(job=kind, target="shop", started_at=AT, host=services.host, pid=2**22 + 1)
        services.ledger.begin(dead)
    job.backups(services, made.target, made.stop)
    restoring.restore(services, made.target, intend(made), made.stop, pace=QUICK)
    ended = {(run.job, run.status) for run in services.ledger.runs("shop")}
    assert ended == {(kind, status) for kind in KINDS for status in ("lost", "succeeded")}


@pytest.mark.extended
def test_no_backup_begins_while_the_platform_restores(made: World, platform: Platform) -> None:
    found = intend(made)
    with runner.target_lock(made.services, "shop"), pytest.raises(BusyError):
        restoring.restore(made.services, made.target, found, made.stop, pace=QUICK)
    assert not platform.restored_to


def test_check_tries_the_token_and_says_how_the_project_is(made: World, platform: Platform) -> None:
    found = list(check_platform(made.target, made.stop))
    assert [(each.level, each.message) for each in found] == [
        ("ok", f"project shop ({platform.ref}) is ACTIVE_HEALTHY")
    ]
    platform.read_only, platform.status = True, "RESTORING"
    assert [each.level for each in check_platform(made.target, made.stop)] == ["warn", "warn"]
    platform.token = "sbp_other"
    with pytest.raises(ProviderError):
        list(check_platform(made.target, made.stop))
    assert list(check_platform(replace(made.target, supabase=None), made.stop)) == []


# The commands


def test_the_commands_tell_and_keep_the_token_to_themselves(platform: Platform, tmp_path: Path) -> None:
    here = home(tmp_path, platform)
    listed = here.run("supabase", "backups")
    assert "COMPLETED" in listed.stdout
    assert "physical backups from 2026-11-15 02:00:00Z" in listed.stdout
    assert here.facts("supabase", "backups")["last_success_at"] == "2026-11-22T10:00:00Z"
    assert here.facts("supabase", "schedule", "shop", "--to", "04:30")["at"] == "04:30:00"
    platform.faults.append(Fault(status=403, body=json.dumps({"message": f"{TOKEN} may not"}).encode()))
    failed = here.run("supabase", "schedule", code=26)
    assert "403" in failed.stderr
    written = b"".join(path.read_bytes() for path in here.state.rglob("*") if path.is_file())
    assert TOKEN.encode() not in written
    assert TOKEN not in listed.stdout + listed.stderr + failed.stdout + failed.stderr


@pytest.mark.extended
def test_no_backups_have_an_exit_code_of_their_own(platform: Platform, tmp_path: Path) -> None:
    here = home(tmp_path, platform)
    platform.backups = dict(NONE)
    done = here.run("supabase", "backups", code=4)
    assert "Supabase has no backup" in done.stderr
    assert "no backups are listed" in done.stdout


@pytest.mark.extended
@pytest.mark.parametrize("wrong", ["25:00", "4", "04:30+01:00", "now", ""])
def test_a_wrong_time_of_day_is_refused(platform: Platform, tmp_path: Path, wrong: str) -> None:
    home(tmp_path, platform).run("supabase", "schedule", "--to", wrong, code=2)
    assert not platform.got


@pytest.mark.extended
def test_a_point_in_time_has_to_be_said_and_confirmed(platform: Platform, tmp_path: Path) -> None:
    here = home(tmp_path, platform)
    for wrong in (
        ["--yes"],
        ["--yes", "--at", "0"],
        ["--yes", "--at", "1970-01-01"],
        ["--at", f"{AT:%Y-%m-%dT%H:%M}"],
    ):
        here.run("supabase", "restore-pitr", "shop", *wrong, code=2)
    told = here.run("supabase", "restore-pitr", "shop", "--dry-run", "--at", f"{AT:%Y-%m-%dT%H:%M}")
    assert "LOST is all that was written since" in told.stdout
    assert not platform.restored_to


@contextmanager
def asked_for_the_name(here: Home) -> Iterator[Terminal]:
    words = ("supabase", "restore-pitr", "shop", "--at", "2026-11-22T09:30:00Z", "--config", here.config)
    terminal = Terminal(argv(*words), here.folder)
    terminal.wait_for("project's name")
    yield terminal


@pytest.mark.extended
def test_another_name_changes_nothing(platform: Platform, tmp_path: Path) -> None:
    with asked_for_the_name(home(tmp_path, platform)) as terminal:
        terminal.answer("blog")
        assert terminal.end() == 130
    assert not platform.restored_to


@pytest.mark.extended
def test_the_right_name_restores(platform: Platform, tmp_path: Path) -> None:
    with asked_for_the_name(home(tmp_path, platform)) as terminal:
        terminal.answer("shop")
        terminal.wait_for("was restored")
        assert terminal.end() == 0
    assert platform.restored_to == [int(AT.timestamp())]


@pytest.mark.extended
def test_the_daemon_asks_every_hour_with_jitter(platform: Platform, tmp_path: Path) -> None:
    here = home(tmp_path, platform)
    planned = [each for each in here.facts("schedule") if each["job"] == "provider"]
    assert planned
    assert planned[0]["rule"] == "@hourly"
    times = [datetime.fromisoformat(each["at"]) - datetime.fromisoformat(each["slot"]) for each in planned]
    assert all(timedelta() <= late < timedelta(minutes=30) for late in times)
