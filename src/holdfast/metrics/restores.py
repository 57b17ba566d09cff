"""The metrics of restore tests and drills: when one last went well, how the last test went, and how long a restore would take."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.metrics.scene import Scene
from holdfast.metrics.text import NAN, Family, Filled

LAST_SUCCESS = Family(
    name="holdfast_restore_test_last_success_timestamp_seconds",
    help="When a restore test last passed; 0 before the first.",
    labels=("target",),
)
LAST_RESULT = Family(
    name="holdfast_restore_test_last_result",
    help="0 where a restore test failed, and none of that backup or of a newer one passed since; else 1; NaN before the first.",
    labels=("target",),
)
DURATION = Family(
    name="holdfast_restore_test_duration_seconds",
    help="How long the last restore test that passed took; NaN before the first.",
    labels=("target",),
)
ESTIMATE = Family(
    name="holdfast_recovery_time_estimate_seconds",
    help="How long restoring the newest good backup would take, at the pace of the last restore or restore test.",
    labels=("target",),
)
DRILL_LAST = Family(
    name="holdfast_drill_last_success_timestamp_seconds",
    help="When a drill of the disaster plan last came to its end; 0 before the first.",
    labels=("target",),
)
DRILL_DURATION = Family(
    name="holdfast_drill_duration_seconds",
    help="How long that drill took, without making its throwaway server; NaN before the first.",
    labels=("target",),
)
FAMILIES = (LAST_SUCCESS, LAST_RESULT, DURATION, ESTIMATE, DRILL_LAST, DRILL_DURATION)


def families(scene: Scene) -> Iterator[Filled]:
    """The families of this topic with their samples. Tests that were made elsewhere count as well."""
    passed = [(target, scene.overview.tests.get((target, "passed"))) for target in scene.targets]
    yield LAST_SUCCESS, [((target,), test.at if test else 0.0) for target, test in passed]
    yield LAST_RESULT, [((target,), _last_result(scene, target)) for target in scene.targets]
    yield DURATION, [((target,), test.seconds if test else NAN) for target, test in passed]
    yield ESTIMATE, [((target,), _estimate(scene, target)) for target in scene.targets]
    drills = [(target, scene.overview.drills.get(target)) for target in scene.targets]
    yield DRILL_LAST, [((target,), drill.at if drill else 0.0) for target, drill in drills]
    yield DRILL_DURATION, [((target,), drill.seconds if drill else NAN) for target, drill in drills]


def _last_result(scene: Scene, target: str) -> float:
    """By the tests that came to a result. One that could not be made says nothing of the backups."""
    if target in scene.overview.failing:
        return 0
    known = any((target, outcome) in scene.overview.tests for outcome in ("passed", "failed"))
    return 1 if known else NAN


def _estimate(scene: Scene, target: str) -> float:
    """By bytes a second where they are known; else as long as the last one took."""
    newest = scene.overview.newest.get(target)
    paces = [  # when, how long, of how many bytes
        (run.finished_at, run.finished_at - run.started_at, run.bytes_done)
        for run in scene.last_runs("restore", target, "succeeded")
        if run.finished_at is not None
    ]
    test = scene.overview.tests.get((target, "passed"))
    if test is not None and test.restore_seconds is not None:
        paces.append((test.at, test.restore_seconds, test.archive_bytes))
    if newest is None or not paces:
        return NAN
    _, seconds, size = max(paces)
    return seconds * newest.size / size if size else seconds
