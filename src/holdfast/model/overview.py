"""What is known at one moment of all targets, stores and runs: what the metrics tell. Times are seconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MEASURES = ("size", "tables", "rows")
LOSSES = ("damaged", "rolled_back", "vanished")  # how a ledger forgets


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """What the config has now, by name: the stores of each target, all stores, and the channels of notifications.

    `databases` are those of the targets that name theirs; `copies` in how many stores a backup has to be to be good, where
    that is more than one; `off_site` the stores that lie elsewhere, `locking` those that lock what they keep; `providers`
    the targets on a hosting platform, and whether that is asked about its own backups.
    """

    targets: Mapping[str, tuple[str, ...]]
    stores: tuple[str, ...]
    channels: tuple[str, ...] = ()
    databases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    copies: Mapping[str, int] = field(default_factory=dict)
    off_site: frozenset[str] = frozenset()
    providers: Mapping[str, bool] = field(default_factory=dict)
    locking: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewestBackup:
    """The newest backup of a target of which a whole copy is known. Sizes in bytes, dumped and stored."""

    backup_id: str
    started_at: float
    finished_at: float
    size: int
    stored_size: int


@dataclass(frozen=True, slots=True)
class Measured:
    """A measure of a database in the newest backup, and what was expected; None where too few came before."""

    target: str
    database: str
    measure: str
    value: int
    expected: float | None
    score: float | None


@dataclass(frozen=True, slots=True)
class SchemaFacts:
    """How many tables and columns of a database the newest backup has not any more that the one before it had."""

    target: str
    database: str
    dropped_tables: int
    dropped_columns: int


@dataclass(frozen=True, slots=True)
class StoreHolding:
    """What a store holds of a target in whole copies, and how many newer backups it does not hold."""

    backups: int
    bytes: float
    objects: int
    behind: int


@dataclass(frozen=True, slots=True)
class RunTally:
    """How many runs ended this way, ever. `code` is empty where nothing failed."""

    job: str
    target: str
    status: str
    code: str
    runs: int


@dataclass(frozen=True, slots=True)
class RunFacts:
    """When a run began and ended (None: it runs), and how many bytes it has done."""

    job: str
    target: str
    status: str
    started_at: float
    finished_at: float | None
    bytes_done: int


@dataclass(frozen=True, slots=True)
class RestoreTestFacts:
    """When a restore test came to a result, whether it passed, and how long it and its restore took, of how many bytes."""

    at: float
    passed: bool
    seconds: float
    restore_seconds: float | None
    archive_bytes: int


@dataclass(frozen=True, slots=True)
class DrillFacts:
    """When a drill came to its end, and how long it took."""

    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Planned:
    """A job that the daemon does by itself: the longest regular time between two runs, and when it looks at it next."""

    job: str
    target: str
    interval: float
    next_run_at: float | None


@dataclass(frozen=True, slots=True)
class Probe:
    """When a store was last tried, and whether it answered."""

    at: float
    up: bool


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """When the platform last made a backup of its own, and what points in time it can restore; 0 for none."""

    last_success_at: float
    window_start: float
    window_end: float


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """How the daemon is: when its scheduler last showed that it lives, and whether it took the config's last change."""

    tick_at: float
    reload_refused: bool
    clock_suspect: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """One snapshot of the ledger.

    `configured_at` and `paused` are by target, `newest` likewise; `backups` by target and proof, `holdings` by target
    and store, `probes` by store. `last_runs` has the newest run of each job, target and way to end, by the order of
    their beginning; `running` those that go on; `in_a_row` counts the failures of a job and target since its last
    success, where there are any; `notifications` counts by channel and result. `pruned` is how many backups retention hid
    the last time, by target; `refused` why it refuses to, by target and cause; `elsewhere` are the leases that another host had, by target, store and kind.
    `providers` is what the platform of a target said of its own backups.
    `tests` has the last restore test of each target and outcome, by the outcome's word; `failing` the newest backup of a
    target that failed its test, where none of it or of a newer one passed since. `held` are the stores that hold
    the newest good backup of each target whole; `canaries` says whether all that the last canary tried opened; `waiting` counts those that are not in enough stores;
    `drills` has the last drill of each target; `locked_until`, by store, when the first lock ends of what retention keeps.
    `losses` says when the ledger was found to have lost what it knew, by one of LOSSES; `rebuilt_at` when a person last
    had it rebuilt, 0 for never.
    `habits` are the seconds that usually lie between the backups of a target that has no schedule, where that is known.
    `covered` counts the copies that somebody deleted or wrote over, `damaged` those that were found damaged or gone, by
    target and store.
    """

    configured_at: Mapping[str, float] = field(default_factory=dict)
    paused: frozenset[str] = frozenset()
    newest: Mapping[str, NewestBackup] = field(default_factory=dict)
    measures: tuple[Measured, ...] = ()
    schemas: tuple[SchemaFacts, ...] = ()
    backups: Mapping[tuple[str, str], int] = field(default_factory=dict)
    holdings: Mapping[tuple[str, str], StoreHolding] = field(default_factory=dict)
    covered: Mapping[tuple[str, str], int] = field(default_factory=dict)
    damaged: Mapping[tuple[str, str], int] = field(default_factory=dict)
    tallies: tuple[RunTally, ...] = ()
    last_runs: tuple[RunFacts, ...] = ()
    running: tuple[RunFacts, ...] = ()
    planned: tuple[Planned, ...] = ()
    probes: Mapping[str, Probe] = field(default_factory=dict)
    pruned: Mapping[str, int] = field(default_factory=dict)
    refused: frozenset[tuple[str, str]] = frozenset()
    elsewhere: frozenset[tuple[str, str, str]] = frozenset()
    in_a_row: Mapping[tuple[str, str], int] = field(default_factory=dict)
    notifications: Mapping[tuple[str, str], int] = field(default_factory=dict)
    tests: Mapping[tuple[str, str], RestoreTestFacts] = field(default_factory=dict)
    failing: Mapping[str, str] = field(default_factory=dict)
    canaries: Mapping[str, bool] = field(default_factory=dict)
    held: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    drills: Mapping[str, DrillFacts] = field(default_factory=dict)
    providers: Mapping[str, ProviderFacts] = field(default_factory=dict)
    locked_until: Mapping[str, float] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)
    rebuilt_at: float = 0.0
    habits: Mapping[str, float] = field(default_factory=dict)
    daemon: DaemonFacts | None = None
