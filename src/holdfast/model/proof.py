"""What is known of a backup after its commit: how far it has been proven."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from holdfast.model.backup import Segment
from holdfast.model.catalog import LeftOut
from holdfast.model.comparison import Comparison, GlobalsCompared, Phase

Level = Literal["stored", "verified", "proven"]
LEVELS: tuple[Level, ...] = ("stored", "verified", "proven")
Outcome = Literal["passed", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many there were of a kind."""

    kind: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """What a restore test found, in numbers alone: a proof lies in the clear, and names are in `detail`, which is encrypted.

    `why` says what failed (`restore`, `differences`, `soundness`, `checks`). `databases` None are all of the backup.
    `phases` and `seconds` are wall time; `isolation` how the scratch server was shut in; without `owners` neither roles
    nor owners and privileges were restored and compared; `detail_sha256` is of the detail's JSON before encryption, so
    that whoever opens it knows that it is what was signed.
    """

    outcome: Outcome
    why: tuple[str, ...]
    started_at: datetime
    seconds: float
    phases: tuple[Phase, ...]
    isolation: str
    holdfast: str
    clients: str
    whole: bool
    databases: int
    tables: int
    rows: int
    definitions: int
    sequences: int
    large_objects: int
    roles: int
    respelled: int
    differences: int
    soundness_checked: int
    soundness_problems: int
    checks: int
    checks_failed: int
    left_out: tuple[Count, ...] = ()
    owners: bool = True
    detail: Segment | None = None
    detail_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What became of one of the owner's checks; `problem` None: it holds."""

    name: str
    database: str
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseTested:
    """One database of a restore test. `comparison` is None where the restore itself failed, as `failure` tells."""

    name: str
    archive_bytes: int
    phases: tuple[Phase, ...]
    comparison: Comparison | None
    checks: tuple[CheckResult, ...] = ()
    failure: str | None = None
    warnings: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """All that a restore test found, with names: stored encrypted beside the proof."""

    backup_id: str
    target: str
    databases: tuple[DatabaseTested, ...]
    globals: GlobalsCompared | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The result of a verify or a restore test, also kept as a signed object under the backup's id.

    `method` says how: `digests` (stored bytes re-read, signature and digests hold), `opened` (also decrypted,
    decompressed and its plain digest compared), `restored` (a restore test, as `tested` tells). A restore test that
    failed is of the level `verified`: the archive could be read, and no more than that is known.
    """

    backup_id: str
    target: str
    level: Level
    method: Literal["digests", "opened", "restored"]
    at: datetime
    store: str
    tables_compared: int = 0
    differences: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    restore_seconds: float | None = None
    archive_bytes: int = 0
    server_version: str | None = None
    tested: Tested | None = None
