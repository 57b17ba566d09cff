"""Tells whether a database holds anything of a user's, so that a restore into it is refused or allowed."""

# ruff: noqa: S608 - every piece is a constant of this file

from __future__ import annotations

from typing import LiteralString

import psycopg

from holdfast.postgres.server import Connection, translate

_SHOWN = 8

# Each kind with the names of the user's objects of it; what initdb made has an OID below 16384.
_KINDS: tuple[tuple[str, LiteralString], ...] = (
    (
        "schema",
        "SELECT oid, 'pg_namespace'::regclass, nspname FROM pg_namespace WHERE nspname !~ '^(pg_|public$)'",
    ),
    (
        "relation",
        (
            "SELECT c.oid, 'pg_class'::regclass, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND nspname !~ '^pg_(temp|toast)'"
        ),
    ),
    ("function", "SELECT oid, 'pg_proc'::regclass, proname FROM pg_proc"),
    (
        "type",
        (
            "SELECT t.oid, 'pg_type'::regclass, typname FROM pg_type t LEFT JOIN pg_class c ON c.oid = typrelid"
            " WHERE (c.oid IS NULL OR c.relkind = 'c') AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)"
        ),
    ),
    ("extension", "SELECT oid, 0::regclass, extname FROM pg_extension WHERE extname <> 'plpgsql'"),
    ("large object", "SELECT oid, 0::regclass, oid::text FROM pg_largeobject_metadata"),
    ("event trigger", "SELECT oid, 'pg_event_trigger'::regclass, evtname FROM pg_event_trigger"),
    ("publication", "SELECT oid, 0::regclass, pubname FROM pg_publication"),
    (
        "subscription",
        (
            "SELECT s.oid, 0::regclass, subname FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid"
            " WHERE datname = current_database()"
        ),
    ),
    (
        "foreign-data wrapper",
        "SELECT oid, 'pg_foreign_data_wrapper'::regclass, fdwname FROM pg_foreign_data_wrapper",
    ),
    ("foreign server", "SELECT oid, 'pg_foreign_server'::regclass, srvname FROM pg_foreign_server"),
    ("operator", "SELECT oid, 'pg_operator'::regclass, oprname FROM pg_operator"),
    (
        "cast",
        "SELECT oid, 'pg_cast'::regclass, format('%s as %s', castsource::regtype, casttarget::regtype) FROM pg_cast",
    ),
    ("collation", "SELECT oid, 'pg_collation'::regclass, collname FROM pg_collation"),
    ("conversion", "SELECT oid, 'pg_conversion'::regclass, conname FROM pg_conversion"),
    ("language", "SELECT oid, 'pg_language'::regclass, lanname FROM pg_language"),
    ("access method", "SELECT oid, 'pg_am'::regclass, amname FROM pg_am"),
    ("text search configuration", "SELECT oid, 'pg_ts_config'::regclass, cfgname FROM pg_ts_config"),
    ("text search dictionary", "SELECT oid, 'pg_ts_dict'::regclass, dictname FROM pg_ts_dict"),
    ("default privilege", "SELECT oid, 0::regclass, pg_get_userbyid(defaclrole)::text FROM pg_default_acl"),
)


def what_is_there(conn: Connection) -> str:
    """Sum up what the database holds, for a refusal: `3 relations (orders, …), 1 large object`; empty: nothing."""
    return ", ".join(
        f"{count} {kind}{'' if count == 1 else 's'} ({name}{', …' if count > 1 else ''})"
        for kind, count, name in _found(conn)[:_SHOWN]
    )


def _found(conn: Connection) -> list[tuple[str, int, str]]:
    union = " UNION ALL ".join(
        f"SELECT {place} AS place, q.oid::oid, q.class::oid, q.name::text FROM ({query}) q(oid, class, name)"
        for place, (_, query) in enumerate(_KINDS)
    )
    # What belongs to an extension is counted as the extension.
    query = (
        f'SELECT place, count(*), min(name COLLATE "C") FROM ({union}) o WHERE (oid >= 16384 OR place = {_large()})'
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')"
        " GROUP BY place ORDER BY place"
    )
    try:
        rows = conn.execute(query.encode()).fetchall()
    except psycopg.Error as error:
        raise translate(error, f"looking into the database {conn.info.dbname}") from error
    return [(_KINDS[place][0], count, name) for place, count, name in rows]


def _large() -> int:
    """Give the place of large objects, whose OIDs a user may choose below 16384."""
    return next(place for place, (kind, _) in enumerate(_KINDS) if kind == "large object")
