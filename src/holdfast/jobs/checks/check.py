"""Checks that everything a backup needs is there, before it is needed. Finds, never mends; one line a finding."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol, runtime_checkable

from holdfast.jobs import conditions, emptied, mixed, one_place
from holdfast.jobs.checks import keys
from holdfast.jobs.checks.finding import Finding, guarded, room
from holdfast.jobs.checks.locks import check_locks
from holdfast.jobs.checks.plans import check_plan
from holdfast.jobs.checks.platform import check_platform
from holdfast.jobs.checks.stores import check_store
from holdfast.jobs.services import Services
from holdfast.jobs.supabase import project_address
from holdfast.methods import dump_hints, supabase_dump
from holdfast.methods.logical import choose_databases
from holdfast.model.errors import Error
from holdfast.model.target import Target
from holdfast.postgres import catalog, conninfo, pooler, server, sessions, standby, tools
from holdfast.postgres.errors import POOLER
from holdfast.stores.base import layers
from holdfast.system import lasting, owner, spool
from holdfast.system.stop import Stop

LABEL = "holdfast check"
_SHOWN = 5
_READABLE = (
    "GRANT pg_read_all_data TO the backup role (PostgreSQL 14 and later; BYPASSRLS for row-level security), or leave"
    " them out with exclude_tables."
)


@runtime_checkable
class _OnDisk(Protocol):
    """A store that lies in a directory of this machine."""

    @property
    def path(self) -> Path: ...


def check(services: Services, targets: tuple[Target, ...], *, encrypted: bool) -> Iterator[Finding]:
    """Look at the keys, the state directory, every store and every target."""
    if not targets:
        yield Finding(
            level="warn",
            subject="targets",
            message="none: this host backs nothing up",
            hint="Add a section [targets.NAME], or set HOLDFAST_URL; a variable that is empty counts as none.",
        )
    yield from keys.check_keys(services.keys, encrypted=encrypted)
    yield from keys.check_known(services)
    yield _check_space(services.state_dir)
    yield from _check_lasting(services.state_dir)
    yield from _check_spool(services.spool_dir)
    for store in services.stores.values():
        yield from check_store(store, functools.partial(conditions.record, services, store))
    yield from one_place.check(services, targets)
    yield from emptied.check(services, targets)
    yield from check_locks(services, targets)
    for target in targets:
        yield from check_plan(target, services.clock.now())
        yield from guarded(f"target {target.name}", _check_target(services, target))
        yield from guarded(f"target {target.name}, platform", check_platform(target, Stop()))


def _check_spool(path: Path) -> Iterator[Finding]:
    """Find what a parallel restore would stumble over; on most days nobody needs the directory."""
    try:
        with spool.unnamed_file(path):
            pass
    except Error as error:
        yield Finding(level="warn", subject="spool directory", message=error.message, hint=error.hint)


def _check_space(path: Path) -> Finding:
    from shutil import disk_usage  # noqa: PLC0415 - only here

    try:
        owner.make_folder(path)
        free = disk_usage(path).free
    except OSError as error:
        return Finding(
            level="fail",
            subject="state directory",
            message=f"{path}: {error.strerror}",
            hint="Set daemon.state_dir to a directory that this user can write.",
        )
    return room("state directory", str(path), free)


def _check_lasting(path: Path) -> Iterator[Finding]:
    """Find a state directory that ends with its container: what ran, and what failed, is forgotten with it."""
    passes = lasting.passing(path)
    if passes is not None:
        yield Finding(
            level="warn",
            subject="state directory",
            message=f"{path} lies {passes}",
            hint=f"Mount a volume with a name there (`--volume holdfast:{path}`), or set daemon.state_dir to a directory that lasts.",
        )


def _check_target(services: Services, target: Target) -> Iterator[Finding]:
    subject = f"target {target.name}"
    target = project_address.reached(target, Stop())
    where = conninfo.parse(target.url, password=target.password).at_server()
    with project_address.explained(target, Stop()):
        opened = server.connect(where, application_name=LABEL)
    with closing(opened) as connection:
        facts = server.facts(connection)
        kind = ", a standby" if facts.in_recovery else ""
        yield Finding(
            level="ok", subject=subject, message=f"{where.safe}: PostgreSQL {facts.version_text}{kind}"
        )
        if facts.in_recovery and (late := standby.behind(connection)):
            yield Finding(level="warn", subject=subject, message=late, hint=standby.HINT)
        yield from mixed.check(services, target.name, facts.system_identifier)
        yield from guarded(subject, _check_tools(subject, where, facts.version_num))
        if target.globals and not sessions.can_read_role_passwords(connection):
            yield Finding(
                level="warn",
                subject=subject,
                message=f"{facts.user} may not read pg_authid: roles are saved without their passwords",
                hint="Back up as a superuser, or set the passwords by hand after a restore.",
            )
        if target.globals:
            yield from _check_role_names(subject, connection)
        chosen, _ = choose_databases(target, connection)
    yield from _check_pooler(subject, where, facts)
    yield from _check_disk(services, subject, target, facts)
    yield from guarded(subject, _check_lock_database(subject, where, target))
    for info in chosen:
        yield from guarded(
            f"{subject}, database {info.name}",
            _check_database(subject, where.with_database(info.name), supabase_dump.as_dumped(target)),
        )


def _check_role_names(subject: str, connection: server.Connection) -> Iterator[Finding]:
    names = sessions.names(connection, "SELECT rolname FROM pg_roles", what="list the roles")
    stray = sorted(name for name in names if any("\udc80" <= each <= "\udcff" for each in name))
    if stray:
        yield Finding(
            level="fail",
            subject=subject,
            message=f"names of roles are no UTF-8: {', '.join(map(repr, stray[:_SHOWN]))}",
            hint=dump_hints.ROLE_NAME,
        )


def _check_tools(subject: str, where: conninfo.Conninfo, version_num: int) -> Iterator[Finding]:
    toolset = tools.choose(tools.find_toolsets(), version_num)
    tools.connects(toolset, where, application_name=LABEL)
    yield Finding(level="ok", subject=subject, message=f"pg_dump {toolset.text} in {toolset.bin_dir}")
    if trouble := tools.cannot_restore_here(toolset, version_num):
        yield Finding(level="warn", subject=subject, message=trouble)


def _check_pooler(subject: str, where: conninfo.Conninfo, facts: server.ServerFacts) -> Iterator[Finding]:
    if not facts.pooler:
        return
    if pooler.transaction_pooling(where):
        yield Finding(
            level="fail",
            subject=subject,
            message="a transaction pooler stands before the server: pg_dump needs a session of its own",
            hint=POOLER,
        )
    else:
        yield Finding(
            level="warn",
            subject=subject,
            message="a pooler stands before the server",
            hint="It works in session mode only; better connect to the server itself.",
        )


def _check_disk(
    services: Services, subject: str, target: Target, facts: server.ServerFacts
) -> Iterator[Finding]:
    """Warn when a local store shares the disk with the data that it should survive."""
    data = Path(facts.data_directory) if facts.data_directory else None
    for name in target.stores:
        store = services.stores.get(name)
        disk = next((one for one in layers(store) if isinstance(one, _OnDisk)), None) if store else None
        if data is None or disk is None:
            continue
        try:
            same = disk.path.stat().st_dev == data.stat().st_dev
        except OSError:
            continue
        if same:
            yield Finding(
                level="warn",
                subject=subject,
                message=f"store {name} lies on the same filesystem as the server's data",
                hint="When that disk dies, so do the backups: add a store elsewhere.",
            )


def _check_lock_database(subject: str, where: conninfo.Conninfo, target: Target) -> Iterator[Finding]:
    try:
        server.connect(where.with_database(target.lock_database), application_name=LABEL).close()
    except Error as error:
        yield Finding(
            level="fail",
            subject=subject,
            message=f"cannot take the lock across hosts: {error.message}",
            hint=f"Set targets.{target.name}.lock_database to a database that this user may connect to.",
        )


def _check_database(subject: str, where: conninfo.Conninfo, target: Target) -> Iterator[Finding]:
    with closing(server.connect(where, application_name=LABEL)) as connection:
        unreadable = catalog.unreadable(connection, target.selection, target.options)
    name = f"{subject}, database {where.database}"
    if target.supabase is not None:
        unreadable = supabase_dump.of_owner(unreadable)
    if not unreadable:
        yield Finding(level="ok", subject=name, message="everything is readable")
        return
    first = ", ".join(f"{item.kind} {item.name} ({item.reason})" for item in unreadable[:_SHOWN])
    more = f" and {len(unreadable) - _SHOWN} more" if len(unreadable) > _SHOWN else ""
    yield Finding(
        level="fail",
        subject=name,
        message=f"not readable: {first}{more}",
        hint=dump_hints.LARGE_OBJECTS
        if all(item.kind == "large object" for item in unreadable)
        else _READABLE,
    )
