"""Checks that a restored database is sound in itself: its indexes valid, and heaps and indexes as amcheck wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain
from typing import LiteralString

import psycopg

from holdfast.model.comparison import Validity
from holdfast.postgres import server
from holdfast.postgres.conninfo import Conninfo
from holdfast.system.stop import Stop

_LABEL = "holdfast soundness"
_SHOWN = 20
_WITH_HEAPS = 140000
_INDEXES: LiteralString = (
    "SELECT format('%I.%I', n.nspname, c.relname), i.indisvalid AND i.indisready FROM pg_index i"
    " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind = 'i' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
)
_CONSTRAINTS: LiteralString = (
    "SELECT format('%I on %s', k.conname, k.conrelid::regclass), k.convalidated FROM pg_constraint k"
    " JOIN pg_namespace n ON n.oid = k.connamespace WHERE k.conrelid <> 0"
    " AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
)
_TREES: LiteralString = (
    "SELECT c.oid, format('%I.%I', n.nspname, c.relname) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
    " JOIN pg_am a ON a.oid = c.relam JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE a.amname = 'btree' AND c.relkind = 'i' AND i.indisvalid AND c.relpersistence = 'p'"
    " AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
)
_HEAPS: LiteralString = (
    "SELECT c.oid, format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_am a ON a.oid = c.relam"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE a.amname = 'heap' AND c.relkind IN ('r', 'm') AND c.relpersistence = 'p'"
    " AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
)
_TREE: LiteralString = "SELECT NULL FROM holdfast_amcheck.bt_index_check(%s::oid, true)"
_HEAP: LiteralString = (
    "SELECT blkno || ': ' || msg FROM holdfast_amcheck.verify_heapam(%s::oid::regclass) LIMIT 3"
)

Named = tuple[int, str]


def sound(where: Conninfo, *, amcheck: bool, jobs: int, stop: Stop) -> tuple[Validity, ...]:
    """Check everything, with `jobs` sessions for amcheck, which is installed for that. Raise SourceError."""
    with closing(server.connect(where, application_name=_LABEL)) as connection:
        server.pin(connection, server.ENDLESS)
        valid = (
            _valid(connection, "indexes are valid", _INDEXES),
            _unvalidated(connection),
        )
        if not amcheck:
            return (*valid, Validity(name="amcheck", checked=0, skipped="the config says no"))
        if refusal := _install(connection):
            return (*valid, Validity(name="amcheck", checked=0, skipped=refusal))
        trees = _listed(connection, _TREES)
        heaps = _listed(connection, _HEAPS) if connection.info.server_version >= _WITH_HEAPS else []
    return (
        *valid,
        _each("amcheck of indexes", where, _TREE, trees, jobs, stop),
        _each("amcheck of tables", where, _HEAP, heaps, jobs, stop),
    )


def _valid(connection: server.Connection, name: str, query: LiteralString) -> Validity:
    rows = _rows(connection, query)
    return Validity(
        name=name, checked=len(rows), problems=tuple(str(what) for what, valid in rows if not valid)[:_SHOWN]
    )


def _unvalidated(connection: server.Connection) -> Validity:
    """A constraint that was NOT VALID in the original still is: that the definitions tell. Restoring proves the others."""
    rows = _rows(connection, _CONSTRAINTS)
    left = sum(1 for _, validated in rows if not validated)
    return Validity(
        name="constraints hold",
        checked=len(rows) - left,
        skipped=f"{left} are NOT VALID, as in the original" if left else None,
    )


def _install(connection: server.Connection) -> str | None:
    """Make amcheck available, in a schema of its own; tell why that cannot be."""
    try:
        with connection.transaction():
            connection.execute("SET LOCAL default_transaction_read_only = off")
            connection.execute("DROP EXTENSION IF EXISTS amcheck")
            connection.execute("CREATE SCHEMA holdfast_amcheck")
            connection.execute("CREATE EXTENSION amcheck SCHEMA holdfast_amcheck")
    except psycopg.Error as error:
        return f"amcheck is not to be had: {str(error).splitlines()[0]}"
    return None


def _listed(connection: server.Connection, query: LiteralString) -> list[Named]:
    return [(int(str(oid)), str(name)) for oid, name in _rows(connection, query)]


def _rows(connection: server.Connection, query: LiteralString) -> list[tuple[object, ...]]:
    try:
        return connection.execute(query).fetchall()
    except psycopg.Error as error:
        raise server.translate(error, "looking at what was restored") from error


def _each(
    name: str, where: Conninfo, query: LiteralString, things: Sequence[Named], jobs: int, stop: Stop
) -> Validity:
    """Ask about each thing, shared out among sessions."""
    shares = [things[start::jobs] for start in range(jobs)]
    work: Callable[[Sequence[Named]], list[str]] = lambda share: _asked(where, query, share, stop)  # noqa: E731
    with ThreadPoolExecutor(jobs, thread_name_prefix="amcheck") as pool:
        problems = list(chain.from_iterable(pool.map(work, filter(None, shares))))
    return Validity(name=name, checked=len(things), problems=tuple(sorted(problems)[:_SHOWN]))


def _asked(where: Conninfo, query: LiteralString, things: Sequence[Named], stop: Stop) -> list[str]:
    found: list[str] = []
    with closing(server.connect(where, application_name=_LABEL)) as connection:
        server.pin(connection, server.ENDLESS)
        with stop.calling(connection.cancel):
            for oid, name in things:
                stop.check()
                try:
                    rows = connection.execute(query, (oid,)).fetchall()
                except psycopg.Error as error:
                    stop.check()
                    if connection.closed:
                        raise server.translate(error, f"amcheck of {name}") from error
                    found.append(f"{name}: {str(error).splitlines()[0]}")
                else:
                    found += [f"{name}: {text}" for (text,) in rows if text]
    return found
