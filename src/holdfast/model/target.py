"""A target as the jobs see it: what to capture and how, without where the words came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from holdfast.model.planning import Timetable
from holdfast.model.retention import Policy
from holdfast.model.supabase import Project
from holdfast.model.testing import RestoreTesting

CompressionKind = Literal["zstd", "none", "pg_dump"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """How a dump is compressed. `level` is zstd's (1-19); `threads` None means one where a core is to spare.

    With `pg_dump` the program compresses by itself, as its own options say.
    """

    kind: CompressionKind = "zstd"
    level: int = 1
    threads: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Patterns as in pg_dump's options of the same names."""

    include_schemas: tuple[str, ...] = ()
    exclude_schemas: tuple[str, ...] = ()
    include_tables: tuple[str, ...] = ()
    exclude_tables: tuple[str, ...] = ()
    exclude_table_data: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a backup may take in all, and how long without a byte; in seconds, None for ever."""

    timeout: float | None = None
    stall: float | None = 1800


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """The owner's own programs, as argument lists (empty: none), each with `timeout` seconds and in the environment `env`."""

    before_backup: tuple[str, ...] = ()
    after_backup: tuple[str, ...] = ()
    on_failure: tuple[str, ...] = ()
    stop_services: tuple[str, ...] = ()
    resume_services: tuple[str, ...] = ()
    timeout: float = 300
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What retention does in a store: the policy; how long what it hides can be brought back; the most that one run may hide.

    A `max_deletions` of None leaves that to the number of backups.
    """

    policy: Policy = field(default_factory=Policy)
    grace: timedelta = timedelta(days=3)
    max_deletions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """What kind of place a store is: whether it survives what destroys the servers' site, and in which mode it locks."""

    off_site: bool = False
    lock: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One PostgreSQL server and what of it is backed up.

    A backup is good once `require_copies` of the `stores` hold it; `places` tells of every store of the config.
    `databases` None means all that allow connections and are no templates. Times are in seconds. A `blocking_limit` of
    None never aborts a dump that others wait for. `retention` holds in each store that has no rules of its own in
    `retention_in`.

    The timetables say when the daemon does each job by itself; None: never. `verify` is also when the scrub goes on,
    which looks at each copy every `scrub_every` seconds: by reading it where it lies on a disk, or with `full`
    everywhere. `verify_latest` has the latest backup read then, too.
    """

    name: str
    url: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    supabase: Project | None = None
    # What is captured.
    databases: tuple[str, ...] | None = None
    exclude_databases: tuple[str, ...] = ()
    selection: Selection = Selection()
    globals: bool = True
    options: tuple[str, ...] = ()
    fingerprint: Literal["rows", "none"] = "rows"
    # How.
    compression: Compression = Compression()
    lock_wait_timeout: float = 60
    blocking_limit: float | None = 120
    lock_database: str = "postgres"
    limits: Limits = Limits()
    hooks: Hooks = Hooks()
    # Where it lies, and how long.
    stores: tuple[str, ...]
    require_copies: int = 1
    places: Mapping[str, Whereabouts] = field(default_factory=dict)
    retention: Rules = field(default_factory=Rules)
    retention_in: Mapping[str, Rules] = field(default_factory=dict)
    # When.
    backup: Timetable | None = None
    verify: Timetable | None = None
    verify_latest: bool = False
    scrub_every: float | None = None
    scrub: Literal["auto", "full"] = "auto"
    copy: Timetable | None = None
    prune: Timetable | None = None
    canary: Timetable | None = None
    provider: Timetable | None = None
    objects: Timetable | None = None
    restore_test: RestoreTesting = field(default_factory=RestoreTesting)

    def rules(self, store: str) -> Rules:
        """What retention does in a store."""
        return self.retention_in.get(store, self.retention)


def needed(targets: Iterable[Target]) -> dict[str, int]:
    """In how many stores a backup has to be to be good, by target, where that is more than one."""
    return {target.name: target.require_copies for target in targets if target.require_copies > 1}
