"""A database's own properties: reads them, and writes the statements that give them to a new database.

A dump restored under another name brings none of them along, so they are kept in the catalog and issued by us.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from holdfast.model.catalog import Grant, Properties, SecurityLabel, Setting
from holdfast.model.errors import NotFoundError
from holdfast.postgres.encoding import raw_texts, shared_name, value_of
from holdfast.postgres.server import Connection, PermanentSourceError, translate

V15, V16, V17 = 150000, 160000, 170000
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
# Settings whose stored value is a list of names, each already quoted (GUC_LIST_QUOTE in PostgreSQL's source).
LISTS = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)


def limits_of_name(conn: Connection, name: str) -> tuple[int, bool]:
    """Tell how many bytes of a name the server keeps, and whether a template has this one. Raise SourceError."""
    ((longest, is_template),) = _rows(conn, _NAME, (name,))
    return int(longest), bool(is_template)


def read_properties(conn: Connection, database: str) -> Properties:
    """Read the properties of a database of this server. Raise NotFoundError, or SourceError."""
    here = conn.pgconn.db == database.encode()  # whose name may be another in its own encoding
    row = _rows(conn, _DATABASE, (here, None if here else database))
    if not row:
        raise NotFoundError(f"there is no database {database!r}")
    try:
        return _properties(conn, row[0])
    except psycopg.Error as error:
        raise translate(error, f"reading the properties of the database {database!r}") from error


def _properties(conn: Connection, row: TupleRow) -> Properties:
    (oid, owner, encoding, collate, ctype, provider, locale, rules, version, *rest) = row
    tablespace, limit, custom_acl, template = rest
    ((comment,),) = raw_texts(conn, _COMMENT, (oid,))
    grants = tuple(
        Grant(
            grantee=None if grantee is None else shared_name(conn, grantee),
            grantor=shared_name(conn, grantor),
            privilege=privilege,
            grantable=grantable,
        )
        for grantee, grantor, privilege, grantable in _rows(conn, _GRANTS, (oid,))
    )
    return Properties(
        owner=shared_name(conn, owner),
        encoding=encoding,
        collate=collate,
        ctype=ctype,
        provider=provider,
        locale=locale,
        icu_rules=rules,
        collation_version=version,
        tablespace=tablespace,
        connection_limit=limit,
        comment=None if comment is None else value_of(conn, comment, encoding),
        grants=grants if custom_acl else None,
        settings=tuple(
            Setting(
                role=None if role is None else shared_name(conn, role),
                name=name.decode(),
                value=value_of(conn, value, encoding),
            )
            for role, (name, _, value) in (
                (role, setting.partition(b"=")) for role, setting in raw_texts(conn, _SETTINGS, (oid,))
            )
        ),
        labels=tuple(SecurityLabel(provider=p, label=t) for p, t in _rows(conn, _LABELS, (oid,))),
        is_template=template,
    )


_NAME: LiteralString = (
    "SELECT current_setting('max_identifier_length')::int,"
    " EXISTS (SELECT FROM pg_database WHERE datname = %s AND datistemplate)"
)
# What all databases share comes as bytes: see `encoding`. By way of JSON, because some columns differ by version: providers
# since 15, rules since 16, datlocale since 17.
_DATABASE: LiteralString = (
    "SELECT d.oid, convert_to(pg_get_userbyid(d.datdba)::text, e), pg_encoding_to_char(d.encoding)::text, d.datcollate::text,"
    " d.datctype::text, coalesce(j ->> 'datlocprovider', 'c'), coalesce(j ->> 'datlocale', j ->> 'daticulocale'),"
    " j ->> 'daticurules', j ->> 'datcollversion', t.spcname::text, d.datconnlimit,"
    " d.datacl IS NOT NULL, d.datistemplate"
    " FROM pg_database d CROSS JOIN current_setting('server_encoding') AS e CROSS JOIN LATERAL pg_catalog.to_jsonb(d) j JOIN pg_tablespace t ON t.oid = d.dattablespace"
    " WHERE d.datname = CASE WHEN %s THEN current_database() ELSE %s END"
)
_COMMENT: LiteralString = "SELECT shobj_description(%s, 'pg_database')"
# In the list's own order: a privilege always stands after the one that allowed its grantor to pass it on.
_GRANTS: LiteralString = (
    "SELECT CASE WHEN x.grantee <> 0 THEN convert_to(pg_get_userbyid(x.grantee)::text, e) END,"
    " convert_to(pg_get_userbyid(x.grantor)::text, e), x.privilege_type, x.is_grantable"
    " FROM pg_database d CROSS JOIN current_setting('server_encoding') AS e"
    " CROSS JOIN LATERAL aclexplode(d.datacl) WITH ORDINALITY x(grantor, grantee, privilege_type, is_grantable, place)"
    " WHERE d.oid = %s ORDER BY x.place"
)
_SETTINGS: LiteralString = (
    "SELECT CASE WHEN s.setrole <> 0 THEN convert_to(pg_get_userbyid(s.setrole)::text, e) END, c"
    " FROM pg_db_role_setting s CROSS JOIN current_setting('server_encoding') AS e"
    " CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS u(c) WHERE s.setdatabase = %s ORDER BY 1 NULLS FIRST, 2"
)
_LABELS: LiteralString = "SELECT provider, label FROM pg_shseclabel WHERE classoid = 'pg_database'::regclass AND objoid = %s ORDER BY 1"


def create_database_sql(
    name: str, properties: Properties, version_num: int, *, tablespaces: bool
) -> sql.Composed:
    """Write CREATE DATABASE for a server of `version_num`, owner, encoding and locale included, those that are known.

    With `tablespaces` False the database goes where the server puts it by default. Raise SourceError where the
    server cannot have such a locale.
    """
    clauses: list[sql.Composable] = [
        sql.SQL("TEMPLATE template0"),
        *([sql.SQL("OWNER ") + sql.Identifier(properties.owner)] if properties.owner else ()),
        *([sql.SQL("ENCODING ") + sql.Literal(properties.encoding)] if properties.encoding else ()),
        *(_locale_clauses(name, properties, version_num) if properties.collate else ()),
    ]
    if tablespaces and properties.tablespace != "pg_default":
        clauses.append(sql.SQL("TABLESPACE ") + sql.Identifier(properties.tablespace))
    return sql.SQL("CREATE DATABASE {} WITH {}").format(sql.Identifier(name), sql.SQL(" ").join(clauses))


def _locale_clauses(name: str, properties: Properties, version_num: int) -> Iterator[sql.Composable]:
    yield sql.SQL("LC_COLLATE ") + sql.Literal(properties.collate)
    yield sql.SQL("LC_CTYPE ") + sql.Literal(properties.ctype)
    needed = {"c": 0, "i": V16 if properties.icu_rules else V15, "b": V17}[properties.provider]
    if version_num < needed:
        raise PermanentSourceError(
            f"the database {name!r} has a locale of the provider {_PROVIDERS[properties.provider]}, which needs"
            f" PostgreSQL {needed // 10000} or later; this server is {version_num // 10000}",
            hint="Restore into a newer server, or create the database yourself and restore into it.",
        )
    if version_num < V15:
        return
    yield sql.SQL("LOCALE_PROVIDER ") + sql.Identifier(_PROVIDERS[properties.provider])
    if properties.provider == "i":
        yield sql.SQL("ICU_LOCALE ") + sql.Literal(properties.locale or properties.collate)
    if properties.provider == "b":
        yield sql.SQL("BUILTIN_LOCALE ") + sql.Literal(properties.locale or properties.collate)
    if properties.icu_rules:
        yield sql.SQL("ICU_RULES ") + sql.Literal(properties.icu_rules)


def property_statements(name: str, properties: Properties) -> list[sql.Composed]:
    """Write what gives a database that `create_database_sql` made the rest of its properties.

    Run them after the data is in, each on its own, outside a transaction: the connection limit, the settings and
    the grants then stand in nobody's way.
    """
    database = sql.Identifier(name)
    statements = setting_statements(name, properties)
    if properties.comment is not None:
        statements.append(
            sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, sql.Literal(properties.comment))
        )
    statements += [
        sql.SQL("SECURITY LABEL FOR {} ON DATABASE {} IS {}").format(
            sql.Identifier(label.provider), database, sql.Literal(label.label)
        )
        for label in properties.labels
    ]
    if properties.grants is not None:
        statements += _grants(database, properties.owner, properties.grants)
    if properties.connection_limit >= 0:
        statements.append(
            sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(
                database, sql.Literal(properties.connection_limit)
            )
        )
    if properties.is_template:
        statements.append(sql.SQL("ALTER DATABASE {} IS_TEMPLATE true").format(database))
    return statements


def setting_statements(name: str, properties: Properties) -> list[sql.Composed]:
    """Write the database's settings alone: what is restored may need them (a view that reads a setting of one's own)."""
    return [_setting(sql.Identifier(name), setting) for setting in properties.settings]


def _setting(database: sql.Identifier, setting: Setting) -> sql.Composed:
    whose = (
        sql.SQL("ALTER DATABASE {}").format(database)
        if setting.role is None
        else sql.SQL("ALTER ROLE {} IN DATABASE {}").format(sql.Identifier(setting.role), database)
    )
    values = split_names(setting.value) if setting.name.lower() in LISTS else [setting.value]
    return sql.SQL("{} SET {} TO {}").format(
        whose, sql.Identifier(setting.name), sql.SQL(", ").join(map(sql.Literal, values or [""]))
    )


def split_names(value: str) -> list[str]:
    """Split a stored list of names, `"a b", c`, into the names: the quotes go, and doubled ones become one."""
    names: list[str] = []
    rest = value.strip()
    while rest:
        if rest[0] == '"':
            end = 1
            while end < len(rest) and (rest[end] != '"' or rest[end + 1 : end + 2] == '"'):
                end += 2 if rest[end] == '"' else 1
            names.append(rest[1:end].replace('""', '"'))
            rest = rest[end + 1 :].lstrip().removeprefix(",").lstrip()
        else:
            name, _, rest = rest.partition(",")
            names.append(name.strip())
            rest = rest.lstrip()
    return names


def _grants(database: sql.Identifier, owner: str, grants: tuple[Grant, ...]) -> list[sql.Composed]:
    """Take the default privileges away, then give the listed ones, in their order, each as its own grantor."""
    statements = [
        sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database),
        sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(database, sql.Identifier(owner)),
    ]
    known = [item for item in grants if item.privilege in _PRIVILEGES]
    for (grantee, grantor, grantable), group in groupby(known, lambda g: (g.grantee, g.grantor, g.grantable)):
        grant = sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
            sql.SQL(", ").join(sql.SQL(_PRIVILEGES[item.privilege]) for item in group),
            database,
            sql.SQL("PUBLIC") if grantee is None else sql.Identifier(grantee),
            sql.SQL(" WITH GRANT OPTION" if grantable else ""),
        )
        if grantor != owner:
            # One string is one transaction: should the grant fail, the role is the session's own again.
            grant = sql.SQL("SET ROLE {}; {}; RESET ROLE").format(sql.Identifier(grantor), grant)
        statements.append(grant)
    return statements


_PRIVILEGES: dict[str, LiteralString] = {"CREATE": "CREATE", "CONNECT": "CONNECT", "TEMPORARY": "TEMPORARY"}


def _rows(conn: Connection, query: LiteralString, values: tuple[object, ...]) -> list[TupleRow]:
    try:
        return conn.execute(query, values).fetchall()
    except psycopg.Error as error:
        raise translate(error, "reading a database's properties") from error
