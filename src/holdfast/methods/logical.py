"""The logical method: `pg_dumpall --globals-only` and one `pg_dump -Fc` per database, each in one snapshot."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace

from holdfast.methods import dump_hints, supabase_dump, watchdog
from holdfast.methods.archive_end import ended, globals_ended
from holdfast.methods.base import Facts, Source
from holdfast.methods.logical_globals import GARBLED
from holdfast.model import catalog as model
from holdfast.model import codec
from holdfast.model.backup import Server
from holdfast.model.errors import IntegrityError, SourceError
from holdfast.model.target import Target
from holdfast.postgres import archive, blocks, catalog, conninfo, server, sessions, snapshot, standby, tools
from holdfast.postgres.entries import data_tables, defined_tables
from holdfast.postgres.patterns import match_databases
from holdfast.postgres.schema_reading import SchemaCollector
from holdfast.postgres.scripts import ZONE
from holdfast.postgres.undumped import of_server
from holdfast.system import proc
from holdfast.system.stop import Stop

Warn = Callable[[str], None]
_TEMPLATES = ("template0", "template1")


class Logical:
    """Captures a target with the server's own dump programs.

    `label` marks the sessions of this capture in pg_stat_activity; `warn` is told what the operator should know
    though nothing failed.
    """

    name = "logical"

    def __init__(self, target: Target, *, label: str, warn: Warn) -> None:
        self._target = supabase_dump.as_dumped(target)
        self._label = label[:63]
        self._warn = warn
        self._conninfo = conninfo.parse(target.url, password=target.password).at_server()
        self._facts: Facts | None = None

    @property
    def facts(self) -> Facts:
        """What was learned; only after `capture` has ended."""
        if self._facts is None:
            raise RuntimeError("the capture has not ended")
        return self._facts

    def capture(self, stop: Stop) -> Generator[Source, None, None]:
        """Give the globals, each database's dump, and the catalog. See `Method.capture`."""
        target = self._target
        with closing(self._connect(self._conninfo)) as connection:
            facts = server.facts(connection)
            chosen, skipped = choose_databases(target, connection)
            cluster = catalog.read_cluster(connection)
            readable_roles = sessions.can_read_role_passwords(connection)
            if facts.in_recovery and (late := standby.behind(connection)):
                self._warn(f"{late}; what is backed up is as old")
            garbled = sessions.garbled_settings(connection)
            undumpable = tuple(of_server(connection)) if target.globals else ()
        toolset = tools.choose(tools.find_toolsets(), facts.version_num)
        if trouble := tools.cannot_restore_here(toolset, facts.version_num):
            self._warn(trouble)
        if target.globals:
            if not readable_roles:
                self._warn("roles are saved without passwords: this user may not read pg_authid")
            for name in garbled:
                self._warn(f"the role setting {name} is not saved: {GARBLED}")
            yield from self._globals(toolset, stop, passwords=readable_roles)
        databases: list[model.Database] = []
        for info in chosen:
            found = yield from self._database(info, facts, toolset, stop)
            databases.append(found)
        whole = model.Catalog(
            version=model.CATALOG_VERSION,
            server_version=facts.version_text,
            version_num=facts.version_num,
            system_identifier=facts.system_identifier,
            roles=cluster.roles,
            tablespaces=cluster.tablespaces,
            role_passwords=readable_roles and target.globals,
            databases=tuple(databases),
            left_out=(
                *skipped,
                *_globals_left_out(target, readable=readable_roles),
                *undumpable,
                *supabase_dump.elsewhere(target.supabase),
            ),
            platform=supabase_dump.platform(target.supabase),
        )
        yield catalog_source(whole)
        self._facts = Facts(
            server=Server(
                version=facts.version_text,
                version_num=facts.version_num,
                system_identifier=facts.system_identifier,
            ),
            tools={"pg_dump": toolset.text},
            databases=tuple(info.name for info in chosen),
            catalog=whole,
        )

    def _connect(self, where: conninfo.Conninfo) -> server.Connection:
        return server.connect(where, application_name=self._label)

    def _globals(self, toolset: tools.Toolset, stop: Stop, *, passwords: bool) -> Iterator[Source]:
        argv = [toolset.program("pg_dumpall"), "--globals-only", "--encoding=UTF8", "--no-password"]
        if not passwords:
            argv.append("--no-role-passwords")
        if self._target.supabase is not None and (role := supabase_dump.role_of(self._target)):
            argv.append(f"--role={role}")
        database = self._conninfo.database or "postgres"
        argv += [f"--database={database}", f"--dbname={self._conninfo.argv_dsn()}"]
        with closing(self._run(tuple(argv), self._conninfo, "roles and tablespaces", stop)) as chunks:
            yield Source(role="globals", format="plain", stem="globals", chunks=globals_ended(chunks))

    def _database(
        self, info: server.DatabaseInfo, facts: server.ServerFacts, toolset: tools.Toolset, stop: Stop
    ) -> Generator[Source, None, model.Database]:
        """Give one database's dump, and return its catalog."""
        where = self._conninfo.with_database(info.name)
        with snapshot.exported_snapshot(
            where, application_name=self._label, lock_wait_timeout=self._target.lock_wait_timeout
        ) as snap:
            target = supabase_dump.settled(self._target, snap.connection)
            found = catalog.read_database(
                snap.connection,
                target.selection,
                name=info.name,
                version_num=facts.version_num,
                options=target.options,
            )
            schema = SchemaCollector()
            reader = archive.TocReader(keep=schema.keep, definitions=schema.wants)
            finder = blocks.BlockFinder(reader)
            argv = dump_argv(target, toolset, where, snap.id, in_recovery=facts.in_recovery)
            with (
                watchdog.watching(
                    where,
                    application_name=self._label,
                    limit=target.blocking_limit,
                    stop=stop,
                    warn=self._warn,
                ),
                _counting(
                    snap.connection, found, stop, wanted=target.fingerprint == "rows", warn=self._warn
                ) as counted,
                closing(self._run(argv, where, f"database {info.name!r}", stop)) as chunks,
            ):
                yield Source(
                    role="database",
                    format="custom",
                    stem=info.name,
                    database=info.name,
                    size_hint=info.size_bytes or 0,
                    compressible=target.compression.kind != "pg_dump",
                    chunks=ended(
                        blocks.watch_blocks(archive.watch(chunks, reader), finder), reader, info.name
                    ),
                    note=lambda: blocks.dump_note(finder.found),
                )
                check_complete(info.name, reader, found)
                whole = replace(counted.result(), schema_objects=schema.objects)
                return supabase_dump.described(whole, target.supabase)

    def _run(
        self, argv: tuple[str, ...], where: conninfo.Conninfo, what: str, stop: Stop
    ) -> Generator[bytes, None, None]:
        """Run a program of PostgreSQL and give what it prints. Raise SourceError, saying `what` was dumped."""
        with conninfo.child(where, application_name=self._label) as child:
            # In one zone for ever: a restore test holds the same rows, dumped elsewhere, against these. libpq's variable
            # passes a pooler, and beats what is set for the database or the role.
            env = {**child.env, "PGTZ": ZONE}
            command = proc.Command(argv=argv, env=env, pass_fds=child.pass_fds)
            try:
                yield from proc.stdout_of(command, stop, on_line=self._tell)
            except proc.ProcessError as error:
                raise SourceError(f"{what}: {error.message}", hint=dump_hints.hint(error.stderr)) from error

    def _tell(self, line: str) -> None:
        if "warning:" in line:
            self._warn(line)


