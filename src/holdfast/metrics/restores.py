"""The metrics of restore tests: when one last passed, how the last one went, and how long a restore would take."""

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
    help="1 where the last restore test passed, 0 where it failed; NaN before the first.",
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
FAMILIES = (LAST_SUCCESS, LAST_RESULT, DURATION, ESTIMATE)


def families(scene: Scene) -> Iterator[Filled]:
    """The families of this topic with their samples."""
    passed = {target: list(scene.last_runs("restore_test", target, "succeeded")) for target in scene.targets}
    yield (
        LAST_SUCCESS,
        [((target,), runs[-1].finished_at or 0.0 if runs else 0.0) for target, runs in passed.items()],
    )
    yield LAST_RESULT, [((target,), _last_result(scene, target)) for target in scene.targets]
    yield (
        DURATION,
        [
            ((target,), (runs[-1].finished_at or 0.0) - runs[-1].started_at if runs else NAN)
            for target, runs in passed.items()
        ],
    )
    yield ESTIMATE, [((target,), _estimate(scene, target)) for target in scene.targets]


def _last_result(scene: Scene, target: str) -> float:
    *_, last = [None, *scene.last_runs("restore_test", target, "succeeded", "failed", "lost")]
    return NAN if last is None else int(last.status == "succeeded")


def _estimate(scene: Scene, target: str) -> float:
    """By bytes a second where they are known; else as long as the last one took."""
    newest = scene.overview.newest.get(target)
    done = [run for job in ("restore", "restore_test") for run in scene.last_runs(job, target, "succeeded")]
    last = max(done, key=lambda run: run.finished_at or 0.0, default=None)
    if newest is None or last is None or last.finished_at is None:
        return NAN
    seconds = last.finished_at - last.started_at
    return seconds * newest.size / last.bytes_done if last.bytes_done else seconds
