"""A survey goes on past what cannot be read, and ends when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager

import psycopg
import pytest

from holdfast.model.errors import CancelledError
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.definitions import read_definitions
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from holdfast.postgres.survey import Survey, survey
from holdfast.system.stop import Stop
from support.postgres import execute, new_database, query
from support.swapping import wait_for

NAME = "holdfast survey test"
WAITING = f"application_name = '{NAME}' AND wait_event_type = 'Lock'"


@contextmanager
def waiting_at_b(cluster: Cluster, database: Conninfo, stop: Stop) -> Iterator[Future[Survey]]:
    """Survey the tables a, b and c in a thread, and let it wait at b for a lock."""
    execute(database, *(f"CREATE TABLE {name} AS SELECT 1 AS n" for name in "abc"), "CREATE SEQUENCE s")
    with (
        closing(connect(database, application_name=NAME)) as connection,
        closing(psycopg.connect(database.dsn())) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        other.execute("LOCK TABLE b IN ACCESS EXCLUSIVE MODE")
        shown: list[int] = []
        found = pool.submit(survey, [connection], stop, foreign_code=True, show=shown.append)
        wait_for(cluster, WAITING)
        assert len(shown) == 1
        yield found


def test_a_session_that_is_lost_ends_the_reading_and_names_the_table(
    cluster: Cluster, database: Conninfo
) -> None:
    with waiting_at_b(cluster, database, Stop()) as found:
        query(cluster.conninfo, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {WAITING}")
        result = found.result(timeout=20)
    assert set(result.digest.tables) == {"public.a"}
    assert "terminating connection" in result.unread["public.b"]
    after = "not read: the server ended the session at public.b"
    assert {name: result.unread[name] for name in ("public.c", "public.s")} == {
        "public.c": after,
        "public.s": after,
    }


def test_over_several_sessions_it_finds_the_same(database: Conninfo) -> None:
    execute(database, *(f"CREATE TABLE t{n} AS SELECT {n} AS n" for n in range(20)), "CREATE SEQUENCE s")
    with ExitStack() as stack:
        conns = [stack.enter_context(closing(connect(database, application_name=NAME))) for _ in range(3)]
        shown: list[int] = []
        several = survey(conns, Stop(), foreign_code=True, show=shown.append)
        assert several == survey(conns[:1], Stop(), foreign_code=True)
    assert len(shown) == 20
    assert several.digest.tables.keys() == {f"public.t{n}" for n in range(20)}


def test_a_table_whose_rows_the_hash_of_an_enum_distributes_is_read_as_one(
    cluster: Cluster, database: Conninfo
) -> None:
    """The hash is of the value's oid: in two databases the same rows lie in other partitions."""
    made = (
        "CREATE TYPE mood AS ENUM ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p')",
        "CREATE TABLE moods (m mood, n int) PARTITION BY HASH (m)",
        "CREATE TABLE moods_0 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        "CREATE TABLE moods_1 (n int, m mood)",
        "ALTER TABLE moods ATTACH PARTITION moods_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        "INSERT INTO moods SELECT m, i FROM unnest(enum_range(NULL::mood)) WITH ORDINALITY x(m, i)",
        "CREATE TABLE years (y int) PARTITION BY HASH (y)",
        "CREATE TABLE years_0 PARTITION OF years FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    )
    execute(database, *made)
    with new_database(cluster) as other, ExitStack() as stack:
        execute(other, *made)
        found = [
            survey(
                [stack.enter_context(closing(connect(each, application_name=NAME)))],
                Stop(),
                foreign_code=False,
            )
            for each in (database, other)
        ]
    assert found[0].digest.tables == found[1].digest.tables
    assert found[0].digest.tables.keys() == {"public.moods", "public.years_0"}


def test_a_stop_ends_the_reading_of_a_table(cluster: Cluster, database: Conninfo) -> None:
    stop = Stop()
    with waiting_at_b(cluster, database, stop) as found:
        stop.request(CancelledError(exit_code=143))
        with pytest.raises(CancelledError):
            found.result(timeout=20)
    assert threading.active_count() < 10


@pytest.fixture(scope="module")
def defined(cluster: Cluster) -> Iterator[Conninfo]:
    with new_database(cluster) as database:
        execute(
            database,
            "CREATE TABLE t (n int)",
            "CREATE VIEW v AS SELECT n FROM t",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE TRIGGER g BEFORE UPDATE ON t EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "CREATE POLICY p ON t USING (n = 1)",
            "CREATE TYPE mood AS ENUM ('glad')",
            "CREATE DOMAIN few AS int DEFAULT 2",
            "CREATE SCHEMA s",
        )
        yield database


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ("ALTER TABLE t ADD x int", "table public.t"),
        ("ALTER TABLE t ALTER n SET DEFAULT 4", "table public.t"),
        ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", "table public.t"),
        ("GRANT SELECT ON t TO PUBLIC", "table public.t"),
        ("ALTER TABLE t SET (fillfactor = 50)", "table public.t"),
        ("CREATE INDEX i ON t (n) WHERE n > 3", "index public.i"),
        ("ALTER TABLE t ADD CONSTRAINT c CHECK (n > 0)", "table constraint c on public.t"),
        ("CREATE OR REPLACE VIEW v AS SELECT n + 1 AS n FROM t", "view public.v"),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'", "function public.f()"),
        ("ALTER TABLE t DISABLE TRIGGER g", "trigger g on public.t"),
        ("CREATE RULE r AS ON INSERT TO t DO NOTHING", "rule r on public.t"),
        ("ALTER POLICY p ON t USING (n = 2)", "policy p on public.t"),
        ("ALTER TYPE mood ADD VALUE 'sad'", "type public.mood"),
        ("ALTER DOMAIN few SET DEFAULT 3", "type public.few"),
        ("ALTER SCHEMA s RENAME TO u", "schema s"),
        ("CREATE SEQUENCE q", "sequence public.q"),
    ],
)
def test_every_change_of_a_definition_is_seen(defined: Conninfo, change: str, differs: str) -> None:
    with connect(defined, application_name="test") as connection, connection.transaction(force_rollback=True):
        before = read_definitions(connection)
        connection.execute("SET LOCAL search_path TO public")
        connection.execute(change.encode())
        connection.execute("SET LOCAL search_path TO pg_catalog")
        after = read_definitions(connection)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert differs in changed
    assert changed <= {differs, "schema u"}
