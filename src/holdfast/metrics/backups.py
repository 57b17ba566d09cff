"""The metrics of backups: the newest good one of each target, its size, and whether that is as expected."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.metrics.scene import Scene
from holdfast.metrics.text import NAN, Family, Filled, Sample
from holdfast.model.overview import MEASURES
from holdfast.model.proof import LEVELS

LAST_SUCCESS = Family(
    name="holdfast_backup_last_success_timestamp_seconds",
    help="When the newest good backup was finished; 0 before the first.",
    labels=("target",),
)
LAST_ATTEMPT = Family(
    name="holdfast_backup_last_attempt_timestamp_seconds",
    help="When a backup was last begun; 0 before the first.",
    labels=("target",),
)
RECOVERY_POINT = Family(
    name="holdfast_backup_recovery_point_timestamp_seconds",
    help="When the newest good backup was begun: what is newer is in no backup; 0 before the first.",
    labels=("target",),
)
DURATION = Family(
    name="holdfast_backup_last_duration_seconds",
    help="How long the newest good backup took.",
    labels=("target",),
)
SIZE = Family(
    name="holdfast_backup_last_size_bytes",
    help="How large the newest good backup is: plain as dumped, stored as it lies in a store.",
    labels=("target", "kind"),
)
AGE = Family(
    name="holdfast_backup_age_seconds",
    help="Time since the newest good backup was finished, for people; alert on the timestamp.",
    labels=("target",),
)
BACKUPS = Family(
    name="holdfast_backups",
    help="Good backups by how far they are proven.",
    labels=("target", "proof"),
)
WAITING = Family(
    name="holdfast_backups_waiting",
    help="Whole backups that are not in as many stores as require_copies asks for: they are not good yet.",
    labels=("target",),
)
COPIES = Family(
    name="holdfast_backup_copies",
    help="Stores that hold the newest good backup whole.",
    labels=("target",),
)
OFF_SITE = Family(
    name="holdfast_backup_off_site_copies",
    help="Those of them that lie elsewhere than the servers (off_site).",
    labels=("target",),
)
DATABASE_SIZE = Family(
    name="holdfast_backup_database_size_bytes",
    help="How large the dump of a database is in the newest good backup.",
    labels=("target", "database"),
)
EXPECTED = Family(
    name="holdfast_backup_size_expected_bytes",
    help="How large that dump was expected to be, judged by those before it.",
    labels=("target", "database"),
)
ANOMALY = Family(
    name="holdfast_backup_size_anomaly",
    help="1 where a measure of the newest good backup is far from what was expected, else 0.",
    labels=("target", "database", "measure"),
)
SCORE = Family(
    name="holdfast_backup_size_anomaly_score",
    help="How far a measure is from what was expected: beyond 1 too large, beyond -1 too small.",
    labels=("target", "database", "measure"),
)
DROPPED = Family(
    name="holdfast_backup_schema_dropped",
    help="How many tables and columns the newest backup has not any more that the one before it had.",
    labels=("target", "database", "kind"),
)
FAMILIES = (
    LAST_SUCCESS,
    LAST_ATTEMPT,
    RECOVERY_POINT,
    DURATION,
    SIZE,
    AGE,
    BACKUPS,
    WAITING,
    COPIES,
    OFF_SITE,
    DATABASE_SIZE,
    EXPECTED,
    ANOMALY,
    SCORE,
    DROPPED,
)


def families(scene: Scene) -> Iterator[Filled]:
    """The families of this topic with their samples."""
    overview, targets = scene.overview, scene.targets
    newest = [(target, overview.newest.get(target)) for target in targets]
    yield LAST_SUCCESS, [((target,), each.finished_at if each else 0.0) for target, each in newest]
    yield LAST_ATTEMPT, [((target,), scene.last_attempt("backup", target)) for target in targets]
    yield RECOVERY_POINT, [((target,), each.started_at if each else 0.0) for target, each in newest]
    yield (
        DURATION,
        [((target,), each.finished_at - each.started_at if each else NAN) for target, each in newest],
    )
    sizes: list[Sample] = []
    for target, each in newest:
        sizes.append(((target, "plain"), each.size if each else NAN))
        sizes.append(((target, "stored"), each.stored_size if each else NAN))
    yield SIZE, sizes
    yield AGE, [((target,), scene.now - each.finished_at if each else NAN) for target, each in newest]
    yield (
        BACKUPS,
        [
            ((target, level), overview.backups.get((target, level), 0))
            for target in targets
            for level in LEVELS
        ],
    )
    yield from _copies(scene)
    yield from _measures(scene)


def _copies(scene: Scene) -> Iterator[Filled]:
    """How the rule of 3-2-1 is met, and what does not count yet."""
    held = [(target, scene.overview.held.get(target, ())) for target in scene.targets]
    yield WAITING, [((target,), scene.overview.waiting.get(target, 0)) for target in scene.targets]
    yield COPIES, [((target,), len(stores)) for target, stores in held]
    off_site = scene.configured.off_site
    yield OFF_SITE, [((target,), sum(store in off_site for store in stores)) for target, stores in held]


def _measures(scene: Scene) -> Iterator[Filled]:
    """What is known of databases; those that the config names are there before their first backup, too."""
    known = set(scene.targets)
    values: dict[tuple[str, str], float] = {}
    expected: dict[tuple[str, str], float] = {}
    scores: dict[tuple[str, str, str], float] = {}
    dropped: dict[tuple[str, str, str], float] = {}
    for target, names in scene.configured.databases.items():
        for name in names:
            values[target, name] = expected[target, name] = NAN
            scores |= {(target, name, measure): NAN for measure in MEASURES}
            dropped |= {(target, name, kind): 0 for kind in ("tables", "columns")}
    for each in scene.overview.measures:
        if each.target not in known:
            continue
        scores[each.target, each.database, each.measure] = _or_nan(each.score)
        if each.measure == "size":
            values[each.target, each.database] = each.value
            expected[each.target, each.database] = _or_nan(each.expected)
    for found in scene.overview.schemas:
        if found.target in known:
            dropped[found.target, found.database, "tables"] = found.dropped_tables
            dropped[found.target, found.database, "columns"] = found.dropped_columns
    yield DATABASE_SIZE, list(values.items())
    yield EXPECTED, list(expected.items())
    yield ANOMALY, [(labels, int(abs(score) > 1)) for labels, score in scores.items()]
    yield SCORE, list(scores.items())
    yield DROPPED, list(dropped.items())


def _or_nan(value: float | None) -> float:
    return NAN if value is None else value
