"""A scrape tells what the ledger knows, completely, and in a form that Prometheus reads."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parsed

from holdfast.ledger import Ledger, covers, facts, probes, retention, scheduling
from holdfast.ledger.probes import Tried
from holdfast.ledger.retention import Done
from holdfast.metrics import collector, runs
from holdfast.metrics.host import Surroundings
from holdfast.metrics.text import NAN, Family, render
from holdfast.model import manifest
from holdfast.model.errors import LedgerError
from holdfast.model.overview import Configured, DaemonFacts, Measured, NewestBackup, Overview
from holdfast.model.planning import Timetable
from holdfast.model.pruning import Refusal
from holdfast.model.run import Job, Run, Status
from holdfast.model.schedule import parse
from support.model_values import NOW, names, restore_test, sample_backup

Labels = frozenset[tuple[str, str]]
CONFIGURED = Configured(targets={"shop": ("disk", "offsite"), "blog": ("disk",)}, stores=("disk", "offsite"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite", now=NOW) as opened:
        yield opened


def read(text: bytes) -> dict[str, dict[Labels, float]]:
    """Read a scrape with another program's parser."""
    found: dict[str, dict[Labels, float]] = {}
    for family in parsed(text.decode()):
        for sample in family.samples:
            series = found.setdefault(sample.name, {})
            labels = frozenset(sample.labels.items())
            assert labels not in series, "the same series twice"
            series[labels] = sample.value
    return found


class Scrape:
    """A scrape of a ledger an hour after the samples' time."""

    def __init__(self, ledger: Ledger, configured: Configured = CONFIGURED) -> None:
        now = NOW + timedelta(hours=1)
        self.found = read(
            collector.scrape(
                lambda: facts.overview(ledger.path, now, configured.copies, configured.targets),
                configured,
                Surroundings(version="1.2.3", state_dir=ledger.path.parent),
                now.timestamp(),
            )
        )

    def value(self, name: str, **labels: str) -> float:
        return self.found[f"holdfast_{name}"][frozenset(labels.items())]


def take_backup(ledger: Ledger, **changes: object) -> str:
    backup = dataclasses.replace(sample_backup(), **changes)  # type: ignore[arg-type] # its own fields
    ledger.record_backup(backup, manifest=manifest.dump(backup), signature=b"s", coverage=None)
    ledger.record_copy(backup.id, "disk", "complete", NOW)
    return backup.id


def run(
    ledger: Ledger, job: Job, status: Status, *, seconds: float = 60, size: int = 0, code: str | None = None
) -> None:
    begun = ledger.begin(Run(job=job, target="shop", started_at=NOW))
    if status != "running":
        end = NOW + timedelta(seconds=seconds)
        ledger.finish(begun.id, status=status, now=end, bytes_done=size, error_code=code)


def series(found: dict[str, dict[Labels, float]]) -> set[tuple[str, Labels]]:
    return {(name, labels) for name, samples in found.items() for labels in samples}


def test_every_known_series_exists_from_the_first_scrape(ledger: Ledger) -> None:
    """Those of a database too, where the config names it."""
    named = dataclasses.replace(CONFIGURED, databases={"shop": ("app",)})
    first, first_named = series(Scrape(ledger).found), series(Scrape(ledger, named).found)
    take_backup(ledger)
    run(ledger, "backup", "succeeded")
    run(ledger, "backup", "failed", code="source")
    run(ledger, "copy", "running")
    ledger.record_copy(sample_backup().id, "offsite", "complete", NOW)
    probes.record(ledger, [Tried(store="disk", at=NOW, error=None)])
    retention.record(ledger, "shop", "disk", Done(hidden=3), (), NOW)
    later = series(Scrape(ledger).found)
    assert series(Scrape(ledger, named).found) == first_named
    assert {name for name, _ in later - first} == {
        "holdfast_backup_database_size_bytes",
        "holdfast_backup_size_expected_bytes",
        "holdfast_backup_size_anomaly",
        "holdfast_backup_size_anomaly_score",
    }
    assert first <= later


