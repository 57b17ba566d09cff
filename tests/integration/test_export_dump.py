"""Some tables or a schema of a backup become an archive, or SQL, of their own: what they need is in it, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.jobs.export import Exported, Form, Wish, export
from holdfast.jobs.reading import Opened
from holdfast.model.errors import NotFoundError
from holdfast.postgres.compare import digest
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from support.postgres import execute, new_database, query, run_tool, toolset
from support.restoring import take
from support.world import World, world

FILL = (
    "CREATE SCHEMA billing",
    "CREATE TYPE mood AS ENUM ('good', 'bad')",
    "CREATE TABLE customers (id int PRIMARY KEY)",
    "CREATE TABLE billing.invoices (id serial PRIMARY KEY, mood mood, customer int REFERENCES customers)",
    "CREATE TABLE billing.lines (invoice int REFERENCES billing.invoices, what text UNIQUE)",
    "CREATE INDEX by_customer ON billing.invoices (customer)",
    "COMMENT ON COLUMN billing.lines.what IS 'what it is'",
    "INSERT INTO customers VALUES (1)",
    "INSERT INTO billing.invoices (mood, customer) VALUES ('good', 1), (NULL, NULL)",
    "INSERT INTO billing.lines VALUES (1, 'a;b'), (2, NULL)",
)


@pytest.fixture(scope="module")
def filled(cluster: Cluster) -> Iterator[Conninfo]:
    with new_database(cluster) as database:
        execute(database, *FILL)
        yield database


@pytest.fixture(scope="module")
def home(cluster: Cluster, filled: Conninfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with world(folder, cluster.conninfo.argv_dsn(), databases=(str(filled.database),)) as made:
        yield made


@pytest.fixture(scope="module")
def backup(home: World) -> Opened:
    return take(home)


def exported(
    home: World, opened: Opened, output: Path, form: Form, *tables: str, schema: str = ""
) -> Exported:
    schemas = (schema,) if schema else ()
    wish = Wish(database=None, form=form, output=output, tables=tables, schemas=schemas)
    return export(home.services, opened, wish, home.stop)


@pytest.mark.parametrize("form", ["archive", "sql"])
def test_a_schema_restores_with_all_that_is_its_own(
    cluster: Cluster,
    home: World,
    backup: Opened,
    filled: Conninfo,
    database: Conninfo,
    tmp_path: Path,
    form: Form,
) -> None:
    done = exported(home, backup, tmp_path / "out", form, schema="billing")
    assert [text.partition(":")[0] for text in done.skipped] == [
        "foreign key billing.invoices.invoices_customer_fkey"
    ]
    data = (tmp_path / "out").read_bytes()
    if form == "archive":
        assert done.size == len(data)
        run_tool(toolset(cluster), "pg_restore", database, "--exit-on-error", stdin=data)
    else:
        run_tool(toolset(cluster), "psql", database, "-Xq", "--set=ON_ERROR_STOP=1", stdin=data)
    with connect(filled, application_name="test") as a, connect(database, application_name="test") as b:
        assert digest(b, skip=()) == digest(a, skip=("public.customers",))
    keys = "SELECT conname FROM pg_constraint WHERE connamespace = 'billing'::regnamespace ORDER BY 1"
    assert [name for (name,) in query(database, keys)] == [
        "invoices_pkey",
        "lines_invoice_fkey",
        "lines_what_key",
    ]
    assert query(database, "SELECT nextval('billing.invoices_id_seq')") == [(3,)]


def test_what_is_not_there_leaves_no_file(home: World, backup: Opened, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="invoice"):
        exported(home, backup, tmp_path / "out", "archive", "invoice")
    assert list(tmp_path.iterdir()) == []
