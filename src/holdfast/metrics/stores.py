"""The metrics of stores: whether they answer, what they hold, how far copies are behind, how long all is locked, and what retention did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from holdfast.metrics.scene import Scene
from holdfast.metrics.text import NAN, Family, Filled
from holdfast.model.layout import LeaseKind
from holdfast.model.overview import StoreHolding
from holdfast.model.pruning import CAUSES

UP = Family(
    name="holdfast_store_up",
    help="1 where the store answered when it was last tried, 0 where it did not; NaN before the first time.",
    labels=("store",),
)
LAST_PROBE = Family(
    name="holdfast_store_last_probe_timestamp_seconds",
    help="When the store was last tried; 0 before the first time.",
    labels=("store",),
)
BYTES = Family(
    name="holdfast_store_bytes",
    help="Bytes of whole backups in the store, as the ledger knows it.",
    labels=("store", "target"),
)
OBJECTS = Family(
    name="holdfast_store_objects",
    help="Objects of whole backups in the store, as the ledger knows it.",
    labels=("store", "target"),
)
LAG = Family(
    name="holdfast_copy_lag_backups",
    help="Whole backups that are newer than the newest in the store.",
    labels=("target", "store"),
)
COVERED = Family(
    name="holdfast_store_covered_backups",
    help="Backups in the store that somebody deleted or wrote over, and that are read from the versions beneath.",
    labels=("target", "store"),
)
DAMAGED = Family(
    name="holdfast_store_damaged_backups",
    help="Backups in the store that were found damaged or gone, and that nobody has repaired, removed or forgotten since.",
    labels=("target", "store"),
)
DELETED = Family(
    name="holdfast_retention_last_deleted",
    help="Backups that retention took away the last time; NaN before the first time.",
    labels=("target",),
)
BLOCKED = Family(
    name="holdfast_retention_blocked",
    help="1 where retention refused to remove backups the last time, by why, else 0.",
    labels=("target", "reason"),
)
LOCKED = Family(
    name="holdfast_store_lock_min_remaining_seconds",
    help="How long all that retention keeps in the store is locked still, legal holds aside; below 0 where something is"
    " locked no more, NaN where nothing is locked until a date.",
    labels=("store",),
)
ELSEWHERE = Family(
    name="holdfast_lease_elsewhere",
    help="1 where another host had the lease for that work in the store when this one last wanted it, within two days, else 0.",
    labels=("target", "store", "kind"),
)
FAMILIES = (UP, LAST_PROBE, BYTES, OBJECTS, LAG, LOCKED, COVERED, DAMAGED, DELETED, BLOCKED, ELSEWHERE)


def families(scene: Scene) -> Iterator[Filled]:
    """The families of this topic with their samples."""
    overview, places = scene.overview, scene.places
    probes = [(store, overview.probes.get(store)) for store in scene.configured.stores]
    yield UP, [((store,), int(probe.up) if probe else NAN) for store, probe in probes]
    yield LAST_PROBE, [((store,), probe.at if probe else 0.0) for store, probe in probes]
    held = [((store, target), overview.holdings.get((target, store))) for target, store in places]
    yield BYTES, [(labels, each.bytes if each else 0) for labels, each in held]
    yield OBJECTS, [(labels, each.objects if each else 0) for labels, each in held]
    yield LAG, [((target, store), _lag(scene, target, each)) for (store, target), each in held]
    ends = [(store, overview.locked_until.get(store)) for store in scene.configured.locking]
    yield LOCKED, [((store,), NAN if end is None else end - scene.now) for store, end in ends]
    yield COVERED, [(place, overview.covered.get(place, 0)) for place in places]
    yield DAMAGED, [(place, overview.damaged.get(place, 0)) for place in places]
    pruned = [(target, overview.pruned.get(target)) for target in scene.targets]
    yield DELETED, [((target,), NAN if each is None else each) for target, each in pruned]
    causes = [(target, cause) for target in scene.targets for cause in CAUSES]
    yield BLOCKED, [(labels, int(labels in overview.refused)) for labels in causes]
    leases = [(target, store, kind) for target, store in places for kind in get_args(LeaseKind)]
    yield ELSEWHERE, [(labels, int(labels in overview.elsewhere)) for labels in leases]


def _lag(scene: Scene, target: str, held: StoreHolding | None) -> int:
    if held is not None:
        return held.behind
    good = sum(count for (name, _), count in scene.overview.backups.items() if name == target)
    return good + scene.overview.waiting.get(target, 0)
