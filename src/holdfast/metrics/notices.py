"""The metrics of notifications: how many arrived, failed, and were given up."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.metrics.scene import Scene
from holdfast.metrics.text import Family, Filled

NOTIFICATIONS = Family(
    name="holdfast_notifications_total",
    kind="counter",
    help="Notifications by channel: delivered, failed (each try that did), or given up.",
    labels=("channel", "result"),
)
FAMILIES = (NOTIFICATIONS,)
RESULTS = ("delivered", "failed", "gave_up")


def families(scene: Scene) -> Iterator[Filled]:
    """The families of this topic with their samples."""
    told = scene.overview.notifications
    yield (
        NOTIFICATIONS,
        [
            ((channel, result), told.get((channel, result), 0))
            for channel in scene.configured.channels
            for result in RESULTS
        ],
    )
