"""What is easily mistaken for another's, or cannot be dropped or made where it stands, comes back all the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdfast.jobs.reading import Opened
from holdfast.jobs.restore_tables import TablesReport
from holdfast.methods import pg_restore
from holdfast.methods.pg_restore import Options
from holdfast.model.errors import SourceError, UsageError
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from support.postgres import execute, needs_extension, query
from support.restoring import create, drop, put_back, take
from support.tables import Content, bring_back, content, unlike
from support.world import World, world

pytestmark = pytest.mark.extended

FUNCTION = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$"
# `b c` on the table `a` has the tag that `c` on the table `a b` would have.
ALIKE = (
    "CREATE TABLE a (id int PRIMARY KEY, k int)",
    'CREATE TABLE "a b" (id int PRIMARY KEY)',
    FUNCTION,
    'ALTER TABLE a ADD CONSTRAINT "b c" FOREIGN KEY (k) REFERENCES "a b"',
    'CREATE RULE "b c" AS ON DELETE TO a DO ALSO DELETE FROM "a b" WHERE id = old.k',
    'CREATE POLICY "b c" ON a USING (EXISTS (SELECT FROM "a b" WHERE "a b".id = k))',
    'CREATE CONSTRAINT TRIGGER "b d" AFTER INSERT ON a FROM "a b" FOR EACH ROW EXECUTE FUNCTION f()',
)
COMPOSITE = (
    "CREATE TABLE other (x int, y int)",
    "CREATE TABLE t (o other, z int)",
    "CREATE INDEX i ON t (((o).x), ((o).y))",
)
PARTITIONED = (
    "CREATE TABLE sales (id int PRIMARY KEY, what text) PARTITION BY RANGE (id)",
    "CREATE TABLE sales_low PARTITION OF sales FOR VALUES FROM (1) TO (100) PARTITION BY RANGE (id)",
    "CREATE TABLE sales_lowest PARTITION OF sales_low FOR VALUES FROM (1) TO (10)",
    "CREATE TABLE sales_rest PARTITION OF sales DEFAULT",
    "CREATE INDEX ON sales (what)",
    FUNCTION,
    "CREATE TRIGGER counted AFTER INSERT ON sales FOR EACH ROW EXECUTE FUNCTION f()",
    "ALTER TABLE sales_lowest DISABLE TRIGGER counted",
    "INSERT INTO sales VALUES (1, 'a'), (2, 'b'), (500, 'c')",
)
CLASS = (
    "CREATE SCHEMA made",
    """CREATE OPERATOR CLASS made.int_ops FOR TYPE int USING btree AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int)""",
    "CREATE TABLE excluding (k int, EXCLUDE USING btree (k made.int_ops WITH =))",
)
GIST = ("CREATE EXTENSION btree_gist", "CREATE TABLE ranges (k int, EXCLUDE USING gist (k WITH =))")
GROWN = (
    "CREATE SCHEMA s",
    "CREATE TABLE s.t (id serial PRIMARY KEY, a int DEFAULT 5, name text)",
    "INSERT INTO s.t (name) VALUES ('x')",
    "CREATE FUNCTION s.named(s.t) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1.name'",
    "CREATE INDEX ON s.t (s.named(t))",
    "CREATE VIEW s.grouped AS SELECT id, name, count(*) FROM s.t GROUP BY id",  # is made twice: it needs the key
    "CREATE TABLE s.numbered (id int GENERATED ALWAYS AS IDENTITY)",
)
SINCE = {
    "a column got another name": ("ALTER TABLE s.t RENAME a TO b",),
    "a serial column became an identity": (
        "ALTER TABLE s.t ALTER id DROP DEFAULT",
        "DROP SEQUENCE s.t_id_seq",
        "ALTER TABLE s.t ALTER id ADD GENERATED ALWAYS AS IDENTITY",
    ),
    "an identity became a serial column": (
        "ALTER TABLE s.numbered ALTER id DROP IDENTITY",
        "CREATE SEQUENCE s.numbered_id_seq OWNED BY s.numbered.id",
        "ALTER TABLE s.numbered ALTER id SET DEFAULT nextval('s.numbered_id_seq')",
    ),
    "a view is gone": ("DROP VIEW s.grouped",),
    "everything is gone": ("DROP SCHEMA s CASCADE",),
}
REPLACE = Options(clean=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A backup of the database `odd`, and what that held."""

    cluster: Cluster
    where: Conninfo
    world: World
    opened: Opened
    before: Content

    def bring_back(self, **wish: Any) -> TablesReport:  # noqa: ANN401 - what a TablesWish takes
        return bring_back(self.world, self.opened, self.cluster, "odd", **wish)

    def changes(self) -> list[str]:
        return unlike(self.before, content(self.cluster, self.where))


