"""Real errors of real servers come with what to do about them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from holdfast.jobs.reading import Opened, plain_chunks
from holdfast.methods import pg_restore
from holdfast.methods.destination import destination
from holdfast.methods.pg_restore import Options
from holdfast.model.errors import Error, SourceError
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from support.postgres import execute, needs_extension, query, running_cluster
from support.restoring import create, databases, drop, put_back, take
from support.world import World, world

UNQUALIFIED = (
    "CREATE FUNCTION twice(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT i * 2'",
    "CREATE FUNCTION fourfold(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT i * 4'",
    "CREATE TABLE t AS SELECT 1 AS x",
    "CREATE INDEX ON t (fourfold(x))",
    # Only now, as PostgreSQL 17 makes indexes and materialised views with a search_path of its own.
    "CREATE OR REPLACE FUNCTION fourfold(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT twice(twice(i))'",
)
LOOKING = (
    "CREATE TABLE t AS SELECT 1 AS x",
    "CREATE FUNCTION total() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
    "CREATE MATERIALIZED VIEW v AS SELECT total() AS n",
    "CREATE OR REPLACE FUNCTION total() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT sum(x) FROM t); END'",
)
BROKEN = (
    'CREATE TABLE "line\nbreak" ()',
    "CREATE TABLE parent (id int PRIMARY KEY)",
    "CREATE TABLE child (id int REFERENCES parent)",
    "INSERT INTO parent VALUES (1)",
    "INSERT INTO child VALUES (1)",
    "SET session_replication_role = replica; DELETE FROM parent",
)
# Fails on a server that restores, and on no other.
ONLY_THERE = """CREATE FUNCTION there(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF current_setting('application_name') LIKE 'holdfast restore%' THEN {} END IF;
  RETURN i;
END$$"""


def indexed(action: str) -> tuple[str, ...]:
    return (ONLY_THERE.format(action), "CREATE TABLE t AS SELECT 1 AS x", "CREATE INDEX ON t (there(x))")


# What a row's check sets stays set in the session, whatever pg_restore had set before.
SLOW = (
    ONLY_THERE.format("PERFORM set_config('statement_timeout', '1', false);"),
    "CREATE FUNCTION asleep(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_sleep(0.1); RETURN 1; END'",
    "CREATE TABLE t (x int CHECK (there(x) > 0))",
    "INSERT INTO t VALUES (1)",
    "CREATE INDEX ON t (asleep(x))",
)
MADE = {
    "owned": ("CREATE TABLE t (x int)", "ALTER TABLE t OWNER TO other"),
    "unqualified": UNQUALIFIED,
    "looking": LOOKING,
    "broken": BROKEN,
    "cut": indexed("PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(9);"),
    "slow": SLOW,
    "text": ("CREATE TABLE t AS SELECT '€ 数'::text AS x",),
    "keyed": ("CREATE TABLE t (x int)", "CREATE INDEX ON t (x)"),
    "linked": (
        "CREATE FUNCTION linked() RETURNS trigger LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler'",
        "UPDATE pg_proc SET probin = '$libdir/nothing' WHERE proname = 'linked'",
    ),
    "locks": ("DO $$BEGIN FOR i IN 1..900 LOOP EXECUTE format('CREATE TABLE t%s ()', i); END LOOP; END$$",),
}


@pytest.fixture(scope="module")
def source() -> Iterator[Cluster]:
    """Run a server whose databases each bring a restore into trouble."""
    with running_cluster(tcp=False, settings={"max_locks_per_transaction": "512"}) as cluster:
        execute(cluster.conninfo, "CREATE ROLE other", "CREATE ROLE weak LOGIN CREATEDB")
        for name, statements in MADE.items():
            create(cluster, name, *statements)
        create(
            cluster,
            "bytes",
            "CREATE TABLE t ()",
            "DO $$BEGIN EXECUTE format('COMMENT ON TABLE t IS %L', convert_from('\\xe4', 'SQL_ASCII')); END$$",
            options="TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'",
        )
        create(cluster, "located", "CREATE TABLE t (x text COLLATE ucs_basic)")
        yield cluster


@pytest.fixture(scope="module")
def shop(source: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give a world whose target is the source."""
    with world(tmp_path_factory.mktemp("world"), source.conninfo.argv_dsn(), fingerprint="none") as made:
        yield made


@pytest.fixture(scope="module")
def opened(shop: World) -> Opened:
    """Give a backup of the source."""
    return take(shop)


@pytest.fixture(scope="module")
def small() -> Iterator[Cluster]:
    """Run a server with next to no locks, none of the roles, and few connections."""
    settings = {"max_locks_per_transaction": "10", "max_connections": "8", "max_prepared_transactions": "0"}
    with running_cluster(tcp=False, settings=settings) as cluster:
        yield cluster


def refused(
    shop: World,
    opened: Opened,
    into: Cluster,
    name: str,
    *,
    rename: str = "again",
    **options: Any,  # noqa: ANN401 - what Options take
) -> tuple[str, str]:
    """Restore what cannot be restored; give the error's message and its hint."""
    with pytest.raises(Error) as caught:
        put_back(shop, opened, into, database=name, rename=rename, options=Options(**options))
    return caught.value.message, caught.value.hint or ""


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        (
            "unqualified",
            "function twice(integer) does not exist",
            "The function fourfold names things without",
        ),
        ("looking", 'relation "t" does not exist', "The function public.total() names things without"),
        ("broken", "violates foreign key constraint", "did not in the original either"),
        ("cut", "terminating connection", "The server ended the connection"),
        ("slow", "statement timeout", "A time limit of the server"),
        ("linked", 'could not access file "$libdir/nothing"', "The server lacks the library $libdir/nothing"),
    ],
)
@pytest.mark.sampled(1)
def test_what_the_archive_itself_brings_along(
    source: Cluster, shop: World, opened: Opened, name: str, message: str, hint: str
) -> None:
    said, advice = refused(shop, opened, source, name)
    assert message in said
    assert "break" not in said  # what pg_restore says of its progress is no part of why it failed
    assert hint in advice
    assert "again" not in databases(source)


