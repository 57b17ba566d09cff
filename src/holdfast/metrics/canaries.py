"""The metrics of canaries: whether the identities here still open the oldest and the newest backup, and since when."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.metrics.scene import Scene
from holdfast.metrics.text import NAN, Family, Filled

LAST_SUCCESS = Family(
    name="holdfast_canary_last_success_timestamp_seconds",
    help="When the identities here last opened the oldest and the newest backup; 0 before the first time.",
    labels=("target",),
)
LAST_RESULT = Family(
    name="holdfast_canary_last_result",
    help="1 where they opened all that they were tried on the last time, 0 where not; NaN before the first time.",
    labels=("target",),
)
FAMILIES = (LAST_SUCCESS, LAST_RESULT)


def families(scene: Scene) -> Iterator[Filled]:
    """The families of this topic with their samples."""
    yield LAST_SUCCESS, [((target,), scene.last_success("canary", target)) for target in scene.targets]
    tried = [(target, scene.overview.canaries.get(target)) for target in scene.targets]
    yield LAST_RESULT, [((target,), NAN if well is None else int(well)) for target, well in tried]