def test_every_family_is_in_a_scrape_and_no_other(ledger: Ledger) -> None:
    text = collector.scrape(
        lambda: facts.overview(ledger.path, NOW),
        CONFIGURED,
        Surroundings(version="1", state_dir=ledger.path.parent, certificate=ledger.path),
        0.0,
    ).decode()
    heads = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert sorted(heads) == sorted(family.name for family in collector.FAMILIES)


def test_before_the_first_backup_times_are_0_and_sizes_nan(ledger: Ledger) -> None:
    scrape = Scrape(ledger)
    assert scrape.value("backup_last_success_timestamp_seconds", target="shop") == 0
    assert scrape.value("backup_last_attempt_timestamp_seconds", target="shop") == 0
    assert math.isnan(scrape.value("backup_age_seconds", target="shop"))
    assert math.isnan(scrape.value("backup_last_size_bytes", target="shop", kind="plain"))
    assert math.isnan(scrape.value("restore_test_last_result", target="shop"))
    assert math.isnan(scrape.value("store_up", store="disk"))
    assert scrape.value("backups", target="shop", proof="proven") == 0


def test_the_newest_good_backup_is_told_of(ledger: Ledger) -> None:
    take_backup(ledger)
    newer = take_backup(ledger, id="20261122T023000Z-7f3a", started_at=NOW + timedelta(minutes=30))
    ledger.record_copy(newer, "disk", "damaged", NOW)
    scrape = Scrape(ledger)
    finished = NOW + timedelta(seconds=9)
    assert scrape.value("backup_last_success_timestamp_seconds", target="shop") == finished.timestamp()
    assert scrape.value("backup_recovery_point_timestamp_seconds", target="shop") == NOW.timestamp()
    assert scrape.value("backup_age_seconds", target="shop") == 3600 - 9
    assert scrape.value("backup_last_duration_seconds", target="shop") == 9
    assert scrape.value("backup_last_size_bytes", target="shop", kind="plain") == 1000
    assert scrape.value("backup_last_size_bytes", target="shop", kind="stored") == 700
    assert scrape.value("backups", target="shop", proof="stored") == 1
    assert scrape.value("backup_last_success_timestamp_seconds", target="blog") == 0


def test_a_backup_that_waits_for_copies_is_no_success_yet(ledger: Ledger) -> None:
    first = take_backup(ledger)
    both = dataclasses.replace(CONFIGURED, copies={"shop": 2}, off_site=frozenset({"offsite"}))
    waiting = Scrape(ledger, both)
    assert waiting.value("backup_last_success_timestamp_seconds", target="shop") == 0
    assert waiting.value("backups", target="shop", proof="stored") == 0
    assert waiting.value("backups_waiting", target="shop") == 1
    assert waiting.value("copy_lag_backups", target="shop", store="offsite") == 1
    ledger.record_copy(first, "offsite", "complete", NOW)
    good = Scrape(ledger, both)
    assert good.value("backup_last_success_timestamp_seconds", target="shop") > 0
    assert good.value("backups", target="shop", proof="stored") == 1
    assert good.value("backups_waiting", target="shop") == 0
    assert good.value("backup_copies", target="shop") == 2
    assert good.value("backup_off_site_copies", target="shop") == 1


def test_a_backup_that_lies_nowhere_whole_is_no_success(ledger: Ledger) -> None:
    made = take_backup(ledger)
    ledger.record_copy(made, "disk", "missing", NOW)
    scrape = Scrape(ledger)
    assert scrape.value("backup_last_success_timestamp_seconds", target="shop") == 0
    assert scrape.value("backups", target="shop", proof="stored") == 0
    assert scrape.value("store_bytes", target="shop", store="disk") == 0


