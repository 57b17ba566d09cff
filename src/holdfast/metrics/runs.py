"""The metrics of runs: how many ended in which way, what goes on, and when each job is done next."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.metrics.scene import Scene
from holdfast.metrics.text import NAN, Family, Filled
from holdfast.model import errors

RUNS = Family(
    name="holdfast_runs_total",
    kind="counter",
    help="Runs by how they ended, those of the command line too.",
    labels=("job", "target", "result"),
)
FAILURES = Family(
    name="holdfast_run_failures_total",
    kind="counter",
    help="Runs that failed or were lost, by the code of the error.",
    labels=("job", "target", "code"),
)
MISSED = Family(
    name="holdfast_runs_missed_total",
    kind="counter",
    help="Planned times at which nothing ran and that were not caught up.",
    labels=("job", "target"),
)
IN_A_ROW = Family(
    name="holdfast_job_failures_in_a_row",
    help="Runs that failed or were lost since the last that succeeded.",
    labels=("job", "target"),
)
JOB_LAST_SUCCESS = Family(
    name="holdfast_job_last_success_timestamp_seconds",
    help="When a run of the job last ended well; 0 before the first.",
    labels=("job", "target"),
)
IN_PROGRESS = Family(
    name="holdfast_run_in_progress",
    help="Runs that go on.",
    labels=("job", "target"),
)
BYTES_DONE = Family(
    name="holdfast_run_bytes_done",
    help="Plain bytes that the run that goes on has done, as of its last heartbeat; 0 where none does.",
    labels=("job", "target"),
)
NEXT_RUN = Family(
    name="holdfast_job_next_run_timestamp_seconds",
    help="When the daemon runs the job next; NaN where it does not by itself.",
    labels=("job", "target"),
)
INTERVAL = Family(
    name="holdfast_job_interval_seconds",
    help="The longest regular time between two runs; NaN where the daemon does not run the job by itself.",
    labels=("job", "target"),
)
HABIT = Family(
    name="holdfast_backup_usual_interval_seconds",
    help="What usually lies between the backups of a target without a schedule, taken by cron or another host; else NaN.",
    labels=("target",),
)
PAUSED = Family(
    name="holdfast_target_paused",
    help="1 while the target is paused, else 0.",
    labels=("target",),
)
CONFIGURED = Family(
    name="holdfast_target_configured_timestamp_seconds",
    help="Since when the config has the target; 0 where no daemon ran with it yet.",
    labels=("target",),
)
FAMILIES = (
    RUNS,
    FAILURES,
    MISSED,
    IN_A_ROW,
    JOB_LAST_SUCCESS,
    IN_PROGRESS,
    BYTES_DONE,
    NEXT_RUN,
    INTERVAL,
    HABIT,
    PAUSED,
    CONFIGURED,
)

RESULTS = ("succeeded", "failed", "cancelled", "skipped", "missed", "lost")
_FAILED = ("failed", "lost")


def _codes(kind: type[errors.Error] = errors.Error) -> Iterator[str]:
    yield kind.code
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from _codes(below)


# What a run can fail with; the others are the business of the command line.
CODES = tuple(sorted({*_codes(), "lost"} - {"usage", "partial", "cancelled", "missed"}))


def families(scene: Scene) -> Iterator[Filled]:
    """The families of this topic with their samples."""
    yield from _counters(scene)
    overview, jobs = scene.overview, scene.jobs
    yield IN_A_ROW, [(key, overview.in_a_row.get(key, 0)) for key in jobs]
    yield JOB_LAST_SUCCESS, [(key, scene.last_success(*key)) for key in jobs]
    running = dict.fromkeys(jobs, 0)
    done = dict.fromkeys(jobs, 0)
    for run in overview.running:
        if (key := (run.job, run.target)) in running:
            running[key] += 1
            done[key] += run.bytes_done
    yield IN_PROGRESS, list(running.items())
    yield BYTES_DONE, list(done.items())
    planned = {(each.job, each.target): each for each in overview.planned}
    next_runs = {key: each.next_run_at for key, each in planned.items()}
    yield NEXT_RUN, [(key, NAN if (at := next_runs.get(key)) is None else at) for key in jobs]
    yield INTERVAL, [(key, planned[key].interval if key in planned else NAN) for key in jobs]
    yield HABIT, [((target,), overview.habits.get(target, NAN)) for target in scene.targets]
    yield PAUSED, [((target,), int(target in overview.paused)) for target in scene.targets]
    yield CONFIGURED, [((target,), overview.configured_at.get(target, 0.0)) for target in scene.targets]


def _counters(scene: Scene) -> Iterator[Filled]:
    ended = {(*key, result): 0 for key in scene.jobs for result in RESULTS}
    failed = {(*key, code): 0 for key in scene.jobs for code in CODES}
    known = set(scene.jobs)
    for tally in scene.overview.tallies:
        key = (tally.job, tally.target)
        if key not in known:
            continue
        ended[*key, tally.status] = ended.get((*key, tally.status), 0) + tally.runs
        if tally.status in _FAILED:
            code = tally.code or "internal"
            failed[*key, code] = failed.get((*key, code), 0) + tally.runs
    yield RUNS, list(ended.items())
    yield FAILURES, list(failed.items())
    yield MISSED, [(key, ended[*key, "missed"]) for key in scene.jobs]