def choose_databases(
    target: Target, connection: server.Connection
) -> tuple[tuple[server.DatabaseInfo, ...], tuple[model.LeftOut, ...]]:
    """Tell which databases of the server are captured, and which are not and why. A missing one is a SourceError."""
    found = server.databases(connection)
    by_name = {info.name: info for info in found}
    if target.databases is not None:
        missing = [name for name in target.databases if name not in by_name]
        if missing:
            raise SourceError(
                f"target {target.name}: no database {', '.join(map(repr, missing))} on the server",
                hint=f"It has {', '.join(sorted(by_name.keys() - _TEMPLATES))}; correct targets.{target.name}.databases.",
            )
    excluded = match_databases(connection, tuple(by_name), target.exclude_databases)
    chosen, skipped = [], []
    for info in found:
        reason = _why_not(info, target, excluded=info.name in excluded)
        if reason is None:
            chosen.append(info)
        elif info.name not in _TEMPLATES:
            skipped.append(model.LeftOut(kind="database", name=info.name, reason=reason))
    if not chosen:
        raise SourceError(
            f"target {target.name}: no database is left to back up",
            hint="Look at its databases and exclude_databases in the config.",
        )
    return tuple(chosen), tuple(skipped)


def _why_not(info: server.DatabaseInfo, target: Target, *, excluded: bool) -> str | None:
    if excluded:
        return "named in exclude_databases"
    if target.databases is not None:
        return None if info.name in target.databases else "not named in databases"
    if info.name in _TEMPLATES:
        return "every server has its own"
    return None if info.allow_connections else "allows no connections"