def test_a_missing_role_is_named(shop: World, opened: Opened, small: Cluster) -> None:
    said, advice = refused(shop, opened, small, "owned")
    assert 'role "other" does not exist' in said
    assert "--roles brings those of the backup" in advice
    assert "create the role other" in advice


@pytest.mark.extended
def test_too_few_locks(shop: World, opened: Opened, small: Cluster) -> None:
    put_back(shop, opened, small, database="locks", rename="locks", options=Options(sections=("pre-data",)))
    try:
        execute(small.conninfo, "ALTER DATABASE locks RENAME TO again")
        said, advice = refused(shop, opened, small, "locks", clean=True)
    finally:
        drop(small, "locks", "again")
    assert "out of shared memory" in said
    assert "Raise max_locks_per_transaction" in advice


@pytest.mark.extended
def test_too_few_connections(shop: World, opened: Opened, small: Cluster) -> None:
    said, advice = refused(shop, opened, small, "locks", jobs=12)
    assert "too many clients" in said or "remaining connection slots" in said
    assert "fewer --jobs" in advice


def test_rights_that_are_lacking(source: Cluster, shop: World, opened: Opened) -> None:
    weak = replace(
        source, conninfo=replace(source.conninfo, params={**source.conninfo.params, "user": "weak"})
    )
    create(source, "again", "ALTER SCHEMA public OWNER TO weak")
    try:
        said, advice = refused(shop, opened, weak, "owned")
    finally:
        drop(source, "again")
    assert "must be member of role" in said or "must be able to SET ROLE" in said
    assert "--no-owner" in advice


