"""What is known of a backup after its commit: how far it has been proven."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Level = Literal["stored", "verified", "proven"]
LEVELS: tuple[Level, ...] = ("stored", "verified", "proven")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The result of a verify or a restore test, also kept as a signed object under the backup's id.

    `method` says how: `digests` (stored bytes re-read, signature and digests hold), `opened` (also decrypted,
    decompressed and its plain digest compared), `restored` (a restore test).
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