def test_stores_tell_what_they_hold_and_how_far_behind_they_are(ledger: Ledger) -> None:
    for hour in range(3):
        made = take_backup(ledger, id=f"20261122T0{hour}0000Z-7f3a")
        if hour == 0:
            ledger.record_copy(made, "offsite", "complete", NOW)
    away = Tried(store="offsite", at=NOW, error="no answer")
    probes.record(ledger, [Tried(store="disk", at=NOW, error=None), away])
    scrape = Scrape(ledger)
    assert scrape.value("store_bytes", target="shop", store="disk") == 2100
    assert scrape.value("store_objects", target="shop", store="disk") == 9
    assert scrape.value("copy_lag_backups", target="shop", store="disk") == 0
    assert scrape.value("copy_lag_backups", target="shop", store="offsite") == 2
    assert scrape.value("store_up", store="disk") == 1
    assert scrape.value("store_up", store="offsite") == 0
    assert scrape.value("store_last_probe_timestamp_seconds", store="offsite") == NOW.timestamp()


def test_what_somebody_laid_over_backups_is_counted_until_it_is_gone(ledger: Ledger) -> None:
    made = take_backup(ledger)
    assert Scrape(ledger).value("store_covered_backups", target="shop", store="disk") == 0
    covers.record(ledger, made, "disk", "3 objects deleted")
    assert Scrape(ledger).value("store_covered_backups", target="shop", store="disk") == 1
    covers.record(ledger, made, "disk", None)
    assert Scrape(ledger).value("store_covered_backups", target="shop", store="disk") == 0


def test_a_store_that_never_got_a_copy_lacks_all_backups(ledger: Ledger) -> None:
    for hour in range(3):
        take_backup(ledger, id=f"20261122T0{hour}0000Z-7f3a")
    assert Scrape(ledger).value("copy_lag_backups", target="shop", store="offsite") == 3


def test_runs_are_counted_by_how_they_ended(ledger: Ledger) -> None:
    run(ledger, "backup", "succeeded")
    run(ledger, "backup", "failed", code="source")
    run(ledger, "backup", "lost", code="lost")
    run(ledger, "backup", "cancelled", code="cancelled")
    scrape = Scrape(ledger)
    counts = {
        result: scrape.value("runs_total", job="backup", target="shop", result=result)
        for result in runs.RESULTS
    }
    assert counts == {"succeeded": 1, "failed": 1, "cancelled": 1, "skipped": 0, "missed": 0, "lost": 1}
    codes = scrape.found["holdfast_run_failures_total"]
    assert {dict(labels)["code"]: value for labels, value in codes.items() if value} == {
        "source": 1,
        "lost": 1,
    }
    assert scrape.value("job_failures_in_a_row", job="backup", target="shop") == 2


def test_a_success_ends_the_row_of_failures(ledger: Ledger) -> None:
    run(ledger, "backup", "failed", code="store")
    run(ledger, "backup", "succeeded", seconds=30)
    scrape = Scrape(ledger)
    assert scrape.value("job_failures_in_a_row", job="backup", target="shop") == 0
    assert (
        scrape.value("job_last_success_timestamp_seconds", job="backup", target="shop")
        == NOW.timestamp() + 30
    )
    assert scrape.value("backup_last_attempt_timestamp_seconds", target="shop") == NOW.timestamp()


def test_a_run_that_never_began_is_no_attempt(ledger: Ledger) -> None:
    run(ledger, "backup", "succeeded")
    missed = NOW + timedelta(minutes=5)
    ledger.begin(Run(job="backup", target="shop", started_at=missed, finished_at=missed, status="missed"))
    scrape = Scrape(ledger)
    assert scrape.value("backup_last_attempt_timestamp_seconds", target="shop") == NOW.timestamp()
    assert scrape.value("runs_missed_total", job="backup", target="shop") == 1


def test_what_goes_on_is_told_with_its_bytes(ledger: Ledger) -> None:
    begun = ledger.begin(Run(job="backup", target="shop", started_at=NOW))
    ledger.heartbeat(begun.id, now=NOW, bytes_done=4711)
    scrape = Scrape(ledger)
    assert scrape.value("run_in_progress", job="backup", target="shop") == 1
    assert scrape.value("run_bytes_done", job="backup", target="shop") == 4711
    assert scrape.value("run_in_progress", job="backup", target="blog") == 0
    assert scrape.value("backup_last_attempt_timestamp_seconds", target="shop") == NOW.timestamp()


