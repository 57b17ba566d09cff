"""Retention of a target: hides what no rule keeps, removes what was hidden long enough, and refuses when something looks wrong."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime

from holdfast.jobs import (
    catalog,
    fence,
    lease,
    locking,
    past,
    prune_clock,
    prune_look,
    prune_plan,
    prune_steps,
    runner,
)
from holdfast.jobs.locking import Renewed
from holdfast.jobs.prune_plan import Plan
from holdfast.jobs.prune_steps import Locked
from holdfast.jobs.services import Services
from holdfast.jobs.supabase import storage_prune
from holdfast.jobs.writing import Place
from holdfast.ledger import locks
from holdfast.ledger import retention as ledger
from holdfast.ledger.retention import Done
from holdfast.model.errors import BlockedError, BusyError, ConfigError, Error, StoreError
from holdfast.model.run import MANUAL, Occasion
from holdfast.model.target import Target
from holdfast.system.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person asks of a run: to write nothing, to allow so many at once, to believe the clock as it is."""

    dry_run: bool = False
    allow: int = 0
    accept_clock: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a run did in a store by its plan; `error` where the store kept it from that."""

    target: str
    store: str
    plan: Plan | None = None
    hidden: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    swept: tuple[str, ...] = ()
    locked: tuple[Locked, ...] = ()
    locks: Renewed = field(default_factory=Renewed)
    freed: int = 0
    error: Error | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether the store is another host's to prune. One that lost its lease on the way did not do all."""
        return isinstance(self.error, BusyError) and not isinstance(self.error, lease.LostError)


@dataclass(slots=True)
class _Tally:
    """What is done so far."""

    hidden: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    swept: list[str] = field(default_factory=list)
    locked: list[Locked] = field(default_factory=list)
    freed: int = 0


def prune(
    services: Services, target: Target, stop: Stop, *, wish: Wish, occasion: Occasion = MANUAL
) -> tuple[Pruned, ...]:
    """Do what the rules ask in each store of the target, and tell what was done; in a dry run, what would be.

    What was refused or failed in a store is in its result; `complain` raises it. Only a target of the config can be
    passed, so one that was renamed or taken out of it is never pruned.
    """
    if wish.dry_run:
        return _each(services, target, stop, wish, besides=0)
    services.keys.signer()  # without it there is no need to begin
    run = runner.new_run(services, "prune", target.name, occasion)
    results: list[Pruned] = []
    with runner.retention_lock(services, target.name):
        runner.close_lost_runs(services, "prune", target.name, locked=True)

        def body(_: runner.Meter) -> None:
            own = max(each.id for each in services.ledger.unfinished(target.name, "prune"))
            results.extend(_fenced(services, target, stop, wish, besides=own))
            ledger.keep_only(services.ledger, target.name, target.stores)
            locks.keep_only(services.ledger, target.name, target.stores)
            complain([each for each in results if not each.elsewhere])
            if all(each.elsewhere for each in results):
                raise runner.SkippedError("; ".join(f"store {each.store}: {each.error}" for each in results))

        try:
            runner.execute(services, run, body)
        except runner.SkippedError as error:
            services.reporter.info("retention is another's work", target=target.name, why=error.message)
        except (BlockedError, BusyError, ConfigError, StoreError) as error:
            if stop.requested or not results:
                raise
            services.reporter.warn("retention did not do all", target=target.name, error=error.message)
    return tuple(results)


def complain(results: list[Pruned] | tuple[Pruned, ...]) -> None:
    """Raise what kept retention from its work, with a sentence for each store: trouble, then refusals, then others' work."""
    errors = [(each.store, error) for each in results if (error := each.error or each.locks.error())]
    _raise_all(StoreError, [(store, error) for store, error in errors if isinstance(error, StoreError)])
    _raise_all(ConfigError, [(store, error) for store, error in errors if isinstance(error, ConfigError)])
    refused = [(each.store, refusal) for each in results if each.plan for refusal in each.plan.refused]
    if refused:
        said = "; ".join(f"store {store}: {refusal.text}" for store, refusal in refused)
        hints = dict.fromkeys(refusal.hint for _, refusal in refused)
        raise BlockedError(f"nothing is removed: {said}", hint=" ".join(hints))
    _raise_all(BusyError, errors)


def _raise_all(kind: type[Error], errors: list[tuple[str, Error]]) -> None:
    if errors:
        said = "; ".join(f"store {store}: {error}" for store, error in errors)
        raise kind(said, hint=next((error.hint for _, error in errors), None))


def _fenced(
    services: Services, target: Target, stop: Stop, wish: Wish, *, besides: int
) -> tuple[Pruned, ...]:
    """As `_each`, in the stores in which this host may prune at present; those of others are in the result, too."""
    with ExitStack() as stack:
        held, results = {}, []
        for name in target.stores:
            try:
                store = services.store(name)
                held[name] = stack.enter_context(fence.fenced(services, store, target.name, "retention"))
            except (BusyError, ConfigError, StoreError) as error:
                results.append(Pruned(target=target.name, store=name, error=error))
        mine = replace(target, stores=tuple(held))
        within = replace(services, stores={**services.stores, **held})
        if held:
            results += _each(within, mine, stop, wish, besides=besides)
    return tuple(results)


