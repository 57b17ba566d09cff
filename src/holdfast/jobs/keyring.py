"""Tells which key opens what, and when an identity may go: when by today's rules the last backup that it opens has expired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from holdfast.jobs.prune_look import pinned
from holdfast.jobs.services import Services
from holdfast.ledger import canaries
from holdfast.ledger import marks as kept_marks
from holdfast.ledger.canaries import Tried
from holdfast.ledger.ledger import BackupRow
from holdfast.ledger.marks import Kept
from holdfast.model import mark as model
from holdfast.model.backup import Backup
from holdfast.model.expiry import Course, expiries
from holdfast.model.mark import Pin, Tombstone
from holdfast.model.retention import Candidate
from holdfast.model.target import Target

_DAY = timedelta(days=1)
_MONTH = timedelta(days=31)
_THERE = frozenset({"complete", "damaged", "hidden"})
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A recipient, and the backups that its identity opens: how many, how many nothing else opens, in how many copies.

    `current` says that new backups are encrypted to it, `here` that its identity is at hand. `last` is the backup that
    expires last, `expires_at` when all of its copies are removed; None for never. `tried` is what the canary found.
    """

    recipient: str
    current: bool
    here: bool
    backups: int = 0
    only: int = 0
    copies: int = 0
    oldest: str | None = None
    newest: str | None = None
    last: str | None = None
    expires_at: datetime | None = None
    tried: tuple[Tried, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A public key whose signatures are believed: whether it is this host's, whether the identity file names it, what it signed."""

    public: str
    own: bool
    named: bool
    backups: int
    newest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """All keys that matter. `clear` counts the backups that are not encrypted; `unopened` the canary's that no key opens."""

    openings: tuple[Opening, ...]
    signers: tuple[Signer, ...]
    clear: int = 0
    unopened: tuple[Tried, ...] = ()


@dataclass(slots=True)
class _Tally:
    """What is known of a recipient so far: the copies of each backup, and the last end of all."""

    copies: dict[str, int] = field(default_factory=dict)
    only: set[str] = field(default_factory=set)
    last: tuple[datetime, str] | None = None


def openers(backup: Backup) -> frozenset[str]:
    """The recipients that open all of a copy that has this manifest; none where all of it is in the clear."""
    sealed = [set(part.recipients) for part in backup.parts if part.recipients]
    return frozenset(set.intersection(*sealed)) if sealed else frozenset()


def recipients(row: BackupRow) -> frozenset[str]:
    """Those that open one of the whole copies of a backup."""
    found = (openers(row.stored_in(copy.store).backup) for copy in row.copies if copy.state == "complete")
    return frozenset[str]().union(*found)


def keyring(services: Services, targets: Sequence[Target]) -> Keyring:
    """Look at the config, the ledger and the identities at hand; no store is asked."""
    rows = services.ledger.backups()
    own = {identity.recipient.text for identity in services.keys.identities}
    current = [recipient.text for recipient in services.keys.recipients]
    ends = _ends(services, targets, rows)
    tallies: dict[str, _Tally] = {text: _Tally() for text in (*current, *sorted(own))}
    clear = 0
    for row in rows:
        held = [
            (copy.store, openers(row.stored_in(copy.store).backup))
            for copy in row.copies
            if copy.state in _THERE
        ]
        everybody = frozenset[str]().union(*(found for _, found in held))
        clear += any(not found for _, found in held)
        for store, found in held:
            for recipient in found:
                tally = tallies.setdefault(recipient, _Tally())
                tally.copies[row.backup.id] = tally.copies.get(row.backup.id, 0) + 1
                end = (ends.get((row.backup.id, store), _NEVER), row.backup.id)
                tally.last = end if tally.last is None else max(tally.last, end)
                if len(everybody) == 1 and all(each for _, each in held):
                    tally.only.add(row.backup.id)
    tried = canaries.known(services.ledger)
    return Keyring(
        openings=tuple(
            _opening(text, tally, tried, current=text in current, here=text in own)
            for text, tally in tallies.items()
        ),
        signers=_signers(services, rows),
        clear=clear,
        unopened=tuple(each for each in tried if not each.recipient),
    )


def _opening(recipient: str, tally: _Tally, tried: Iterable[Tried], *, current: bool, here: bool) -> Opening:
    ids = sorted(tally.copies)
    end, last = tally.last or (_NEVER, None)
    return Opening(
        recipient=recipient,
        current=current,
        here=here,
        backups=len(ids),
        only=len(tally.only),
        copies=sum(tally.copies.values()),
        oldest=ids[0] if ids else None,
        newest=ids[-1] if ids else None,
        last=last,
        expires_at=None if end == _NEVER else end,
        tried=tuple(each for each in tried if each.recipient == recipient),
    )


def _signers(services: Services, rows: Sequence[BackupRow]) -> tuple[Signer, ...]:
    keys = services.keys
    signed: dict[str, list[str]] = {key.text: [] for key in keys.trusted}
    for row in rows:
        for name in {row.stored_in(copy.store).backup.signer for copy in row.copies if copy.state in _THERE}:
            signed.setdefault(name, []).append(row.backup.id)
    own = keys.signing.public.text if keys.signing is not None else None
    named = {key.text for key in keys.named}
    return tuple(
        Signer(
            public=public,
            own=public == own,
            named=public in named,
            backups=len(ids),
            newest=max(ids, default=None),
        )
        for public, ids in signed.items()
    )


def _ends(
    services: Services, targets: Sequence[Target], rows: Sequence[BackupRow]
) -> Mapping[tuple[str, str], datetime]:
    """When each copy is removed, by backup and store. What nobody prunes is not in it: nothing ever takes it away."""
    now = services.clock.now()
    found: dict[tuple[str, str], datetime] = {}
    for target in targets:
        marked = kept_marks.of_target(services.ledger, target.name)
        own = [row for row in rows if row.backup.target == target.name]
        for store in target.stores:
            rules = target.rules(store)
            there = [_candidate(row, marked.get(row.backup.id, []), now) for row in own if _is_in(row, store)]
            for backup_id, until in expiries(there, rules.policy, _course(target, marked), now).items():
                if until is not None and until < _NEVER - rules.grace:
                    found[backup_id, store] = until + rules.grace
            found |= {(backup_id, store): at for backup_id, at in _hidden(marked, store)}
    return found


def _is_in(row: BackupRow, store: str) -> bool:
    return any(copy.store == store and copy.state in {"complete", "damaged"} for copy in row.copies)


def _candidate(row: BackupRow, marked: list[Kept], now: datetime) -> Candidate:
    return Candidate(
        id=row.backup.id,
        at=row.backup.started_at,
        proven=row.proof == "proven",
        pinned=pinned(marked, now),
        parent=row.backup.parent,
    )


def _course(target: Target, marked: Mapping[str, list[Kept]]) -> Course:
    tests = target.restore_test.timetable
    pins = {
        backup_id: model.content(pin.mark, Pin).until
        for backup_id, kept in marked.items()
        if (pin := next((each for each in reversed(kept) if each.mark.kind == "pin"), None)) is not None
    }
    return Course(
        every=target.backup.schedule.interval if target.backup is not None else _DAY,
        proving=tests.schedule.interval if tests is not None else _MONTH,
        pins=pins,
    )


def _hidden(marked: Mapping[str, list[Kept]], store: str) -> Iterable[tuple[str, datetime]]:
    """The backups that a tombstone hides in a store, and when they may be removed."""
    for backup_id, kept in marked.items():
        for each in kept:
            if (each.store, each.mark.kind) == (store, "tombstone"):
                yield backup_id, model.content(each.mark, Tombstone).remove_after
