"""Finds the backup that an operator means: an id, a unique prefix of one, or `latest`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from difflib import get_close_matches

from holdfast.jobs.reading import Opened, open_backup, opens
from holdfast.jobs.services import Services
from holdfast.jobs.writing import Place
from holdfast.ledger.ledger import BackupRow
from holdfast.model import layout
from holdfast.model.errors import Error, NotFoundError, UsageError

LATEST = "latest"
_LOOK = "`holdfast list` shows what there is; `holdfast catalog rebuild` reads the stores again."


def find(
    services: Services,
    word: str,
    *,
    target: str | None = None,
    before: datetime | None = None,
    whole: bool = False,
) -> BackupRow:
    """Find one backup. `latest` may be narrowed to a target and a time (started before it).

    `latest` is never one that a tombstone hides; with `whole` it passes over those that are known to be whole nowhere,
    as long as there is another, and says so. Raise NotFoundError when nothing fits and UsageError when several do.
    """
    rows = [row for row in services.ledger.backups() if target in (None, row.backup.target)]
    if word == LATEST:
        shown = [row for row in rows if not row.hidden]
        sound, ahead = by_date(shown, services.clock.now())
        if target is not None and not shown:
            raise _of_others(services, target)
        newest = _latest(sound, target=target, before=before)
        if passed := [row.backup.id for row in ahead if row.backup.target == newest.backup.target]:
            services.reporter.warn(
                "a backup is dated in the future, and is not the latest",
                backup=newest.backup.id,
                passed_over=passed[0],
            )
        return _whole(services, shown, newest) if whole else newest
    if before is not None:
        raise UsageError("--before goes with `latest`, not with an id")
    if not word:
        raise UsageError("no backup was named", hint="Give an id, a prefix of one, or `latest`.")
    found = [row for row in rows if row.backup.id.startswith(word)]
    if not found:
        raise NotFoundError(
            f"no backup {word!r}{_of(target)}",
            hint=_meant(word, {row.backup.target for row in services.ledger.backups()}),
        )
    if len(found) > 1 and all(row.backup.id != word for row in found):
        ids = ", ".join(f"{row.backup.target}/{row.backup.id}" for row in found[:5])
        raise UsageError(f"{word!r} fits {len(found)} backups: {ids}", hint="Give more of the id.")
    return next((row for row in found if row.backup.id == word), found[0])


def _meant(word: str, targets: Collection[str]) -> str:
    """Say what was probably meant by a word that is no backup."""
    if word in targets:
        return f"{word} is a target: `{LATEST} --target {word}` is its last backup."
    if get_close_matches(word.casefold(), [LATEST]):
        return f"Did you mean `{LATEST}`?"
    if word[0].isdigit():
        return _LOOK
    return f"A backup is named by its id, the beginning of one, or `{LATEST}`; {_LOOK}"


def _of_others(services: Services, target: str) -> NotFoundError:
    """Say of which targets there are backups, where there is none of this one."""
    others = sorted({row.backup.target for row in services.ledger.backups() if not row.hidden} - {target})
    there = f"There are backups of {', '.join(others)}. " if others else ""
    return NotFoundError(f"no backup{_of(target)}", hint=f"{there}{_LOOK}")


def _latest(rows: list[BackupRow], *, target: str | None, before: datetime | None) -> BackupRow:
    fitting = [row for row in rows if before is None or row.backup.started_at < before]
    targets = sorted({row.backup.target for row in rows})
    if target is None and len(targets) > 1:
        raise UsageError(
            f"`latest` of which target? There are {', '.join(targets)}", hint="Add --target NAME."
        )
    if not fitting:
        when = f" before {before:%Y-%m-%d %H:%M:%SZ}" if before is not None else ""
        raise NotFoundError(f"no backup{_of(target)}{when}", hint=_LOOK)
    return max(fitting, key=lambda row: row.backup.started_at)


def by_date(rows: Sequence[BackupRow], now: datetime) -> tuple[list[BackupRow], list[BackupRow]]:
    """Part the backups that are dated further ahead than can be from the others, which come first.

    Else one that was taken while a clock was wrong would be the latest until then. Without others it is this clock that
    is wrong, and none is ahead.
    """
    first = layout.first_ahead(now)
    sound = [row for row in rows if row.backup.id < first]
    return (sound, [row for row in rows if row.backup.id >= first]) if sound else (list(rows), [])


def timely(rows: Sequence[BackupRow], now: datetime) -> list[BackupRow]:
    """Leave out the backups that are dated further ahead than can be, unless there are no others."""
    return by_date(rows, now)[0]


def _whole(services: Services, rows: list[BackupRow], newest: BackupRow) -> BackupRow:
    """Give the newest whole one up to this one, of its target; this one where there is none."""
    older = [
        row
        for row in rows
        if row.whole
        and row.backup.target == newest.backup.target
        and row.backup.started_at <= newest.backup.started_at
    ]
    best = max(older, key=lambda row: row.backup.started_at, default=newest)
    if best.backup.id != newest.backup.id:
        services.reporter.warn(
            "the latest backup is whole nowhere: taking one before it",
            backup=best.backup.id,
            passed_over=newest.backup.id,
        )
    return best


def _of(target: str | None) -> str:
    return f" of target {target}" if target else ""


def is_in(row: BackupRow, store: str | None) -> bool:
    """Whether a store holds the backup, or has held it whole; without a name, always."""
    return store is None or any(
        copy.store == store and (copy.state != "missing" or copy.gone) for copy in row.copies
    )


def places(
    services: Services, row: BackupRow, store: str | None = None, *, gone: bool = False
) -> tuple[Place, ...]:
    """Where the backup lies (or, if `gone`, has lain), the best copy first.

    Raise NotFoundError for a store that does not hold it.
    """
    hidden = [copy.store for copy in row.copies if copy.state == "hidden"]
    names: Iterable[str] = [
        copy.store
        for copy in row.copies
        if copy.state != "hidden" and (copy.state != "missing" or (gone and copy.gone))
    ]
    if hidden and (store in hidden or not names):
        raise NotFoundError(
            f"backup {row.backup.id} is hidden by a tombstone: retention is about to remove it",
            hint=f"`holdfast undelete {row.backup.id}` brings it back.",
        )
    if store is not None:
        services.store(store)
        if store not in names:
            raise NotFoundError(f"store {store} holds no copy of backup {row.backup.id}")
        names = [store]
    known = [name for name in names if name in services.stores]
    order = sorted(known, key=lambda name: _rank(row, name))
    if not order:
        raise NotFoundError(
            f"no configured store holds backup {row.backup.id}",
            hint="`holdfast catalog rebuild` looks through the stores again.",
        )
    return tuple(
        Place(store=services.stores[name], target=row.backup.target, backup_id=row.backup.id)
        for name in order
    )


def _rank(row: BackupRow, name: str) -> int:
    state = next(copy.state for copy in row.copies if copy.store == name)
    return ("complete", "copying", "damaged").index(state) if state != "missing" else 3


def open_best(services: Services, row: BackupRow, store: str | None = None) -> Opened:
    """Open the backup where it can be opened; raise the first store's error when it can be nowhere.

    Of copies that are encrypted to others, one that an identity here opens comes first.
    """
    first: Error | None = None
    found = places(services, row, store)
    if row.variants:
        found = tuple(
            sorted(found, key=lambda place: not opens(services.keys, row.stored_in(place.store.name).backup))
        )
    for place in found:
        try:
            return open_backup(place, services.keys)
        except Error as error:
            services.reporter.warn("cannot open a copy", store=place.store.name, error=str(error))
            first = first or error
    assert first is not None  # noqa: S101 - places() gives at least one
    raise first