def _each(services: Services, target: Target, stop: Stop, wish: Wish, *, besides: int) -> tuple[Pruned, ...]:
    listed = catalog.rebuild(services, quick=True, forget=False)
    catalog.tell(services, listed)
    reached = [services.store(name) for name in target.stores if name in listed.stores]
    results = [
        Pruned(target=target.name, store=name, error=StoreError(f"store {name} could not be listed"))
        for name in target.stores
        if name not in listed.stores
    ]
    there: dict[str, datetime] = {}
    for store in reached if not wish.dry_run else ():  # to ask for the time, an object is written
        try:
            there[store.name] = prune_clock.time_of(store)
        except StoreError as error:
            results.append(Pruned(target=target.name, store=store.name, error=error))
    clock = prune_clock.doubt(
        services, there, besides=besides, believe=not wish.dry_run, accept=wish.accept_clock
    )
    for store in reached:
        stop.check()
        if store.name not in there and not wish.dry_run:
            continue
        try:
            now = services.clock.now()
            shelf = prune_look.look(services, target.name, store, now)
            found = prune_plan.plan(
                services, target.name, shelf, target.rules(store.name), clock=clock, allow=wish.allow, now=now
            )
            renewed = Renewed()
            if not wish.dry_run:  # before anything goes: what is kept comes first
                seen = [each.candidate for each in shelf.held if each.stone is None]
                renewed = locking.renew(
                    services, target, store, seen, stop, doubt=clock, releasing=not found.refused
                )
            done = _carry_out(services, target.name, found, stop, wish, now)
            results.append(replace(done, locks=renewed))
        except (BusyError, StoreError) as error:
            results.append(Pruned(target=target.name, store=store.name, error=error))
    return tuple(results)


def _carry_out(services: Services, target: str, plan: Plan, stop: Stop, wish: Wish, now: datetime) -> Pruned:
    store, done = plan.shelf.store, _Tally()
    services.stage("prune:planned")
    if not wish.dry_run:
        if not plan.refused:
            _do(services, target, plan, done, stop, now)
            storage_prune.prune(services, store, target, _left(plan, done), stop, now)
        ledger.record(
            services.ledger,
            target,
            store.name,
            Done(hidden=len(done.hidden), removed=len(done.removed), bytes=done.freed),
            plan.refused,
            now,
        )
        services.stage("prune:recorded")
    return Pruned(
        target=target,
        store=store.name,
        plan=plan,
        hidden=tuple(done.hidden),
        returned=tuple(done.returned),
        removed=tuple(done.removed),
        swept=tuple(done.swept),
        locked=tuple(done.locked),
        freed=done.freed,
    )


def _left(plan: Plan, done: _Tally) -> set[str]:
    """The backups that are in the store now, those that are not ours to judge among them."""
    folders = [each.folder for each in plan.shelf.held] + [each.folder for each in plan.shelf.leaving]
    return {*(folder.place.backup_id for folder in folders), *plan.shelf.unknown} - set(done.removed)


def _do(services: Services, target: str, plan: Plan, done: _Tally, stop: Stop, now: datetime) -> None:
    """What is kept comes first: if anything breaks off, more is there rather than less."""
    policy = plan.rules.policy.text
    for held in plan.returning:
        stop.check()
        prune_steps.bring_back(services, held.folder.place, now)
        done.returned.append(held.row.backup.id)
    for held in plan.hiding:
        stop.check()
        why = "no rule of the policy keeps it"
        fate = prune_steps.hide(services, held, why=why, policy=policy, grace=plan.rules.grace, now=now)
        if fate == "hidden":
            done.hidden.append(held.row.backup.id)
    for folder in plan.removing:
        stop.check()
        outcome = prune_steps.remove(services, folder, now)
        if isinstance(outcome, Locked):
            done.locked.append(outcome)
        elif outcome == "removed":
            done.removed.append(folder.place.backup_id)
            done.freed += 0 if past.only_hides(plan.shelf.store) else folder.bytes
    copying = lease.holder(services, plan.shelf.store, target, "copies")
    if copying is None:
        done.swept += prune_steps.sweep(services, plan.sweeping)
        past.purge(
            services, plan.shelf.store, target, {*done.returned, *prune_plan.writing(services, target)}
        )
    elif plan.sweeping:
        services.reporter.info(
            "nothing is swept: another host copies", store=plan.shelf.store.name, who=copying
        )
    stones = [each.mark for each in plan.stones]
    prune_steps.lay_stones_to_rest(
        services,
        (Place(store=plan.shelf.store, target=each.target, backup_id=each.backup_id) for each in stones),
    )
    if done.removed and past.only_hides(plan.shelf.store):
        services.reporter.warn(
            "these credentials may delete no version: what was removed takes room until the store's own rule removes"
            " versions that are not current",
            store=plan.shelf.store.name,
        )