def test_restore_tests_tell_how_long_a_restore_takes(ledger: Ledger) -> None:
    take_backup(ledger)
    passed = restore_test(
        at=NOW + timedelta(seconds=20), outcome="passed", seconds=30, restore_seconds=20, size=500
    )
    ledger.record_proof(passed)
    assert Scrape(ledger).value("restore_test_last_result", target="shop") == 1
    failed = restore_test(
        at=NOW + timedelta(seconds=60), outcome="failed", seconds=99, restore_seconds=90, size=500
    )
    ledger.record_proof(failed)
    run(ledger, "restore_test", "failed", seconds=99, code="could_not_test")
    scrape = Scrape(ledger)
    assert scrape.value("restore_test_last_success_timestamp_seconds", target="shop") == NOW.timestamp() + 20
    assert scrape.value("restore_test_last_result", target="shop") == 0
    assert scrape.value("restore_test_duration_seconds", target="shop") == 30
    assert scrape.value("recovery_time_estimate_seconds", target="shop") == 40
    older = take_backup(ledger, id="20261120T020000Z-7f3a")  # chosen at random in the same run
    ledger.record_proof(dataclasses.replace(passed, backup_id=older, at=NOW + timedelta(seconds=99)))
    assert Scrape(ledger).value("restore_test_last_result", target="shop") == 0


def test_a_test_that_could_not_be_made_is_no_result(ledger: Ledger) -> None:
    take_backup(ledger)
    ledger.record_proof(restore_test(at=NOW, outcome="passed", seconds=30, restore_seconds=20, size=500))
    for _ in range(2):
        run(ledger, "restore_test", "failed", seconds=1, code="could_not_test")
    scrape = Scrape(ledger)
    assert scrape.value("restore_test_last_result", target="shop") == 1
    assert scrape.value("job_failures_in_a_row", job="restore_test", target="shop") == 2


def test_the_daemons_facts_come_from_the_ledger(ledger: Ledger) -> None:
    before = Scrape(ledger)
    assert before.value("scheduler_last_tick_timestamp_seconds") == 0
    assert before.value("config_reload_success") == 1
    timetable = Timetable(schedule=parse("@daily"))
    scheduling.configure(ledger, ["shop", "blog"], {("backup", "shop"): timetable}, NOW)
    scheduling.plan_next(ledger, {("backup", "shop"): NOW + timedelta(hours=22)})
    scheduling.started(ledger, now=NOW, version="1", host="h", pid=1)
    scheduling.ticked(ledger, NOW + timedelta(seconds=60), clock_suspect=True)
    scheduling.reloaded(ledger, NOW, "unknown key")
    scheduling.pause(ledger, "blog", now=NOW, until=None)
    scrape = Scrape(ledger)
    assert scrape.value("scheduler_last_tick_timestamp_seconds") == NOW.timestamp() + 60
    assert scrape.value("clock_suspect") == 1
    assert scrape.value("config_reload_success") == 0
    assert scrape.value("target_configured_timestamp_seconds", target="shop") == NOW.timestamp()
    assert scrape.value("job_interval_seconds", job="backup", target="shop") == 86400
    assert (
        scrape.value("job_next_run_timestamp_seconds", job="backup", target="shop") == NOW.timestamp() + 79200
    )
    assert math.isnan(scrape.value("job_interval_seconds", job="backup", target="blog"))
    assert scrape.value("target_paused", target="blog") == 1
    assert scrape.value("target_paused", target="shop") == 0
    assert scrape.value("build_info", version="1.2.3") == 1
    assert scrape.value("state_dir_free_bytes") > 0
    assert scrape.found["process_resident_memory_bytes"][frozenset()] > 1e6


