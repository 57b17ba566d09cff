"""What a server says of a row that it refuses tells the column, and not what is in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast.methods import pg_restore
from holdfast.methods.destination import destination
from holdfast.model.errors import SourceError
from holdfast.postgres.scratch import Cluster
from holdfast.system.stop import Stop
from support.postgres import execute, run_tool, toolset
from support.restoring import create, drop

ROW = "INSERT INTO t VALUES (E'topsecret\\nand \"more\" of it\\nERROR-free: ''yes''\\ttab')"


@pytest.fixture(scope="module")
def rows(cluster: Cluster) -> Iterator[dict[str, bytes]]:
    """Archives of the rows of a table, as COPY and as INSERT."""
    source = create(cluster, "kept", "CREATE TABLE t (x text)", ROW)
    dump = ("--format=custom", "--data-only")
    create(cluster, "there")
    clients = toolset(cluster)
    yield {
        "copy": run_tool(clients, "pg_dump", source, *dump),
        "insert": run_tool(clients, "pg_dump", source, "--inserts", *dump),
    }
    drop(cluster, "kept", "there")


@pytest.mark.parametrize("kind", ["copy", "insert"])
@pytest.mark.parametrize(
    ("definition", "told"),
    [
        ("x int", "invalid input syntax for type integer"),
        ("x varchar(3)", "value too long for type character varying(3)"),
        ("x json", "invalid input syntax for type json"),
        ("x int[]", "malformed array literal"),
        ("x timestamptz", "invalid input syntax for type timestamp with time zone"),
        ("x text CHECK (length(x) < 3)", 'violates check constraint "t_x_check"'),
        ("x text, y int NOT NULL", 'null value in column "y"'),
        ("x text UNIQUE", 'duplicate key value violates unique constraint "t_x_key"'),
        ("x text REFERENCES u", 'violates foreign key constraint "t_x_fkey"'),
        ("x text) PARTITION BY LIST (x", 'no partition of relation "t" found for row'),
    ],
)
@pytest.mark.sampled(7)
def test_no_value_of_a_row_is_repeated(
    cluster: Cluster, rows: dict[str, bytes], definition: str, told: str, kind: str
) -> None:
    tables = ("CREATE TABLE u (x text PRIMARY KEY)", f"CREATE TABLE t ({definition})")
    there = cluster.conninfo.with_database("there")
    execute(there, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public", *tables)
    if "UNIQUE" in definition:
        execute(there, ROW)
    with destination(cluster.conninfo, dump_version=None) as into:
        work = pg_restore.Restoring(into=into, database="there", stop=Stop(), warn=lambda _: None)
        with pytest.raises(SourceError) as caught:
            pg_restore.run(work, iter([rows[kind]]), single_transaction=True)
    said = str(caught.value)
    assert told in said
    assert not [piece for piece in ("topsecret", "more", "yes", "\t") if piece in said]