@contextmanager
def backed_up(
    cluster: Cluster,
    tmp_path: Path,
    *statements: str,
    options: tuple[str, ...] = (),
    made: str = "TEMPLATE template0",
) -> Iterator[Loss]:
    try:
        where = create(cluster, "odd", *statements, options=made)
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=("odd",), options=options) as made_world:
            opened, before = take(made_world), content(cluster, where)
            yield Loss(cluster=cluster, where=where, world=made_world, opened=opened, before=before)
    finally:
        drop(cluster, "odd")


def test_what_is_on_a_table_is_not_taken_for_that_of_one_whose_name_goes_on(
    cluster: Cluster, tmp_path: Path
) -> None:
    with backed_up(cluster, tmp_path, *ALIKE) as loss:
        execute(loss.where, "DROP TABLE a")
        loss.bring_back(tables=("a",))
        assert loss.changes() == []

        report = loss.bring_back(rename={'"a b"': "alone"})
        assert set(report.kinds) == {"TABLE", "TABLE DATA", "CONSTRAINT"}


def test_an_index_on_fields_of_another_tables_rows_goes_with_its_own_table(
    cluster: Cluster, tmp_path: Path
) -> None:
    with backed_up(cluster, tmp_path, *COMPOSITE) as loss:
        if cluster.version_num >= 140000:
            execute(loss.where, "CREATE STATISTICS s ON ((o).x), ((o).y) FROM t")
            opened = take(loss.world)
        else:
            opened = loss.opened
        before = content(cluster, loss.where)
        execute(loss.where, "DROP TABLE t")
        bring_back(loss.world, opened, cluster, "odd", tables=("t",))
        assert unlike(before, content(cluster, loss.where)) == []


def test_an_exclusion_constraint_brings_the_operator_classes_that_it_needs(
    cluster: Cluster, tmp_path: Path
) -> None:
    gist = ("btree_gist",) in query(cluster.conninfo, "SELECT name FROM pg_available_extensions")
    with backed_up(cluster, tmp_path, *CLASS, *(GIST if gist else ())) as loss:
        assert loss.bring_back(rename={"excluding": "e"}).skipped == ()
        execute(loss.where, "DROP TABLE e")
        assert loss.changes() == []

        execute(loss.where, "DROP SCHEMA made CASCADE", "DROP TABLE excluding")
        if gist:
            execute(loss.where, "DROP EXTENSION btree_gist CASCADE", "DROP TABLE ranges")
            loss.bring_back(tables=("ranges", "excluding"))
        else:
            loss.bring_back(tables=("excluding",))
        assert loss.changes() == []


def test_rows_that_the_hash_of_an_enum_moves_are_not_missed(cluster: Cluster, tmp_path: Path) -> None:
    made = (
        "CREATE TYPE mood AS ENUM ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p')",
        "CREATE TABLE moods (m mood) PARTITION BY HASH (m)",
        *(
            f"CREATE TABLE moods_{n} PARTITION OF moods FOR VALUES WITH (MODULUS 4, REMAINDER {n})"
            for n in range(4)
        ),
        "INSERT INTO moods SELECT m FROM unnest(enum_range(NULL::mood)) WITH ORDINALITY x(m, i), generate_series(1, i)",
    )
    with backed_up(cluster, tmp_path, *made) as loss:
        execute(loss.where, "DROP TABLE moods", "DROP TYPE mood")
        loss.bring_back(tables=("moods",))
        counts = query(loss.where, "SELECT m::text, count(*) FROM moods GROUP BY 1 ORDER BY 1")
    assert counts == [(letter, number) for number, letter in enumerate("abcdefghijklmnop", 1)]


def test_a_key_without_overlaps_brings_the_operator_classes_that_it_needs(
    cluster: Cluster, tmp_path: Path
) -> None:
    if cluster.version_num < 180000:
        pytest.skip("this PostgreSQL knows no such key")
    needs_extension(cluster, "btree_gist")
    made = (
        "CREATE EXTENSION btree_gist",
        "CREATE TABLE stays (room int, during daterange, PRIMARY KEY (room, during WITHOUT OVERLAPS))",
        "INSERT INTO stays VALUES (1, '[2026-01-01,2026-01-05)'), (1, '[2026-01-05,2026-01-06)')",
    )
    with backed_up(cluster, tmp_path, *made) as loss:
        assert loss.bring_back(rename={"stays": "s"}).skipped == ()
        execute(loss.where, "DROP TABLE s")
        assert loss.changes() == []


