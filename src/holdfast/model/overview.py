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
    """One snapshot of the ledger. The comment at a mapping says what its keys are."""

    # What is backed up.
    configured_at: Mapping[str, float] = field(default_factory=dict)  # target
    paused: frozenset[str] = frozenset()
    habits: Mapping[str, float] = field(
        default_factory=dict
    )  # target without a schedule: usual seconds between two
    # Backups. `newest` and `held` are of the newest good one; `waiting` counts those that are not in enough stores.
    newest: Mapping[str, NewestBackup] = field(default_factory=dict)  # target
    held: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # target: the stores that hold it whole
    backups: Mapping[tuple[str, str], int] = field(default_factory=dict)  # target, proof
    waiting: Mapping[str, int] = field(default_factory=dict)  # target
    measures: tuple[Measured, ...] = ()
    schemas: tuple[SchemaFacts, ...] = ()
    canaries: Mapping[str, bool] = field(default_factory=dict)  # target: all that the last one tried opened
    # Copies. `covered` counts what somebody deleted or wrote over, `damaged` what was found damaged or gone.
    probes: Mapping[str, Probe] = field(default_factory=dict)  # store
    holdings: Mapping[tuple[str, str], StoreHolding] = field(default_factory=dict)  # target, store
    covered: Mapping[tuple[str, str], int] = field(default_factory=dict)  # target, store
    damaged: Mapping[tuple[str, str], int] = field(default_factory=dict)  # target, store
    locked_until: Mapping[str, float] = field(
        default_factory=dict
    )  # store: when the first lock ends of what is kept
    elsewhere: frozenset[tuple[str, str, str]] = (
        frozenset()
    )  # target, store, kind of leases that another host had
    # Runs. `last_runs` has the newest of each job, target and way to end, by their beginning.
    tallies: tuple[RunTally, ...] = ()
    last_runs: tuple[RunFacts, ...] = ()
    running: tuple[RunFacts, ...] = ()
    planned: tuple[Planned, ...] = ()
    in_a_row: Mapping[tuple[str, str], int] = field(
        default_factory=dict
    )  # job, target: failures since a success
    notifications: Mapping[tuple[str, str], int] = field(default_factory=dict)  # channel, result
    # Restore tests and drills, the last of each.
    tests: Mapping[tuple[str, str], RestoreTestFacts] = field(default_factory=dict)  # target, outcome
    failing: Mapping[str, str] = field(
        default_factory=dict
    )  # target: the newest backup that failed, none passed since
    drills: Mapping[str, DrillFacts] = field(default_factory=dict)  # target
    # Retention: how many backups it hid the last time, and why it refuses.
    pruned: Mapping[str, int] = field(default_factory=dict)  # target
    refused: frozenset[tuple[str, str]] = frozenset()  # target, cause
    # What the platform of a target said of its own backups.
    providers: Mapping[str, ProviderFacts] = field(default_factory=dict)  # target
    # This host: when the ledger lost what it knew, when a person last had it rebuilt (0: never), and the daemon.
    losses: Mapping[str, float] = field(default_factory=dict)  # one of LOSSES
    rebuilt_at: float = 0.0
    daemon: DaemonFacts | None = None