def test_text_that_the_encoding_there_lacks(source: Cluster, shop: World, opened: Opened) -> None:
    create(source, "again", options="TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    try:
        said, advice = refused(shop, opened, source, "text")
    finally:
        drop(source, "again")
    assert 'has no equivalent in encoding "LATIN1"' in said
    assert "The database here is LATIN1, and the text needs UTF8" in advice


def test_bytes_that_are_none_of_the_encoding_there(source: Cluster, shop: World, opened: Opened) -> None:
    create(source, "again", options="TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
    try:
        said, advice = refused(shop, opened, source, "bytes")
    finally:
        drop(source, "again")
    assert 'invalid byte sequence for encoding "UTF8"' in said
    assert "The database here is UTF8" in advice


def test_a_collation_that_is_missing(source: Cluster, shop: World, opened: Opened) -> None:
    create(source, "again", options="TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    try:
        said, advice = refused(shop, opened, source, "located")
    finally:
        drop(source, "again")
    assert 'collation "pg_catalog.ucs_basic" for encoding "LATIN1" does not exist' in said
    assert "that locale" in advice


def test_somebody_who_keeps_what_is_to_be_replaced(
    source: Cluster, shop: World, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pg_restore, "PATIENCE", 0.2)
    put_back(shop, opened, source, database="text", rename="again")
    try:
        with connect(source.conninfo.with_database("again"), application_name="test") as held:
            held.execute("BEGIN; LOCK TABLE public.t")
            said, advice = refused(shop, opened, source, "text", clean=True)
        assert query(source.conninfo.with_database("again"), "SELECT count(*) FROM t") == [(1,)]
    finally:
        drop(source, "again")
    assert "for a lock that others hold: postgres with test (pid " in said
    assert "End those sessions" in advice


def test_a_prepared_transaction_that_keeps_what_is_to_be_replaced(
    source: Cluster, shop: World, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pg_restore, "PATIENCE", 0.2)
    put_back(shop, opened, source, database="text", rename="again")
    there = source.conninfo.with_database("again")
    execute(there, "BEGIN; LOCK TABLE public.t; PREPARE TRANSACTION 'mine'")
    try:
        said, _ = refused(shop, opened, source, "text", clean=True)
    finally:
        execute(there, "ROLLBACK PREPARED 'mine'")
        drop(source, "again")
    assert "for a lock that others hold: a prepared transaction" in said


def test_an_event_trigger_that_refuses(source: Cluster, shop: World, opened: Opened) -> None:
    forbid = "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not here'; END$$"
    put_back(shop, opened, source, database="text", rename="again")
    execute(
        source.conninfo.with_database("again"),
        forbid,
        "CREATE EVENT TRIGGER no ON ddl_command_start EXECUTE FUNCTION no()",
    )
    try:
        if source.version_num >= 170000:  # there a session can do without them
            put_back(shop, opened, source, database="text", rename="again", options=Options(clean=True))
            return
        said, advice = refused(shop, opened, source, "text", clean=True)
    finally:
        drop(source, "again")
    assert "not here" in said
    assert "ALTER EVENT TRIGGER" in advice


@pytest.fixture(scope="module")
def extended(source: Cluster, shop: World) -> Opened:
    """Give a backup of a database with extensions that no server here has."""
    where = create(source, "extended")
    with connect(where, application_name="test") as connection:
        connection.execute("SET allow_system_table_mods = on")
        for name in ("vector", "nobodys_own"):
            connection.execute(
                "INSERT INTO pg_catalog.pg_extension SELECT max(oid::int8) + 40000, %s, 10, 2200, true, '1'"
                " FROM pg_catalog.pg_extension",
                (name,),
            )
    opened = take(shop, databases=("extended",))
    drop(source, "extended")
    return opened


def test_extensions_that_the_server_lacks_are_told_before_anything_is_made(
    source: Cluster, shop: World, extended: Opened
) -> None:
    before = databases(source)
    said, advice = refused(shop, extended, source, "extended")

    assert "extension nobodys_own, vector" in said
    major = source.version_num // 10000
    for package in (f"postgresql-{major}-pgvector", f"pgvector_{major}", "a guess"):
        assert package in advice
    assert databases(source) == before


def fed(source: Cluster, shop: World, opened: Opened, name: str, old: bytes, new: bytes) -> tuple[str, str]:
    """Feed pg_restore an archive in which some bytes are others; give the error's message and its hint."""
    part = opened.backup.part("database", name)
    assert part is not None
    archive = b"".join(plain_chunks(opened.place, part, shop.keys))
    assert old in archive
    create(source, "again")
    try:
        with destination(source.conninfo, dump_version=None) as into:
            work = pg_restore.Restoring(
                into=into, database="again", tablespaces=True, stop=shop.stop, warn=lambda _: None
            )
            with pytest.raises(SourceError) as caught:
                pg_restore.run(work, iter([archive.replace(old, new, 1)]), single_transaction=True)
    finally:
        drop(source, "again")
    return caught.value.message, caught.value.hint or ""


def test_an_extension_that_pg_restore_stumbles_over_is_told_with_its_package(
    source: Cluster, shop: World, extended: Opened
) -> None:
    said, advice = fed(source, shop, extended, "extended", b"", b"")
    assert re.search('extension "[a-z_]+" is not available', said)
    assert f"postgresql-{source.version_num // 10000}-" in advice


def test_an_archive_of_a_later_version(source: Cluster, shop: World, opened: Opened) -> None:
    said, advice = fed(source, shop, opened, "text", b"PGDMP\x01", b"PGDMP\x02")
    assert re.search(r"unsupported version \(2\.\d+\) in file header", said)
    assert "Install newer PostgreSQL clients" in advice


def test_a_statement_that_an_older_server_does_not_know(source: Cluster, shop: World, opened: Opened) -> None:
    said, advice = fed(source, shop, opened, "text", b"CREATE TABLE public.t", b"CREATE LATER public.t")
    assert "syntax error at or near" in said
    assert "older than what the archive was made for" in advice


def test_what_is_there_already(source: Cluster, shop: World, opened: Opened) -> None:
    put_back(shop, opened, source, database="keyed", rename="again")
    try:
        said, advice = refused(shop, opened, source, "keyed", sections=("post-data",))
    finally:
        drop(source, "again")
    assert 'relation "t_x_idx" already exists' in said
    assert "--clean" in advice


def test_a_library_that_has_to_be_loaded_first(source: Cluster, shop: World) -> None:
    needs_extension(source, "pg_stat_statements")
    asks = "PERFORM count(*) FROM public.pg_stat_statements;"
    create(source, "watched", "CREATE EXTENSION pg_stat_statements", *indexed(asks))
    opened = take(shop, databases=("watched",))
    said, advice = refused(shop, opened, source, "watched")
    drop(source, "watched")
    assert "must be loaded via" in said
    assert "Add pg_stat_statements to shared_preload_libraries" in advice


@pytest.mark.extended
def test_a_server_that_is_set_to_be_read_only(shop: World, opened: Opened, small: Cluster) -> None:
    execute(small.conninfo, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    try:
        said, advice = refused(shop, opened, small, "text")
    finally:
        off = dict(small.conninfo.params) | {"options": "-c default_transaction_read_only=off"}
        execute(
            replace(small.conninfo, params=off),
            "ALTER SYSTEM RESET default_transaction_read_only",
            "SELECT pg_reload_conf()",
        )
    assert "read-only transaction" in said
    assert "restore into the primary" in advice


def test_collations_of_another_version(shop: World, opened: Opened, small: Cluster) -> None:
    if small.version_num < 150000:
        pytest.skip("this server knows no versions of a database's collation")
    change = "UPDATE pg_database SET datcollversion = {} WHERE datname = 'template0'"
    execute(small.conninfo, change.format("'0.1'"))
    try:
        said, advice = refused(shop, opened, small, "text")
    finally:
        execute(small.conninfo, change.format("NULL"))
    assert "collation version" in said
    assert "REFRESH COLLATION VERSION" in advice
