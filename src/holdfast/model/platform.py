"""What a hosting platform says of a project of ours: its standing, its own backups, when they are made, its poolers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from typing import Literal

COMPLETED = "COMPLETED"
HEALTHY = "ACTIVE_HEALTHY"
RESTORE_FAILED = "RESTORE_FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A project as the platform sees it. `status` is the platform's word, such as ACTIVE_HEALTHY or RESTORING."""

    ref: str
    name: str
    region: str
    status: str
    host: str | None
    server_version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformBackup:
    """One backup of the platform's own. `status` is its word: only COMPLETED is a backup that there is."""

    id: int | None
    at: datetime
    status: str
    physical: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformBackups:
    """The platform's own backups, newest first, and from when to when any point in time can be restored.

    The `window` is that of the physical backups, and None where there are none; restoring any point in it needs `pitr`.
    """

    region: str
    pitr: bool
    backups: tuple[PlatformBackup, ...]
    window: tuple[datetime, datetime] | None

    @property
    def last_success(self) -> datetime | None:
        """The time of the newest backup that there is, be it one of the list or the latest point of the window."""
        found = [each.at for each in self.backups if each.status == COMPLETED]
        if self.window is not None:
            found.append(self.window[1])
        return max(found, default=None)

    @property
    def pitr_window(self) -> tuple[datetime, datetime] | None:
        """From when to when any point in time can be restored; None where point-in-time recovery is off."""
        return self.window if self.pitr else None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSchedule:
    """When the platform takes its daily backup: `at` is in UTC."""

    at: time
    updated_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolerAddress:
    """Where a pooler of the project listens. `user` has the project's ref in it where the pooler is a shared one."""

    host: str
    port: int
    user: str
    database: str
    mode: Literal["session", "transaction"]
    primary: bool