def test_a_not_null_that_a_partition_calls_by_another_name_keeps_its_own(
    cluster: Cluster, tmp_path: Path
) -> None:
    made = (
        "CREATE TABLE days (d int CONSTRAINT days_d_not_null NOT NULL, e int NOT NULL) PARTITION BY RANGE (d)",
        "CREATE TABLE first (e int NOT NULL, d int CONSTRAINT own NOT NULL)",
        "ALTER TABLE days ATTACH PARTITION first FOR VALUES FROM (0) TO (10)",
        "INSERT INTO days VALUES (1, 2)",
    )
    with backed_up(cluster, tmp_path, *made) as loss:
        loss.bring_back(rename={"days": "old_days", "first": "old_first"})
        assert query(loss.where, "SELECT d, e FROM old_days") == [(1, 2)]
        execute(loss.where, "DROP TABLE old_days")
        assert loss.changes() == []


@pytest.mark.parametrize("table", ["sales_lowest", "sales_low", "sales"])
def test_a_trigger_that_is_disabled_on_a_partition_alone_comes_back_so(
    cluster: Cluster, tmp_path: Path, table: str
) -> None:
    with backed_up(cluster, tmp_path, *PARTITIONED) as loss:
        execute(loss.where, f"DROP TABLE {table}")
        loss.bring_back(tables=(table,))
        assert loss.changes() == []


def test_clean_replaces_partitions_with_the_keys_of_their_parent(cluster: Cluster, tmp_path: Path) -> None:
    with backed_up(cluster, tmp_path, *PARTITIONED) as loss:
        for table in ("sales", "sales_lowest"):
            execute(loss.where, "TRUNCATE sales_lowest")
            loss.bring_back(tables=(table,), options=REPLACE)
            assert loss.changes() == []
        execute(loss.where, "TRUNCATE sales")
        put_back(loss.world, loss.opened, cluster, database="odd", options=REPLACE)
        assert loss.changes() == []


def test_clean_replaces_what_has_another_shape_by_now(cluster: Cluster, tmp_path: Path) -> None:
    with backed_up(cluster, tmp_path, *GROWN) as loss:
        put_back(loss.world, loss.opened, cluster, database="odd", options=REPLACE)
        assert loss.changes() == []
        for what, statements in SINCE.items():
            execute(loss.where, *statements)
            assert loss.changes() != [], what
            loss.bring_back(schemas=("s",), options=REPLACE)
            assert loss.changes() == [], what
        execute(loss.where, *SINCE["everything is gone"])
        put_back(loss.world, loss.opened, cluster, database="odd", options=REPLACE)
        assert loss.changes() == []

        execute(loss.where, "DROP TABLE s.numbered", "CREATE VIEW s.numbered AS SELECT 1")
        with pytest.raises(SourceError) as caught:
            loss.bring_back(tables=("s.numbered",), options=REPLACE)
        assert "of another kind" in (caught.value.hint or "")


def test_clean_drops_no_partition_that_was_made_since(cluster: Cluster, tmp_path: Path) -> None:
    with backed_up(cluster, tmp_path, *PARTITIONED) as loss:
        execute(loss.where, "CREATE TABLE new PARTITION OF sales_low FOR VALUES FROM (20) TO (30)")
        now = content(cluster, loss.where)
        with pytest.raises(UsageError, match=r"partitions that the backup does not hold: public\.new$"):
            loss.bring_back(tables=("sales",), options=REPLACE)
        assert unlike(now, content(cluster, loss.where)) == []


def test_rows_that_were_dumped_for_a_parent_further_up_are_not_put_into_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    with backed_up(cluster, tmp_path, *PARTITIONED, options=("--load-via-partition-root",)) as loss:
        execute(loss.where, "DROP TABLE sales_low")
        now = content(cluster, loss.where)
        with pytest.raises(UsageError, match="by way of its parent"):
            loss.bring_back(tables=("sales_low",))
        assert unlike(now, content(cluster, loss.where)) == []


