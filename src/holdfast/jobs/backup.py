"""Takes a backup: lock, capture, store, commit, record. What fails on the way leaves nothing that looks like one."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain

from holdfast.jobs import (
    copies,
    emptied,
    hooks,
    limits,
    locking,
    mixed,
    runner,
    schema_names,
    slots,
    sweep,
    writing,
)
from holdfast.jobs.restore_text import restore_text
from holdfast.jobs.services import Services
from holdfast.jobs.supabase import platform_settings, project_address
from holdfast.methods.base import Method, Source
from holdfast.methods.logical import Logical
from holdfast.model import catalog as catalog_model
from holdfast.model import layout
from holdfast.model.backup import Backup, Part, format_version
from holdfast.model.errors import Error, StoreError
from holdfast.model.run import MANUAL, Occasion, Run
from holdfast.model.target import Target
from holdfast.postgres import conninfo, pooler, server, sessions
from holdfast.system import logs
from holdfast.system.stop import Stop

_LOCK_TICK = 5.0
_TOKEN_BYTES = 2  # many hosts begin at the same moment, and an id is to be one backup's alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a backup run gave: the backup, what of the tables it holds, and the copies that failed, with why.

    It is not `good` while it waits for copies that the target requires.
    `unextended` says why its first store's locks are still as short as they were when it was written, if they are.
    """

    backup: Backup
    coverage: catalog_model.Coverage
    failed_copies: tuple[tuple[str, str], ...] = ()
    good: bool = True
    unextended: str | None = None


def backup(
    services: Services,
    target: Target,
    stop: Stop,
    *,
    occasion: Occasion = MANUAL,
    labels: tuple[str, ...] = (),
) -> Taken:
    """Back up one target into its first store, then copy to the others. Raises what went wrong, after recording it.

    A copy that failed does not undo the backup: it is told in the result. Raise SkippedError when the slot of the
    occasion has its backup already.
    """
    with runner.target_lock(services, target.name), logs.about(job="backup", target=target.name):
        services.stage("locked")
        sweep.sweep(services, target)
        started = services.clock.now()
        run = Run(
            job="backup",
            target=target.name,
            trigger=occasion.trigger,
            slot=occasion.slot,
            attempt=occasion.attempt,
            started_at=started,
            backup_id=layout.new_backup_id(started, secrets.token_hex(_TOKEN_BYTES)),
            host=services.host,
            pid=services.pid,
        )
        try:
            taken = runner.execute(
                services, run, lambda meter: _take(services, target, run, labels, meter, stop)
            )
        except Exception as error:
            nothing_to_do = isinstance(error, runner.SkippedError) and not isinstance(
                error, slots.TooLateError
            )
            if not stop.requested and not nothing_to_do:
                hooks.failed(services, target, run, error, stop)
            raise
        unextended = locking.begin(services, target, taken.backup.id, target.stores[0], stop)
        taken = _copy_out(services, target, dataclasses.replace(taken, unextended=unextended), stop)
        hooks.after(services, target, run, taken.backup, tuple(name for name, _ in taken.failed_copies), stop)
        return taken


def _take(
    services: Services, target: Target, run: Run, labels: tuple[str, ...], meter: runner.Meter, stop: Stop
) -> Taken:
    place = writing.Place(
        store=services.store(target.stores[0]),
        target=target.name,
        backup_id=str(run.backup_id),
        pulse=meter.pulse,
    )
    services.keys.signer()  # without it there is no need to begin
    target = project_address.reached(target, stop)
    with stop.derived() as inner, _server_lock(services, target, inner) as session:
        if run.slot is not None:
            slots.refuse_taken(services, target, run.slot)
        hooks.before(services, target, run, inner)
        locking.prepare(services, place.store, inner)
        _prepare_store(services, target, place)
        method = Logical(
            target,
            label=f"holdfast dump {place.backup_id}",
            warn=lambda text: services.reporter.warn(text, target=target.name),
        )
        try:
            with limits.limited(target.limits, meter, inner, services.clock):
                parts = _write_parts(services, place, target, method, meter, inner)
            session.check()
            inner.check()
            made = _made(services, run, method, parts, labels)
            services.stage("restore_text")
            document = writing.put_bytes(place, layout.RESTORE_TEXT, restore_text(made).encode())
            made = dataclasses.replace(made, documents=(document,))
            with slots.kept_from_others(services, target, run.slot, inner) as store:
                data, signature = writing.commit(services, dataclasses.replace(place, store=store), made)
        except BaseException:
            writing.discard(services, place)
            raise
    if told := mixed.another(services, target.name, made.server.system_identifier):
        services.reporter.warn(told, target=target.name, hint=mixed.HINT)
    taken = Taken(backup=made, coverage=catalog_model.coverage(method.facts.catalog))
    services.ledger.record_backup(made, manifest=data, signature=signature, coverage=taken.coverage)
    services.ledger.record_copy(made.id, place.store.name, "complete", services.clock.now())
    schema_names.remember(services, made, method.facts.catalog)
    services.stage("recorded")
    return taken


