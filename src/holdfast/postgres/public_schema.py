"""Makes the schema `public` anew where somebody dropped it: a dump does not, as every new database has one."""

from __future__ import annotations

from contextlib import suppress
from typing import LiteralString

from holdfast.model.errors import SourceError
from holdfast.postgres.properties import V15
from holdfast.postgres.server import Connection
from holdfast.postgres.sessions import execute, names

PUBLIC = "public"
_THERE: LiteralString = "SELECT nspname::text FROM pg_namespace WHERE nspname = 'public'"
_WHAT = "make the schema public"


def make_public(conn: Connection) -> None:
    """Make it as initdb does, unless it is there. Raise SourceError."""
    if names(conn, _THERE, what=_WHAT):
        return
    allowed = "USAGE" if conn.info.server_version >= V15 else "ALL"
    execute(
        conn,
        f"CREATE SCHEMA public; GRANT {allowed} ON SCHEMA public TO PUBLIC;"
        " COMMENT ON SCHEMA public IS 'standard public schema'",
        what=_WHAT,
    )
    if conn.info.server_version >= V15:
        with suppress(SourceError):  # who may make it may not always give it away
            execute(conn, "ALTER SCHEMA public OWNER TO pg_database_owner", what=_WHAT)
