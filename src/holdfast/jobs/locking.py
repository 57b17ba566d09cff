"""Keeps the objects of backups locked as long as retention keeps them: extends locks, holds what is kept for good, lets go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from holdfast.jobs import lock_steps, prune_clock
from holdfast.jobs.lock_steps import Bench, Subject
from holdfast.jobs.prune_look import pinned
from holdfast.jobs.services import Services
from holdfast.jobs.writing import Place
from holdfast.ledger import locks as ledger
from holdfast.ledger import marks as kept_marks
from holdfast.ledger.ledger import BackupRow
from holdfast.model import layout
from holdfast.model.errors import NotFoundError, StoreError
from holdfast.model.retention import Candidate, judge
from holdfast.model.target import Target
from holdfast.model.terms import Term, terms
from holdfast.stores.base import RefusedError, Store
from holdfast.system.stop import Stop

_CLOCK = "Set the clock right. If it is right, say so: `holdfast prune --accept-clock`."


@dataclass(slots=True)
class Renewed:
    """What was done about the locks in a store, as ids of backups; with those that it failed for, and why.

    `waiting` are those whose locks were due, and were left as they are because the `doubt` about the clock forbids it.
    """

    extended: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    failed: list[tuple[str, StoreError]] = field(default_factory=list)
    doubt: str | None = None

    def error(self) -> StoreError | None:
        """What kept it from its work; None where nothing did."""
        if self.failed:
            backup_id, first = self.failed[0]
            more = f", nor those of {len(self.failed) - 1} more" if len(self.failed) > 1 else ""
            return StoreError(
                f"the locks of {backup_id} could not be renewed{more}: {first.message}", hint=first.hint
            )
        if self.waiting:
            return StoreError(f"{len(self.waiting)} backups wait for their locks: {self.doubt}", hint=_CLOCK)
        return None


def prepare(services: Services, store: Store, stop: Stop) -> None:
    """See before a backup is written whether the clock can be believed; if not, its objects are put without a lock.

    A lock by a wrong clock would stay for years, and nobody could lift it.
    """
    work = lock_steps.bench(services, store, stop)
    if work is None:
        return
    work.rule.caution.why = _doubt(services, store, prune_clock.time_of(store))
    if work.rule.caution.why is not None:
        services.reporter.warn(
            "what is written now is not locked", store=store.name, why=work.rule.caution.why
        )


def _doubt(services: Services, store: Store, there: datetime) -> str | None:
    return prune_clock.doubt(services, {store.name: there}, besides=0, believe=False, accept=False)


def begin(services: Services, target: Target, backup_id: str, store_name: str, stop: Stop) -> str | None:
    """Extend the locks of a backup that was just committed to a store; say what kept it from that, or None.

    The backup stands all the same, with the short locks that its objects were put with; retention tries again.
    """
    work, row = (
        lock_steps.bench(services, services.store(store_name), stop),
        services.ledger.backup(backup_id),
    )
    if work is None or row is None:
        return None
    services.stage("locking")
    try:
        _begin(work, target, row)
    except (StoreError, NotFoundError) as error:
        if stop.requested:
            raise
        lock_steps.note_first(work, row)
        services.reporter.warn(
            "the locks of a backup were not extended", store=store_name, backup=backup_id, error=str(error)
        )
        return error.message
    services.stage("locks_extended")
    return None


def _begin(work: Bench, target: Target, row: BackupRow) -> None:
    services, store = work.services, work.store
    key = Place(store=store, target=target.name, backup_id=row.backup.id).key(layout.MANIFEST)
    found = store.stat(key)
    if found is None:
        raise NotFoundError(f"{store.location}: there is no {key} any more")
    work.rule.caution.why = _doubt(services, store, found.modified_at)
    if work.rule.caution.why is not None:  # or it was committed long ago, by somebody else
        work.rule.caution.why = _doubt(services, store, prune_clock.time_of(store))
    if work.rule.caution.why is not None:
        raise StoreError(work.rule.caution.why, hint=_CLOCK)
    wanted = _terms(target, store, _listed(services, target.name, store.name), work.now)
    term = wanted.get(row.backup.id, Term())
    marked = kept_marks.of_backup(services.ledger, row.backup.id)
    try:
        _settle(work, Subject(row=row, marks=marked, known=None), term)
    except RefusedError as error:
        if not term.hold or target.prune is not None:
            raise  # with the right to hold comes that to let go: a mere writer need not have it
        lock_steps.note_first(work, row)
        services.reporter.info(
            "the hold is left to the host that prunes", store=store.name, why=error.message
        )


def renew(
    services: Services,
    target: Target,
    store: Store,
    seen: Sequence[Candidate],
    stop: Stop,
    *,
    doubt: str | None,
    releasing: bool,
) -> Renewed:
    """Extend the locks that are due of what retention keeps, hold what it keeps for good, and if `releasing` end our other holds.

    `seen` are the backups that lie there and are not hidden; those that are gone are looked for, too: their versions may
    be there. With a `doubt` about the clock nothing is extended. What fails is in the result.
    """
    done, work = Renewed(doubt=doubt), lock_steps.bench(services, store, stop)
    if work is None:
        return done
    work.rule.caution.why = doubt
    there = {each.id for each in seen}
    gone = [each for each in _listed(services, target.name, store.name) if each.id not in there]
    wanted = {**_terms(target, store, [*seen, *gone], work.now)} if gone else {}
    wanted = {key: term for key, term in wanted.items() if key not in there}
    wanted |= _terms(target, store, seen, work.now)  # as retention itself judges them
    marked = kept_marks.of_target(services.ledger, target.name)
    known = ledger.of_store(services.ledger, target.name, store.name)
    for row in services.ledger.backups(target.name):
        stop.check()
        backup_id = row.backup.id
        if all(copy.store != store.name for copy in row.copies):
            continue
        subject = Subject(row=row, marks=marked.get(backup_id, ()), known=known.get(backup_id))
        try:
            _look_after(work, subject, wanted.get(backup_id), done, releasing=releasing)
        except StoreError as error:
            done.failed.append((backup_id, error))
            if not isinstance(error, RefusedError):  # it does not answer: nor will it for the next one
                break
    return done


def hold(services: Services, row: BackupRow, store: Store) -> None:
    """Hold a copy that was just pinned. What fails is a warning: retention tries again."""
    work = lock_steps.bench(services, store, Stop())
    if work is None:
        return
    marked = kept_marks.of_backup(services.ledger, row.backup.id)
    try:
        lock_steps.hold(work, Subject(row=row, marks=marked, known=None))
    except (StoreError, NotFoundError) as error:
        services.reporter.warn(
            "a pinned backup is not held yet", store=store.name, backup=row.backup.id, error=str(error)
        )


def _look_after(work: Bench, subject: Subject, term: Term | None, done: Renewed, *, releasing: bool) -> None:
    """Do what is due for one copy; a `term` of None says that retention does not keep it."""
    backup_id = subject.row.backup.id
    if term is None:
        if releasing and lock_steps.may_be_held(work, subject):
            lock_steps.release(work, subject)
            done.released.append(backup_id)
        elif subject.known is not None and subject.known.kept:
            ledger.let_go(work.services.ledger, backup_id, work.store.name)
        return
    if not lock_steps.is_due(work, subject, term) or (subject.is_ours and not term.hold and not releasing):
        return
    if work.rule.caution.why is not None and not term.hold:
        done.waiting.append(backup_id)
        return
    _settle(work, subject, term)
    (done.held if term.hold else done.released if subject.is_ours else done.extended).append(backup_id)


def _settle(work: Bench, subject: Subject, term: Term) -> None:
    if term.hold:
        lock_steps.hold(work, subject)
    else:
        lock_steps.extend(work, subject, term)


def _terms(
    target: Target, store: Store, candidates: Sequence[Candidate], now: datetime
) -> Mapping[str, Term]:
    policy = target.rules(store.name).policy
    every = None if target.backup is None else target.backup.schedule.interval
    return terms(judge(candidates, policy, now), policy, every)


def _listed(services: Services, target: str, store: str) -> list[Candidate]:
    """The backups that the ledger knows in a store, hidden ones aside; what is gone counts as if it were there."""
    known, now = kept_marks.of_target(services.ledger, target, "pin"), services.clock.now()
    found = []
    for row in services.ledger.backups(target):
        copy = next((each for each in row.copies if each.store == store), None)
        if copy is None or not (copy.state in {"complete", "damaged"} or copy.gone):
            continue
        found.append(
            Candidate(
                id=row.backup.id,
                at=row.backup.started_at,
                good=copy.whole or copy.gone,
                proven=row.proof == "proven",
                pinned=pinned(known.get(row.backup.id, []), now),
                parent=row.backup.parent,
            )
        )
    return found
