"""The history of a schema is read from the backups: when it changed, how, and which migration was applied."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdfast.ledger import schemas
from holdfast.ledger.ledger import Ledger
from holdfast.postgres import migrations
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.server import connect
from holdfast.system.clock import SystemClock
from support.home import Home
from support.postgres import execute, query

TOOLS = {
    "alembic": ("alembic_version (version_num varchar(32))", ["'b'"], ["b"]),
    "django": ("django_migrations (id int, app text, name text)", ["2, 'shop', '0001'", "1, 'auth', '0001'"], ["auth.0001", "shop.0001"]),
    "flyway": (
        "flyway_schema_history (installed_rank int, version text, success bool)",
        ["1, '1', true", "2, '2', false", "3, NULL, true", "4, '1.1', true"], ["1", "1.1"],
    ),
    "liquibase": ("databasechangelog (id text, orderexecuted int)", ["'x', 2", "'y', 1"], ["y", "x"]),
    "prisma": (
        "_prisma_migrations (migration_name text, finished_at timestamptz, rolled_back_at timestamptz)",
        ["'1_a', now(), NULL", "'2_b', NULL, NULL", "'3_c', now(), now()"], ["1_a"],
    ),
    "rails": ("schema_migrations (version varchar)", ["'20260102'", "'20260101'"], ["20260101", "20260102"]),
    "golang-migrate": ("schema_migrations (version bigint, dirty bool)", ["7, false"], ["7"]),
    "goose": ("goose_db_version (id int, version_id bigint, is_applied bool)", ["1, 0, true", "2, 5, true"], ["5"]),
    "sqlx": ("_sqlx_migrations (version bigint, success bool)", ["3, true", "4, false"], ["3"]),
    "knex": ("knex_migrations (id int, name text)", ["1, 'a.js'", "2, 'b.js'"], ["a.js", "b.js"]),
}  # fmt: skip


def test_every_tools_table_is_known(database: Conninfo) -> None:
    for tool, (table, rows, _) in TOOLS.items():
        execute(
            database,
            f'CREATE SCHEMA "{tool}"',
            f'CREATE TABLE "{tool}".{table}',
            *(f'INSERT INTO "{tool}".{table.split()[0]} VALUES ({row})' for row in rows),
        )
    execute(
        database,
        "CREATE SCHEMA supabase_migrations",
        "CREATE TABLE supabase_migrations.schema_migrations AS SELECT '20260103'::text AS version",
        "CREATE FUNCTION boom() RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $x$run$x$; END'",
        "CREATE SCHEMA hostile",
        "CREATE VIEW hostile.knex_migrations AS SELECT 1 AS id, boom() AS name",
        "CREATE SCHEMA guarded",
        "CREATE TABLE guarded.knex_migrations (id int, name text)",
        "ALTER TABLE guarded.knex_migrations ENABLE ROW LEVEL SECURITY",
    )
    with connect(database, application_name="test") as connection:
        found = {each.table.split(".")[0]: each for each in migrations.read_migrations(connection)}
    assert {name: list(each.applied) for name, each in found.items()} == {
        **{tool: applied for tool, (_, _, applied) in TOOLS.items()},
        "supabase_migrations": ["20260103"],
    }
    assert all(each.tool == name for name, each in found.items() if name in TOOLS)


@pytest.mark.extended
def test_the_history_of_a_schema_is_told_from_its_backups(home: Home) -> None:
    name = str(home.database.database)
    execute(home.database, "CREATE TABLE knex_migrations (id int, name text)", "CREATE TABLE gone (x int)")
    home.run("backup", "--quiet")
    home.run("backup", "--quiet", "--label", "before 20261122_add_vat")
    execute(
        home.database,
        "INSERT INTO knex_migrations VALUES (1, '20261122_add_vat')",
        "ALTER TABLE items ADD COLUMN vat numeric, DROP COLUMN word",
        "CREATE INDEX items_by_vat ON items (vat)",
        "DROP TABLE gone",
        "CREATE TABLE moving (x int) PARTITION BY LIST (x)",
        "CREATE TABLE moving_1 PARTITION OF moving FOR VALUES IN (1)",
    )
    home.run("backup", "--quiet")
    execute(home.database, "DROP TABLE moving_1")
    home.run("backup", "--quiet")
    newest, changed, before, first = home.facts("list")
    assert newest["migrations"] == {name: "knex 20261122_add_vat"}
    assert before["migrations"] == {}

    versions = home.facts("schema", "log")
    assert [each["id"] for each in versions] == [first["id"], changed["id"], newest["id"]]
    assert versions[0]["changes"] is None
    assert {(each["action"], each["title"]) for each in versions[1]["changes"]} >= {
        ("altered", "table public.items"),
        ("added", "index public.items_by_vat"),
        ("removed", "table public.gone"),
    }
    items = next(each for each in versions[1]["changes"] if each["title"] == "table public.items")
    assert items["details"] == ["column word removed", "column vat added: numeric"]
    assert "1 column removed" in home.run("schema", "log").stdout

    said = home.run("schema", "diff", before["id"], changed["id"]).stdout
    assert "+    vat numeric" in said
    assert home.run("schema", "diff", first["id"], before["id"]).stdout == ""
    assert "CREATE INDEX items_by_vat" in home.run("schema", "show", "latest").stdout
    home.run("schema", "export", home.folder / "out")
    files = sorted((home.folder / "out" / name).iterdir())
    assert len(files) == 3
    assert "CREATE TABLE public.gone" in files[0].read_text()
    assert "wrote 0 files" in home.run("schema", "export", home.folder / "out").stdout

    report = json.loads(
        home.run(
            "restore",
            "latest",
            "--before-migration",
            "20261122",
            "--database",
            name,
            "--as",
            f"{name}_b",
            "--json",
        ).stdout
    )
    assert report["id"] == before["id"]
    execute(home.database.with_database("postgres"), f'DROP DATABASE "{name}_b"')
    home.run("restore", "latest", "--before-migration", "none", "--dry-run", code=12)


def test_what_is_gone_is_noticed_by_a_host_that_cannot_read_its_backups(home: Home) -> None:
    text = home.config.read_text()
    home.config.write_text("\n".join(line for line in text.splitlines() if "identity_file" not in line))
    execute(
        home.database,
        "CREATE TABLE gone (x int)",
        "CREATE TABLE parted (x int) PARTITION BY LIST (x)",
        "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1)",
    )
    home.run("backup", "--quiet")
    execute(home.database, "DROP TABLE gone", "DROP TABLE parted_1", "ALTER TABLE items DROP COLUMN word")
    home.run("backup", "--quiet")
    with Ledger.open(home.state / "ledger.sqlite", now=SystemClock().now()) as ledger:
        found = schemas.dropped(ledger, "shop", home.ids()[0])
    assert [(each.measure, each.value) for each in found] == [("dropped tables", 1), ("dropped columns", 1)]
    assert "identity" in home.run("schema", "log", code=23).stderr
    raw = b"".join(path.read_bytes() for path in Path(home.state).rglob("ledger*"))
    assert b"parted" not in raw
    assert query(home.database, "SELECT 1") == [(1,)]
