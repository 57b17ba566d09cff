"""Tells what a store holds, target by target, and chooses what to bring back: the first half of a recovery."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from holdfast.jobs.find import by_date
from holdfast.jobs.services import Services
from holdfast.ledger.ledger import BackupRow
from holdfast.model.errors import NotFoundError, UsageError
from holdfast.model.proof import LEVELS
from holdfast.stores.base import space

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the store holds of one target: whole backups, newest first (those dated in the future last), and how many are hidden, or not whole."""

    target: str
    whole: tuple[BackupRow, ...]
    broken: int
    hidden: int = 0

    @property
    def best_known(self) -> BackupRow | None:
        """The newest of those that are known best: proven before verified before stored."""
        return max(self.whole, key=lambda row: LEVELS.index(row.proof), default=None)  # of several the first


def look(services: Services) -> tuple[Found, ...]:
    """Tell of every target that the stores hold backups of. Raise where there is none that can be believed."""
    rows = services.ledger.backups()
    if not rows:
        raise _nothing(services)
    now = services.clock.now()
    return tuple(
        Found(
            target=name,
            whole=_in_order([row for row in rows if row.backup.target == name and row.whole], now),
            broken=sum(row.backup.target == name and not row.whole and not row.hidden for row in rows),
            hidden=sum(row.backup.target == name and row.hidden for row in rows),
        )
        for name in sorted({row.backup.target for row in rows})
    )


def _in_order(rows: list[BackupRow], now: datetime) -> tuple[BackupRow, ...]:
    """The newest first; those that are dated further ahead than can be come last, and are taken where they are named."""
    sound, ahead = by_date(rows, now)
    return (*sound, *ahead)


def _nothing(services: Services) -> NotFoundError:
    """Say that there is nothing, and why that may be."""
    stores = services.stores.values()
    absent = [one.location for one in stores if space(one) is not None and not Path(one.location).is_dir()]
    if absent:
        return NotFoundError(
            f"{', '.join(absent)}: there is no such directory",
            hint="Is the disk mounted, and is that the whole path, as in the config?",
        )
    where = ", ".join(store.location for store in stores)
    if not services.keys.trusted:
        return NotFoundError(
            f"{where}: no backup that can be believed, as the identity file names no signer",
            hint="Add the line `# holdfast-signer: RW…` that keygen wrote beside the identity, or give --signer RW….",
        )
    return NotFoundError(
        f"{where}: no backup of a known signer",
        hint="Is that the whole path, as in the config (bucket and prefix)? The lines above say what is there and not believed.",
    )


def choose(
    found: tuple[Found, ...], *, target: str | None, backup: str | None, before: datetime | None
) -> BackupRow:
    """The backup to bring back: the newest whole one (begun before that time), or the one that is named.

    Raise UsageError where several could be meant, NotFoundError where there is none.
    """
    chosen = _target(found, target, backup)
    if backup is not None:
        fitting = [row for row in chosen.whole if row.backup.id.startswith(backup)]
        if len(fitting) > 1:
            ids = ", ".join(row.backup.id for row in fitting[:_SHOWN])
            raise UsageError(f"{backup!r} fits {len(fitting)} backups: {ids}", hint="Give more of the id.")
    else:
        fitting = [row for row in chosen.whole if before is None or row.backup.started_at < before]
    if not fitting:
        raise NotFoundError(
            f"no whole backup of {chosen.target}" + (f" that is called {backup}" if backup else ""),
            hint="`--dry-run` shows what there is.",
        )
    return fitting[0]


def _target(found: tuple[Found, ...], target: str | None, backup: str | None) -> Found:
    names = [each.target for each in found]
    if target is not None and target not in names:
        raise NotFoundError(f"no backups of a target {target!r}", hint=f"There are {', '.join(names)}.")
    wanted = [
        each
        for each in found
        if target in (None, each.target)
        and (backup is None or any(row.backup.id.startswith(backup) for row in each.whole))
    ]
    if not wanted:
        raise NotFoundError(f"no whole backup {backup!r}", hint="`--dry-run` shows what there is.")
    if len(wanted) > 1:
        raise UsageError(
            f"which target? The store has {', '.join(each.target for each in wanted)}",
            hint="Add --target NAME; each is recovered into a server of its own, or one after the other.",
        )
    return wanted[0]
