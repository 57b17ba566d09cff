"""A run: one execution of a job, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Job = Literal[
    "backup",
    "restore",
    "restore_test",
    "prune",
    "verify",
    "copy",
    "catalog",
    "import",
    "drill",
    "objects",
    "restore_objects",
    "canary",
    "provider",
    "provider_restore",
]
Trigger = Literal["schedule", "manual", "catch_up"]
Status = Literal["running", "succeeded", "failed", "cancelled", "skipped", "missed", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Why a run takes place: the trigger, and, for a planned one, its slot and which attempt of it this is."""

    trigger: Trigger = "manual"
    slot: datetime | None = None
    attempt: int = 1


MANUAL = Occasion()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A row of the ledger's `runs`. `id` is 0 until the ledger gave one; `bytes_done` counts plain bytes."""

    id: int = 0
    job: Job
    target: str
    trigger: Trigger = "manual"
    slot: datetime | None = None
    attempt: int = 1
    status: Status = "running"
    started_at: datetime
    finished_at: datetime | None = None
    heartbeat_at: datetime | None = None
    bytes_done: int = 0
    backup_id: str | None = None
    error_code: str | None = None
    error: str | None = None
    host: str = ""
    pid: int = 0
