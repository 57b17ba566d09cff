"""Looks at all that a database holds, piece by piece, and goes on past what cannot be read."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from holdfast.postgres import compare, queries, sessions
from holdfast.postgres.definitions import read_definitions
from holdfast.postgres.errors import translate
from holdfast.postgres.server import Connection, pin
from holdfast.system.stop import Stop

LARGE_OBJECTS = "large objects"  # their name in `Survey.unread`
_FOREIGN = "not read: an index of it calls a function of another role, which would run as us"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a database holds; `unread` are the tables (and else) that could not be read, each with why.

    Materialised views are made from other tables, and are not among them. `definitions` tell how things are made.
    """

    digest: compare.Digest
    definitions: dict[str, str]
    unread: dict[str, str]


@dataclass(slots=True)
class _Looking:
    """A survey on its way, with the sessions that are free. `lost` is the name of what was read when one ended."""

    free: queue.SimpleQueue[Connection]
    stop: Stop
    unread: dict[str, str] = field(default_factory=dict)
    lost: str | None = None

    def ask(self, name: str, query: sql.Composed | LiteralString) -> list[TupleRow] | None:
        """Give the rows of a query about `name`, or note why there are none. From any thread."""
        self.stop.check()
        if self.lost is not None:
            self.unread[name] = f"not read: the server ended the session at {self.lost}"
            return None
        conn = self.free.get()
        try:
            with self.stop.calling(lambda: sessions.cancel(conn)):
                return conn.execute(query).fetchall()
        except psycopg.Error as error:
            self.stop.check()
            self.unread[name] = translate(error, "cannot be read").message
            # A page that brings a server down does so again: one crash is enough.
            if conn.closed:
                self.lost = name
            return None
        finally:
            self.free.put(conn)


def survey(
    conns: Sequence[Connection],
    stop: Stop,
    *,
    foreign_code: bool,
    show: Callable[[int], None] = lambda _: None,
) -> Survey:
    """Survey a database to which nobody writes, over sessions of our own outside of transactions: all at a time.

    `show` is told of each table's bytes. Unless `foreign_code` may run, tables are left out where planning the query
    would run a function of another role as us. Raise SourceError where the catalog itself cannot be read.
    """
    first = conns[0]
    try:
        for conn in conns:
            pin(conn, compare.PINNED)
        tables = first.execute(_TABLES).fetchall()
        sequences = first.execute(compare.SEQUENCES).fetchall()
        foreign = set() if foreign_code else {oid for (oid,) in first.execute(queries.FOREIGN_CODE)}
        definitions = read_definitions(first)
    except psycopg.Error as error:
        raise translate(error, f"reading the catalog of {first.info.dbname}") from error
    looking = _Looking(queue.SimpleQueue(), stop)
    for conn in conns:
        looking.free.put(conn)
    digest = compare.Digest(
        tables=_tables(looking, tables, foreign, len(conns), show),
        sequences=dict(_sequences(looking, sequences)),
        large_objects=_large_objects(looking),
    )
    return Survey(digest=digest, definitions=definitions, unread=looking.unread)


def _tables(
    looking: _Looking, tables: list[TupleRow], foreign: set[int], jobs: int, show: Callable[[int], None]
) -> dict[str, str]:
    def read(row: TupleRow) -> list[TupleRow] | None:
        name, schema, table, oids, _, is_root = row
        if not foreign.isdisjoint(oids):
            looking.unread[name] = _FOREIGN
            return None
        return looking.ask(name, compare.rows_of(sql.Identifier(schema, table), with_partitions=is_root))

    found = {}
    largest_first = sorted(tables, key=lambda row: -int(row[4]))  # or the largest might be alone at the end
    with ThreadPoolExecutor(jobs, "survey") as pool:
        for (name, _, _, _, size, _), rows in zip(largest_first, pool.map(read, largest_first), strict=True):
            show(size)
            if rows:
                found[name] = str(rows[0][0])
    return found


def _sequences(looking: _Looking, sequences: list[TupleRow]) -> Iterator[tuple[str, str]]:
    for name, schema, sequence in sequences:
        if rows := looking.ask(name, compare.SEQUENCE.format(sql.Identifier(schema, sequence))):
            yield name, str(rows[0][0])


def _large_objects(looking: _Looking) -> dict[str, str]:
    rows = looking.ask(LARGE_OBJECTS, compare.SUPERUSER)
    if not rows or not rows[0][0]:
        return {}
    return dict(looking.ask(LARGE_OBJECTS, compare.LARGE_OBJECTS) or ())


def size(conn: Connection) -> int:
    """Give about how many bytes of tables a survey reads. Raise SourceError."""
    try:
        return sum(int(row[4]) for row in conn.execute(_TABLES))
    except psycopg.Error as error:
        raise translate(error, f"reading the catalog of {conn.info.dbname}") from error


# Which partition a row is in is nobody's doing where the hash of an enum says it: that is another in each database. Such
# tables are read as one, with the oids of all their partitions.
_TABLES: LiteralString = (
    "WITH moving AS (SELECT pg_partition_root(p.partrelid) AS root FROM pg_partitioned_table p"
    " JOIN pg_opclass o ON o.oid = ANY (p.partclass) WHERE p.partstrat = 'h' AND o.opcname = 'enum_ops')"
    " SELECT format('%I.%I', n.nspname, r.relname), n.nspname::text, r.relname::text, array_agg(c.oid),"
    " (sum(c.relpages) * current_setting('block_size')::bigint)::bigint, bool_or(r.oid <> c.oid)"
    " FROM pg_class c JOIN pg_class r ON r.oid = coalesce((SELECT min(root::oid) FROM moving"
    " WHERE c.relispartition AND root = pg_partition_root(c.oid)), c.oid)"
    " JOIN pg_namespace n ON n.oid = r.relnamespace"
    " WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    " GROUP BY n.nspname, r.relname ORDER BY 1"
)
