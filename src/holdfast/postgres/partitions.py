"""Finds the root of each partition, and puts rows together at the roots where a dump loads them through those.

pg_dump does so with --load-via-partition-root, and by itself where the hash of an enum chooses the partition: it changes
with every restore, so a row may come back in another partition of the same root.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import LiteralString

import psycopg

from holdfast.postgres.data_digest import DataDigest, Rows
from holdfast.postgres.relation_names import Name
from holdfast.postgres.server import Connection, translate

_ROOTS: LiteralString = (
    "SELECT n.nspname::text, c.relname::text, s.nspname::text, r.relname::text FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_class r ON r.oid = pg_partition_root(c.oid)"
    " JOIN pg_namespace s ON s.oid = r.relnamespace WHERE c.relispartition AND c.relkind IN ('r', 'f')"
)


def read_roots(conn: Connection) -> dict[Name, Name]:
    """Give the root of each partition that has rows itself. Raise SourceError."""
    try:
        rows = conn.execute(_ROOTS).fetchall()
    except psycopg.Error as error:
        raise translate(error, "reading the partitions") from error
    return {(schema, name): (root_schema, root) for schema, name, root_schema, root in rows}


def groups(roots: Mapping[Name, Name], named: Collection[Name]) -> dict[Name, Name]:
    """Give the partitions whose rows have to be put together, with their roots: `named` are the tables that COPY fills."""
    return {leaf: root for leaf, root in roots.items() if root in named}


def together(digest: DataDigest, grouped: Mapping[Name, Name]) -> dict[Name, Rows]:
    """Give the tables of one side with the rows of those partitions at their roots."""
    tables: dict[Name, Rows] = {}
    for name, rows in digest.tables.items():
        into = tables.setdefault(grouped.get(name, name), Rows())
        into.columns |= rows.columns
        into.lines.add_all(rows.lines)
    return tables


def lacking(
    expected: Mapping[Name, int], counted: Mapping[Name, int | None], roots: Mapping[Name, Name]
) -> dict[Name, int]:
    """Tell how many rows all partitions of each root lack together.

    The hash of an enum's value is another after each restore, and chooses the partition.
    """
    totals: dict[Name, int] = {}
    for leaf, root in roots.items():
        totals[root] = totals.get(root, 0) + expected.get(leaf, 0) - (counted.get(leaf) or 0)
    return totals