def _made(
    services: Services, run: Run, method: Method, parts: tuple[Part, ...], labels: tuple[str, ...]
) -> Backup:
    facts = method.facts
    return Backup(
        id=str(run.backup_id),
        format_version=format_version(parts),
        target=run.target,
        slot=run.slot,
        method=method.name,
        started_at=run.started_at,
        finished_at=services.clock.now(),
        server=facts.server,
        tools=facts.tools,
        parts=parts,
        databases=facts.databases,
        signer=services.keys.signer().public.text,
        host=services.host,
        labels=labels,
    )


def _prepare_store(services: Services, target: Target, place: writing.Place) -> None:
    """Clear away stale uploads, and make sure that what a failure of this run discards is this run's alone.

    The lock across hosts is held, so that no stale upload is a slow one of another host. The other stores are the
    business of who copies.
    """
    emptied.look(services, place.store, target.name)
    writing.abort_stale_uploads(services, place.store, target.name)
    if next(iter(place.store.list(place.prefix)), None) is not None:
        raise StoreError(
            f"{place.store.location}: {place.prefix} is there already, before the backup of that id has begun",
            hint="Try again: the next backup gets another id. Is the clock right?",
        )


def _write_parts(
    services: Services, place: writing.Place, target: Target, method: Method, meter: runner.Meter, stop: Stop
) -> tuple[Part, ...]:
    parts: list[Part] = []
    with closing(method.capture(stop)) as sources:
        for source in chain(sources, platform_settings.sources(services, target, stop)):
            services.stage(f"part:{source.role}")
            parts.append(_write_part(services, place, target, source, meter))
            services.stage(f"stored:{source.role}")
    services.stage("parts_stored")
    return tuple(parts)


def _write_part(
    services: Services, place: writing.Place, target: Target, source: Source, meter: runner.Meter
) -> Part:
    label = source.database if source.database is not None else source.role
    with services.reporter.progress(label, source.size_hint) as show:
        started = False

        def on_bytes(count: int) -> None:
            nonlocal started
            if not started:
                started = True
                services.stage(f"streaming:{source.role}")
            meter.add(count)
            show(count)

        part = writing.write_part(
            place,
            source,
            recipients=services.keys.recipients,
            compression=target.compression,
            on_bytes=on_bytes,
        )
    services.reporter.info(
        "stored", target=target.name, part=part.name, size=part.size, stored_size=part.stored_size
    )
    return part


@contextmanager
def _server_lock(services: Services, target: Target, stop: Stop) -> Iterator[server.LockSession]:
    """Hold the target's lock across hosts while the dump runs; losing its session stops the run."""
    where = conninfo.parse(target.url, password=target.password).with_database(target.lock_database)
    with project_address.explained(target, stop):
        pooler.require_own_session(where)
    holder = f"holdfast backup of {target.name} on {services.host} pid {services.pid}"[:63]
    with server.backup_lock(where, target.name, application_name=holder) as session:
        services.stage("server_locked")
        with sessions.watched(session, stop, seconds=_LOCK_TICK):
            yield session


def _copy_out(services: Services, target: Target, taken: Taken, stop: Stop) -> Taken:
    failed = copies.copy_out(services, target, taken.backup.id, stop)
    row = services.ledger.backup(taken.backup.id)
    return dataclasses.replace(taken, failed_copies=failed, good=row is not None and row.good)


def backup_all(
    services: Services, targets: tuple[Target, ...], stop: Stop, *, labels: tuple[str, ...] = ()
) -> tuple[tuple[Taken, ...], tuple[tuple[str, Error], ...]]:
    """Back up several targets, one after the other; a failure of one does not keep the others from theirs."""
    taken: list[Taken] = []
    failed: list[tuple[str, Error]] = []
    for target in targets:
        stop.check()
        try:
            taken.append(backup(services, target, stop, labels=labels))
        except Error as error:
            if stop.requested:
                raise
            failed.append((target.name, error))
    return tuple(taken), tuple(failed)
