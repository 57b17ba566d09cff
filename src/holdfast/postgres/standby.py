"""Tells whether a standby has fallen behind: what is dumped from it is then older than the backup says."""

from __future__ import annotations

from typing import LiteralString

import psycopg

from holdfast.postgres.server import Connection

HINT = "Back up the primary, or see why the standby does not follow: its log, pg_stat_wal_receiver, the primary's slots."
_STANDING: LiteralString = (
    "SELECT pg_is_wal_replay_paused(), EXISTS (SELECT FROM pg_stat_wal_receiver),"
    " to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS\"Z\"'),"
    " coalesce(now() - pg_last_xact_replay_timestamp() > interval '1 hour', true)"
    " WHERE pg_is_in_recovery()"
)


def behind(conn: Connection) -> str | None:
    """Say how a standby falls behind: its replay is paused, or nothing has come from its primary for an hour.

    None also where the server cannot tell, as some platforms' replicas.
    """
    try:
        row = conn.execute(_STANDING).fetchone()
    except psycopg.DatabaseError:  # a session that broke is noticed by what comes next
        return None
    if row is None:  # promoted meanwhile
        return None
    paused, receives, at, late = row
    last = (
        f"the last change that it has is of {at}" if at is not None else "no change came since it was started"
    )
    if paused:
        return f"a standby whose replay is paused: {last}"
    if not receives and late:
        return f"a standby that receives nothing from its primary: {last}"
    return None
