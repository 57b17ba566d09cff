"""The metrics of the backups that a hosting platform makes by itself."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.metrics.scene import Scene
from holdfast.metrics.text import NAN, Family, Filled
from holdfast.model.overview import ProviderFacts

LAST_SUCCESS = Family(
    name="holdfast_provider_backup_last_success_timestamp_seconds",
    help="When the platform last made a backup of its own that is complete; 0 for never, NaN where it is not asked.",
    labels=("target",),
)
WINDOW_START = Family(
    name="holdfast_provider_backup_pitr_window_start_timestamp_seconds",
    help="The earliest point in time that the platform can restore; 0 for none, NaN where it is not asked.",
    labels=("target",),
)
WINDOW_END = Family(
    name="holdfast_provider_backup_pitr_window_end_timestamp_seconds",
    help="The latest point in time that the platform can restore; 0 for none, NaN where it is not asked.",
    labels=("target",),
)
FAMILIES = (LAST_SUCCESS, WINDOW_START, WINDOW_END)
_NOTHING = ProviderFacts(0.0, 0.0, 0.0)
_NOT_ASKED = ProviderFacts(NAN, NAN, NAN)


def families(scene: Scene) -> Iterator[Filled]:
    """The families of this topic with their samples."""
    known = scene.overview.providers
    found = [
        (target, known.get(target, _NOTHING) if asked else _NOT_ASKED)
        for target, asked in sorted(scene.configured.providers.items())
    ]
    yield LAST_SUCCESS, [((target,), each.last_success_at) for target, each in found]
    yield WINDOW_START, [((target,), each.window_start) for target, each in found]
    yield WINDOW_END, [((target,), each.window_end) for target, each in found]
