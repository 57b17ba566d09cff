"""Settles what a rebuild of the ledger did not find again: told, and recorded as missing or forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from holdfast.jobs.services import Services
from holdfast.ledger.ledger import GONE, BackupRow, Copy
from holdfast.model import layout
from holdfast.stores.base import Store

NOT_BELIEVED = "not believed: "  # what is wrong with a copy begins so, until its manifest is believed


@dataclass(slots=True)
class Seen:
    """The ids of the backups that a store holds (hidden ones too), and of those that a tombstone says were removed.

    `refused` lie there as well, by target and id, and are not believed: with why.
    """

    held: set[str] = field(default_factory=set)
    buried: set[str] = field(default_factory=set)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass(slots=True)
class Settled:
    """How many backups were forgotten, and what is to be told of which copy."""

    forgotten: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)


def doubt_empty(store: Store, before: list[BackupRow], seen: Seen) -> str | None:
    """Say that a store in which nothing was found should hold backups; None where it need not."""
    known = [
        row
        for row in before
        if (row.backup.target, row.backup.id) not in seen.refused
        and any(copy.store == store.name and (copy.state == "complete" or copy.gone) for copy in row.copies)
    ]
    if not known:
        return None
    count = f"{len(known)} backup{'' if len(known) == 1 else 's'}"
    return (
        f"holds no backup, but should hold {count}: is it mounted, and its path or prefix right? Nothing is forgotten;"
        f" `holdfast catalog rebuild --store {store.name}` would"
    )


def settle(services: Services, before: list[BackupRow], seen: dict[str, Seen], *, forget: bool) -> Settled:
    """Take out of the ledger, or record as missing, what was there `before` and the listed stores no longer hold."""
    settled, lost = Settled(), dict[tuple[str, str], list[str]]()
    for row in before:
        gone = [
            copy
            for copy in row.copies
            if copy.state != "copying" and copy.store in seen and row.backup.id not in seen[copy.store].held
        ]
        forgotten = [copy for copy in gone if forget or row.backup.id in seen[copy.store].buried]
        for copy in gone:
            told = _settle_copy(services, row, copy, seen[copy.store], forget=copy in forgotten)
            if told is not None:
                settled.problems.append((_where(services, row, copy.store), told))
            explained = row.backup.id in seen[copy.store].buried or _refused(seen[copy.store], row)
            if copy.whole and not explained:
                lost.setdefault((copy.store, row.backup.target), []).append(row.backup.id)
        if len(forgotten) == len(row.copies):
            services.ledger.forget_backup(row.backup.id)
            settled.forgotten += 1
    settled.problems += _rolled_back(services, before, seen, lost)
    return settled


def _settle_copy(services: Services, row: BackupRow, copy: Copy, seen: Seen, *, forget: bool) -> str | None:
    """Record it; give what is to be told of it, unless that was told before or a tombstone says it."""
    refused = _refused(seen, row)
    if forget:
        services.ledger.forget_copy(row.backup.id, copy.store)
        if copy.state == "missing" or row.backup.id in seen.buried:
            return None
        if refused is not None:
            return f"is not listed any more, as what lies there is not believed; nothing was removed. Signed by {row.backup.signer}"
        return "the backup is gone, and no tombstone says that it was removed on purpose; it is forgotten"
    now = services.clock.now()
    if refused is not None:
        services.ledger.record_copy(row.backup.id, copy.store, "damaged", now, NOT_BELIEVED + refused)
        return f"what lies there is not believed; nothing was removed. Signed by {row.backup.signer}"
    if copy.state == "missing":
        return None
    services.ledger.record_copy(row.backup.id, copy.store, "missing", now, GONE)
    return "the backup is gone, and no tombstone says that it was removed on purpose; `holdfast catalog rebuild` forgets it"


def _refused(seen: Seen, row: BackupRow) -> str | None:
    return seen.refused.get((row.backup.target, row.backup.id))


def _rolled_back(
    services: Services, before: list[BackupRow], seen: dict[str, Seen], lost: dict[tuple[str, str], list[str]]
) -> Iterator[tuple[str, str]]:
    """Tell of stores that lost just the newest, several of them: what was put back to an earlier state looks like that."""
    for (store, target), ids in lost.items():
        left = [
            row.backup.id
            for row in before
            if row.backup.target == target and row.backup.id in seen[store].held
        ]
        if left and max(left) < min(ids):
            count = "the newest backup" if len(ids) == 1 else f"the {len(ids)} newest backups"
            yield (
                f"{services.store(store).location}: {layout.target_prefix(target)}",
                f"lacks {count}, and holds none after {max(left)}: was the store rolled back to an earlier state?",
            )


def forget_strangers(services: Services, before: list[BackupRow]) -> int:
    """Forget the copies in stores that the config has no more: nobody can reach them, and they count for nothing.

    Give how many backups were forgotten with them.
    """
    forgotten = 0
    for row in before:
        strange = [copy for copy in row.copies if copy.store not in services.stores]
        for copy in strange:
            services.ledger.forget_copy(row.backup.id, copy.store)
        known = services.ledger.backup(row.backup.id)
        if strange and known is not None and not known.copies:
            services.ledger.forget_backup(row.backup.id)
            forgotten += 1
    return forgotten


def _where(services: Services, row: BackupRow, store: str) -> str:
    return f"{services.store(store).location}: {layout.backup_prefix(row.backup.target, row.backup.id)}"
