"""Opens the transaction whose snapshot the catalog and every client program of a dump share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg

from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.server import ENDLESS, Connection, connect, pin, translate

# What pg_dump sets in its own session, so that both see values and names the same way.
PINS = ENDLESS | {
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "timezone": "UTC",
    "synchronize_seqscans": "off",
    "quote_all_identifiers": "off",
    "row_security": "off",
    "search_path": "pg_catalog",
    # A table that its owner exchanges for a view would run his code as us (CVE-2024-7348).
    "restrict_nonsystem_relation_kind": "view, foreign-table",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A transaction that stays open, and the id by which others import what it sees (pg_dump --snapshot)."""

    connection: Connection
    id: str


@contextmanager
def exported_snapshot(
    conninfo: Conninfo, *, application_name: str, lock_wait_timeout: float
) -> Iterator[Snapshot]:
    """Hold a repeatable-read, read-only transaction with its snapshot exported; a hot standby will do.

    `lock_wait_timeout` in seconds bounds each wait for a lock. The snapshot lives as long as the `with`, which
    rolls back at its end. Raise SourceError.
    """
    what = f"taking a snapshot of {conninfo.safe}"
    with connect(conninfo, application_name=application_name) as conn:
        try:
            conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            pin(conn, PINS | {"lock_timeout": f"{max(1, round(lock_wait_timeout * 1000))}ms"}, local=True)
            name = conn.execute("SELECT pg_export_snapshot()").fetchall()[0][0]
        except psycopg.Error as error:
            raise translate(error, what) from error
        try:
            yield Snapshot(connection=conn, id=str(name))
        finally:
            # Whoever imported the snapshot has it for good: that the server ended this session since harms nobody.
            with suppress(psycopg.Error):
                conn.rollback()
