"""Notices that two servers are backed up under one target's name, as with a config that was copied: each would push out the other's backups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdfast.jobs.checks.finding import Finding
from holdfast.jobs.services import Services
from holdfast.ledger import marks
from holdfast.ledger.ledger import BackupRow
from holdfast.model import layout
from holdfast.model.backup import Backup

HINT = "After an upgrade or a move that is as it should be. Else give each server a target of its own name."


def turns(services: Services, target: str, rows: Iterable[BackupRow]) -> dict[str, str]:
    """Of the backups of a target those, by id, with which a server came back whose place another had taken; a sentence for each.

    A server that was upgraded or moved does not come back; two that take turns do. What somebody acknowledged, and
    what came before, is meant.
    """
    acked = max(
        (
            backup_id
            for backup_id, kept in marks.of_target(services.ledger, target, "ack").items()
            if layout.backup_time(backup_id) <= kept[-1].mark.at
        ),
        default="",
    )
    return {
        now.id: f"taken of {_server(now)}, after {before.id} of {_server(before)}: two servers take turns under one target's name"
        for before, now in _returns(sorted(rows, key=lambda row: row.backup.id))
        if now.id > acked
    }


def _returns(rows: Iterable[BackupRow]) -> Iterator[tuple[Backup, Backup]]:
    """Pairs of neighbours: the later one is of a server that had been there before, and the earlier one of another."""
    left: set[str] = set()
    before: Backup | None = None
    for row in rows:
        now = row.backup
        if now.server.system_identifier is None:
            continue
        if before is not None and before.server.system_identifier != now.server.system_identifier:
            left.add(str(before.server.system_identifier))
            if now.server.system_identifier in left:
                yield before, now
        before = now


def another(services: Services, target: str, system_identifier: str | None) -> str | None:
    """Say that this server is not that of the target's last backup; None where it is, or that is not known."""
    known = (row.backup for row in services.ledger.backups(target))
    last = next((each for each in known if each.server.system_identifier is not None), None)
    if last is None or system_identifier in (None, last.server.system_identifier):
        return None
    return (
        f"this is another server than that of the last backup, {last.id} by {last.host or 'an unknown host'}"
    )


def check(services: Services, target: str, system_identifier: str | None) -> Iterator[Finding]:
    """Find that the server is not that of the target's last backup."""
    if (told := another(services, target, system_identifier)) is not None:
        yield Finding(level="warn", subject=f"target {target}", message=told, hint=HINT)


def _server(backup: Backup) -> str:
    host = f" by {backup.host}" if backup.host else ""
    return f"server {backup.server.system_identifier}{host}"
