"""The steps that lock one copy of a backup: extend its locks, hold it, let go of it. Each may break off anywhere and be begun anew."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from holdfast.jobs.services import Services
from holdfast.jobs.writing import Place
from holdfast.ledger import locks as ledger
from holdfast.ledger.ledger import BackupRow
from holdfast.ledger.locks import CopyLock, Held
from holdfast.ledger.marks import Kept
from holdfast.model import layout
from holdfast.model import mark as marks
from holdfast.model.errors import NotFoundError
from holdfast.model.terms import Span, Term
from holdfast.stores.base import Store
from holdfast.stores.locking import LockRule, Locks, Version, locks_of
from holdfast.system.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A store whose objects are locked by a `rule`, and what the work there needs."""

    services: Services
    store: Store
    locks: Locks
    rule: LockRule
    stop: Stop

    @property
    def now(self) -> datetime:
        """The time to count from: the earlier of both clocks, so that no lock is longer than allowed."""
        return min(self.services.clock.now(), self.rule.now())

    @property
    def span(self) -> Span:
        """How long locks are."""
        return Span(first=self.rule.first, longest=self.rule.longest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A backup that has a copy in the store, with its marks in all stores, and what is known of the locks on that copy."""

    row: BackupRow
    marks: Sequence[Kept]
    known: CopyLock | None

    @property
    def is_ours(self) -> bool:
        """Whether the ledger knows that we hold it."""
        return self.known is not None and self.known.held == "ours"


def bench(services: Services, store: Store, stop: Stop) -> Bench | None:
    """Give what locks objects in a store; None where the config asks for no locks, or nothing may be changed from here."""
    locks = locks_of(store)
    if locks is None or locks.rule is None:
        return None
    return Bench(services=services, store=store, locks=locks, rule=locks.rule, stop=stop)


def is_due(work: Bench, subject: Subject, term: Term) -> bool:
    """Whether something is to be done about a copy, by what is known of it: so most days no request is made."""
    known = subject.known
    if known is None or not known.kept or known.objects != len(_sizes(subject, work.store.name)):
        return True
    if term.hold or subject.is_ours:
        return term.hold != subject.is_ours
    now = work.now
    return work.span.is_due(known.until, work.span.wanted(term, now), now)


def may_be_held(work: Bench, subject: Subject) -> bool:
    """Whether a hold is ours: by the ledger, or where that knows nothing by a pin that was put there once."""
    if subject.known is not None:
        return subject.is_ours
    return any(each.mark.kind == "pin" and each.store == work.store.name for each in subject.marks)


def hold(work: Bench, subject: Subject) -> None:
    """Put all objects of a copy under a legal hold."""
    sizes = _sizes(subject, work.store.name)
    versions = _versions(work, subject.row, sizes)
    for version in versions:
        work.stop.check()
        work.services.stage("lock:hold")
        work.locks.hold(version, on=True)
    _record(work, subject, objects=len(sizes), held="ours" if versions else "no")


def extend(work: Bench, subject: Subject, term: Term) -> None:
    """Lock all objects of a copy as long as its term asks, and only then end a hold of ours."""
    sizes = _sizes(subject, work.store.name)
    versions = _versions(work, subject.row, sizes)
    until = work.span.wanted(term, work.now)
    found = []
    for version in versions:
        work.stop.check()
        work.services.stage("lock:extend")
        found.append(work.locks.lock(version, until))
    held = any(lock.held for lock in found)
    if held and may_be_held(work, subject):
        _let_go(work, versions)
        held = False
    if held and (subject.known is None or subject.known.held != "foreign"):
        work.services.reporter.warn(
            "somebody else holds the objects of a backup: they stay when retention lets go of it",
            store=work.store.name,
            backup=subject.row.backup.id,
        )
    ends = [lock.until for lock in found if lock.until is not None]
    whose: Held = "foreign" if held else "no"
    _record(work, subject, objects=len(sizes), held=whose, until=min(ends, default=None))


def release(work: Bench, subject: Subject) -> None:
    """End our hold on what retention does not keep any more; its locks run out by themselves."""
    sizes = _sizes(subject, work.store.name)
    _let_go(work, _versions(work, subject.row, sizes))
    known = subject.known
    until = None if known is None else known.until
    _record(work, subject, objects=len(sizes), held="no", until=until, kept=False)


def note_first(work: Bench, row: BackupRow) -> None:
    """Note about when the locks end that a backup was put with, and that could not be extended: so it is seen coming."""
    until = work.now + work.rule.first if work.rule.caution.why is None else None
    _record(work, Subject(row=row, marks=(), known=None), objects=0, held="no", until=until)


def _let_go(work: Bench, versions: Sequence[Version]) -> None:
    for version in versions:
        work.stop.check()
        work.services.stage("lock:release")
        with contextlib.suppress(NotFoundError):
            work.locks.hold(version, on=False)


def _record(
    work: Bench,
    subject: Subject,
    *,
    objects: int,
    held: Held,
    until: datetime | None = None,
    kept: bool = True,
) -> None:
    lock = CopyLock(
        backup_id=subject.row.backup.id,
        store=work.store.name,
        at=work.now,
        until=until,
        held=held,
        objects=objects,
        kept=kept,
    )
    ledger.record(work.services.ledger, lock)


def _sizes(subject: Subject, store: str) -> dict[str, int]:
    """The objects of a copy that are worth a lock, and how large they are: what we know to be ours, and no tombstone."""
    stored = subject.row.stored_in(store)
    sizes = {segment.name: segment.size for segment in stored.backup.objects}
    sizes |= {
        layout.MANIFEST: len(stored.manifest),
        layout.signature_name(layout.MANIFEST): len(stored.signature),
    }
    for kept in subject.marks:
        if kept.store != store or kept.mark.kind == "tombstone":
            continue
        sizes |= {kept.name: len(kept.document), layout.signature_name(kept.name): len(kept.signature)}
        tested = marks.proof(kept.mark).tested if kept.mark.kind == "proof" else None
        if tested is not None and tested.detail is not None:
            sizes[tested.detail.name] = tested.detail.size
    return sizes


def _versions(work: Bench, row: BackupRow, sizes: Mapping[str, int]) -> list[Version]:
    """Give of each object the oldest version that is as large as it was: that is the one we wrote."""
    place = Place(store=work.store, target=row.backup.target, backup_id=row.backup.id)
    found: dict[str, Version] = {}
    for version in work.locks.versions(place.prefix):
        where = layout.parse_key(version.key)
        if where is not None and not version.removal and sizes.get(where.name) == version.size:
            found.setdefault(where.name, version)
    return list(found.values())
