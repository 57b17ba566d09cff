from __future__ import annotations

from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from holdfast.postgres.undumped import of_server
from support.identity import catalog_of
from support.postgres import execute


def test_what_pg_dump_passes_over_in_silence_is_told(database: Conninfo) -> None:
    execute(
        database,
        "CREATE FUNCTION pg_catalog.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE information_schema.kept AS SELECT 1 AS x",
        "CREATE TABLE target (i integer PRIMARY KEY)",
        "CREATE TABLE pointing (i integer REFERENCES target)",
        "ALTER TABLE pointing DISABLE TRIGGER ALL",
        "CREATE TABLE fine (i integer REFERENCES target)",
    )
    told = {(item.kind, item.name) for item in catalog_of(database).left_out}
    assert told == {
        ("function", "pg_catalog.mine()"),
        ("table", "information_schema.kept"),
        ("state of a foreign key", "public.pointing pointing_i_fkey"),
    }
    narrow = catalog_of(database, include_schemas=("public",), exclude_tables=("pointing",))
    assert not any("mine" in item.name or "pointing_i" in item.name for item in narrow.left_out)


def test_settings_of_all_roles_are_told_without_their_values(cluster: Cluster) -> None:
    execute(cluster.conninfo, "ALTER ROLE ALL SET my.key = 'a=b secret'")
    try:
        with connect(cluster.conninfo, application_name="test") as conn:
            (told,) = of_server(conn)
    finally:
        execute(cluster.conninfo, "ALTER ROLE ALL RESET my.key")
    assert (told.kind, told.name) == ("setting of all roles", "my.key")
    assert "secret" not in told.reason