def test_a_key_whose_index_has_a_name_that_is_taken_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    with backed_up(cluster, tmp_path, "CREATE TABLE t (id int PRIMARY KEY)") as loss:
        execute(loss.where, "ALTER TABLE t RENAME TO broken")
        for options in (Options(), REPLACE):
            with pytest.raises(UsageError, match=r"already has constraint public\.t\.t_pkey"):
                loss.bring_back(tables=("t",), options=options, dry_run=True)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "UTF8"])
@pytest.mark.extended
def test_new_names_may_have_letters_of_any_encoding(cluster: Cluster, tmp_path: Path, encoding: str) -> None:
    table = ("CREATE TABLE café (id serial PRIMARY KEY)", "INSERT INTO café DEFAULT VALUES")
    made = f"TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"
    with backed_up(cluster, tmp_path, *table, made=made) as loss:
        report = loss.bring_back(rename={"café": "thé"})
        assert [(each.name, each.rows) for each in report.tables] == [('public."thé"', 1)]
        loss.bring_back(tables=("café",), into_schema="été")
        assert query(loss.where, 'SELECT count(*) FROM "été"."café"') == [(1,)]


def test_a_key_that_waits_for_a_table_in_use_is_given_up_and_leaves_nobody_waiting(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pg_restore, "PATIENCE", 0.2)
    tables = ("CREATE TABLE p (id int PRIMARY KEY)", "CREATE TABLE t (p int CONSTRAINT to_p REFERENCES p)")
    with backed_up(cluster, tmp_path, *tables) as loss:
        execute(loss.where, "DROP TABLE t")
        with psycopg.connect(loss.where.dsn()) as somebody:
            somebody.execute("INSERT INTO p VALUES (1)")
            report = loss.bring_back(tables=("t",))
            execute(loss.where, "SET lock_timeout = '5s'", "INSERT INTO p VALUES (2)")
        assert [each.what for each in report.skipped] == ["foreign key public.t.to_p"]
        assert "waited 0 s for a lock that others hold" in report.skipped[0].reason


def test_a_limit_for_idle_sessions_does_not_end_a_restore_beside(cluster: Cluster, tmp_path: Path) -> None:
    with backed_up(cluster, tmp_path, "CREATE TABLE t (id int)") as loss:
        if cluster.version_num < 140000:
            pytest.skip("this PostgreSQL knows no such limit")
        execute(loss.where, "ALTER ROLE CURRENT_USER SET idle_session_timeout = '200ms'")
        loss.world.services = loss.world.staged(
            lambda stage: time.sleep(0.5) if stage == "scratch_filled" else None
        )
        try:
            loss.bring_back(rename={"t": "was"})
        finally:
            execute(loss.where, "ALTER ROLE CURRENT_USER RESET idle_session_timeout")


def test_a_schema_may_be_called_like_a_large_object_and_keep_its_name(
    cluster: Cluster, tmp_path: Path
) -> None:
    schema = '"LARGE OBJECT 5"'
    with backed_up(cluster, tmp_path, f"CREATE SCHEMA {schema}", f"CREATE TABLE {schema}.t (x int)") as loss:
        for wish in ({"tables": (f"{schema}.t",)}, {"schemas": (schema,), "into_schema": schema}):
            execute(loss.where, f"DROP SCHEMA {schema} CASCADE")
            loss.bring_back(**wish)
            assert loss.changes() == []


def test_the_schema_public_that_somebody_dropped_comes_back(cluster: Cluster, tmp_path: Path) -> None:
    """No dump makes it, as every new database has it."""
    made = (
        "CREATE TYPE mood AS ENUM ('good')",
        "CREATE TABLE t AS SELECT 1 AS x, 'good'::mood AS m",
        "CREATE VIEW v AS SELECT * FROM t",
    )
    with backed_up(cluster, tmp_path, *made) as loss:
        execute(loss.where, "DROP SCHEMA public CASCADE")
        loss.bring_back(schemas=("public",))
        assert loss.changes() == []
        owned = "SELECT nspowner::regrole, nspacl, obj_description(oid) FROM pg_namespace WHERE nspname = 'public'"
        with connect(cluster.conninfo.with_database("template1"), application_name="test") as conn:
            assert query(loss.where, owned) == conn.execute(owned).fetchall()

        execute(loss.where, "DROP SCHEMA public CASCADE")
        loss.bring_back(rename={"public.t": "u"})
        assert query(loss.where, "SELECT * FROM public.u") == [(1, "good")]

        for clean in (False, True):
            execute(loss.where, "DROP SCHEMA public CASCADE")
            put_back(loss.world, loss.opened, cluster, database="odd", options=Options(clean=clean))
            assert loss.changes() == []
