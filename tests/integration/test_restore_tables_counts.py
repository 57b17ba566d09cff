"""Rows of restored tables are counted against the backup, in a database where others are at work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.jobs.reading import Opened
from holdfast.model.errors import IntegrityError
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support.postgres import execute, new_database, query
from support.restoring import take
from support.tables import bring_back
from support.world import World, world

# What another session or an extension might do as soon as the table is there.
MEDDLE = (
    """CREATE FUNCTION meddle() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN
    IF to_regclass('public.t') IS NOT NULL AND (SELECT count(*) FROM public.t) = 3 THEN {} END IF; END$$""",
    "CREATE EVENT TRIGGER meddle ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION meddle()",
)


@pytest.fixture
def shop(cluster: Cluster) -> Iterator[Conninfo]:
    with new_database(cluster) as database:
        execute(database, "CREATE TABLE t (id int PRIMARY KEY, lo oid)", "INSERT INTO t VALUES (1), (2), (3)")
        execute(database, "SELECT lo_create(77)")
        yield database


@pytest.fixture
def made(cluster: Cluster, shop: Conninfo, tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, cluster.conninfo.argv_dsn(), databases=(shop.database,)) as it:
        yield it


def meddled(made: World, shop: Conninfo, statement: str) -> Opened:
    taken = take(made)
    execute(shop, "DROP TABLE t", *(text.format(statement) for text in MEDDLE))
    return taken


def test_missing_rows_are_an_error_that_names_the_table(
    cluster: Cluster, made: World, shop: Conninfo
) -> None:
    taken = meddled(made, shop, "DELETE FROM public.t WHERE id = 2;")
    with pytest.raises(IntegrityError, match=r"differ: public\.t: 3 rows in the backup, 2 restored"):
        bring_back(made, taken, cluster, shop.database or "", tables=("t",))
    assert made.services.ledger.runs()[0].status == "failed"


def test_more_rows_are_a_warning_since_others_may_write(
    cluster: Cluster, made: World, shop: Conninfo
) -> None:
    taken = meddled(made, shop, "INSERT INTO public.t VALUES (4);")
    report = bring_back(made, taken, cluster, shop.database or "", tables=("t",))
    assert report.warnings == ("public.t: 3 rows in the backup, 4 restored; somebody may have written since",)
    assert [table.rows for table in report.tables] == [4]


def test_columns_that_may_name_large_objects_are_told_and_statistics_gathered(
    cluster: Cluster, made: World, shop: Conninfo
) -> None:
    taken = take(made)
    execute(shop, "DROP TABLE t")
    report = bring_back(made, taken, cluster, shop.database or "", tables=("t",))
    assert report.notes == ("public.t: lo may name large objects; those of the backup are not restored",)
    assert query(shop, "SELECT reltuples FROM pg_class WHERE oid = 't'::regclass") == [(3,)]
    assert made.services.ledger.runs()[0].status == "succeeded"