def dump_argv(
    target: Target, toolset: tools.Toolset, where: conninfo.Conninfo, snapshot_id: str, *, in_recovery: bool
) -> tuple[str, ...]:
    """The pg_dump command for one database of a target."""
    selection = target.selection
    argv = [
        toolset.program("pg_dump"),
        "--format=custom",
        "--no-password",
        f"--snapshot={snapshot_id}",
        f"--lock-wait-timeout={max(1, round(target.lock_wait_timeout * 1000))}",
        *(f"--schema={pattern}" for pattern in selection.include_schemas),
        *(f"--exclude-schema={pattern}" for pattern in selection.exclude_schemas),
        *(f"--table={pattern}" for pattern in selection.include_tables),
        *(f"--exclude-table={pattern}" for pattern in selection.exclude_tables),
        *(f"--exclude-table-data={pattern}" for pattern in selection.exclude_table_data),
        *target.options,
    ]
    if target.compression.kind != "pg_dump":
        argv.append("--compress=0")
    if in_recovery and "--no-unlogged-table-data" not in target.options:
        argv.append("--no-unlogged-table-data")
    return (*argv, f"--dbname={where.argv_dsn()}")


def check_complete(name: str, reader: archive.TocReader, found: model.Database) -> None:
    """Raise IntegrityError unless the archive's contents name every table that the catalog expects in it."""
    if not reader.done:
        raise IntegrityError(
            f"database {name}: pg_dump ended normally but printed no complete archive",
            hint="Run its command by hand to see what it prints; the client may be broken.",
        )
    entries = reader.entries
    defined, with_rows = defined_tables(entries), data_tables(entries)
    for table in found.tables:
        if table.extension is not None or table.persistence == "t" or table.left_out:
            continue
        complete = table.oid in defined and (
            table.kind != "r" or table.data_left_out or table.oid in with_rows
        )
        if not complete:
            raise IntegrityError(
                f"database {name}: the archive does not hold {table.schema}.{table.name}",
                hint="It may have been dropped or renamed while the dump began; try again.",
            )


@contextmanager
def _counting(
    connection: server.Connection, found: model.Database, stop: Stop, *, wanted: bool, warn: Warn
) -> Iterator[Future[model.Database]]:
    """Count the rows in the dump's snapshot beside the dump; cancel the count when the dump fails."""
    if not wanted:
        done: Future[model.Database] = Future()
        done.set_result(found)
        yield done
        return
    with ThreadPoolExecutor(1, thread_name_prefix="count") as pool, stop.derived() as counting:
        future = pool.submit(catalog.count_rows, connection, found, stop=counting, leave_out=warn)
        with counting.calling(lambda: sessions.cancel(connection)):
            try:
                yield future
            except BaseException:
                counting.request()
                raise


def _globals_left_out(target: Target, *, readable: bool) -> tuple[model.LeftOut, ...]:
    if not target.globals:
        return (model.LeftOut(kind="globals", name="roles and tablespaces", reason="globals = false"),)
    if not readable:
        return (
            model.LeftOut(
                kind="passwords", name="passwords of roles", reason="this user may not read pg_authid"
            ),
        )
    return ()


def catalog_source(whole: model.Catalog) -> Source:
    """Give the part of the catalog."""
    text = json.dumps(codec.to_json(whole), ensure_ascii=False, sort_keys=True).encode(
        errors="surrogateescape"
    )
    return Source(
        role="catalog", format="json", stem="catalog", size_hint=len(text), chunks=iter([text + b"\n"])
    )