def test_what_retention_did_is_told(ledger: Ledger) -> None:
    refused = Refusal(cause="clock", text="the clock is wrong", hint="set it")
    retention.record(ledger, "shop", "disk", Done(hidden=3), (), NOW)
    retention.record(ledger, "shop", "offsite", Done(hidden=1), (refused,), NOW)
    scrape = Scrape(ledger)
    assert scrape.value("retention_last_deleted", target="shop") == 3
    assert scrape.value("retention_blocked", target="shop", reason="clock") == 1
    assert scrape.value("retention_blocked", target="shop", reason="anomaly") == 0
    assert scrape.value("retention_blocked", target="blog", reason="clock") == 0
    retention.record(ledger, "shop", "offsite", Done(), (), NOW)
    assert Scrape(ledger).value("retention_blocked", target="shop", reason="clock") == 0


def test_a_target_that_left_the_config_is_told_of_no_more(ledger: Ledger) -> None:
    take_backup(ledger, target="gone")
    run(ledger, "backup", "failed")
    scrape = Scrape(ledger, Configured(targets={"blog": ("disk",)}, stores=("disk",)))
    assert "gone" not in str(scrape.found)
    assert "shop" not in str(scrape.found)


def test_a_host_without_targets_tells_of_the_backups_that_it_finds(ledger: Ledger) -> None:
    take_backup(ledger)
    scrape = Scrape(ledger, Configured(targets={}, stores=("disk",)))
    assert scrape.value("backups", target="shop", proof="stored") == 1


def test_without_a_ledger_a_scrape_says_so(tmp_path: Path) -> None:
    def missing() -> Overview:
        return facts.overview(tmp_path / "none", NOW)

    with pytest.raises(LedgerError):
        missing()
    found = read(collector.scrape(missing, CONFIGURED, Surroundings(version="1", state_dir=tmp_path), 0.0))
    assert found["holdfast_ledger_up"] == {frozenset(): 0.0}
    assert "holdfast_backup_last_success_timestamp_seconds" not in found


def test_health_wants_a_scheduler_that_ticks() -> None:
    def daemon(tick: float) -> DaemonFacts:
        return DaemonFacts(tick, reload_refused=False, clock_suspect=False)

    assert collector.health(lambda: daemon(1000), 1100) == ()
    assert collector.health(lambda: daemon(1000), 1300) == (
        "the scheduler has not shown a sign of life for 300 s",
    )
    assert collector.health(lambda: None, 0) == ("the scheduler has not begun yet",)


@given(target=names, database=names)
def test_hostile_names_are_read_back_as_they_are(target: str, database: str) -> None:
    """Bytes that are no text, and the NUL that no name has, aside: they come back as something readable."""
    overview = Overview(
        newest={target: NewestBackup("id", 1.0, 2.0, 3, 4)},
        measures=(Measured(target, database, "size", 5, None, None),),
    )
    scene = Configured(targets={target: ("disk",)}, stores=("disk",))
    found = read(
        collector.scrape(lambda: overview, scene, Surroundings(version="1", state_dir=Path("/")), 3.0)
    )
    [labels] = found["holdfast_backup_database_size_bytes"]
    kept = {"target": target, "database": database}
    assert labels == {
        (name, value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "backslashreplace").decode())
        for name, value in kept.items()
    }


@given(st.floats(allow_infinity=False) | st.integers(min_value=-(2**63), max_value=2**63))
def test_numbers_are_read_back_as_they_are(value: float) -> None:
    found = read(render([(Family(name="x", help="A number."), [((), value)])]))
    assert found == {"x": {frozenset(): pytest.approx(float(value), rel=0, abs=0, nan_ok=True)}}


def test_a_family_without_samples_keeps_its_head() -> None:
    assert (
        render([(Family(name="x", kind="counter", help="None."), [])])
        == b"# HELP x None.\n# TYPE x counter\n"
    )
    assert render([(Family(name="x", help="One."), [((), NAN)])]).endswith(b"\nx NaN\n")
