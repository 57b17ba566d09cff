"""Tells what is unusual about the backups of a target, and acknowledged by nobody: what keeps retention from its work."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from holdfast.jobs import mixed
from holdfast.jobs.services import Services
from holdfast.ledger import marks, retention
from holdfast.ledger.ledger import BackupRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusual:
    """A backup that keeps retention from its work: measures far from expected, a date that cannot be true, or another server's turn."""

    target: str
    backup_id: str
    findings: tuple[str, ...]


def unusual(services: Services, target: str, rows: Collection[BackupRow]) -> tuple[Unusual, ...]:
    """What nobody has acknowledged of the backups of a target, which are `rows`; the oldest first."""
    found: dict[str, list[str]] = {}
    for each in retention.unusual(services.ledger, target):
        text = (
            f"{each.measure} of database {each.database}: {each.value:,}, expected about {each.expected:,.0f}"
        )
        found.setdefault(each.backup_id, []).append(text)
    now, acks = services.clock.now(), marks.of_target(services.ledger, target, "ack")
    for row in rows:
        if row.backup.started_at > now and row.backup.id not in acks:
            text = f"dated {row.backup.started_at:%Y-%m-%d %H:%M:%SZ}, which is later than now"
            found.setdefault(row.backup.id, []).append(text)
    for backup_id, text in mixed.turns(services, target, rows).items():
        found.setdefault(backup_id, []).append(text)
    return tuple(
        Unusual(target=target, backup_id=backup_id, findings=tuple(texts))
        for backup_id, texts in sorted(found.items())
    )
