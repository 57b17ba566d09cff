"""What the official dump brings back, ours brings back too, object by object and row by row; and what is more is named here."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.postgres import tools
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.script_objects import Key, script_objects
from support.home import Home
from support.postgres import query, run_tool
from support.supabase_cli import official_dump, restore_official
from support.supabase_platform import REF, Platform, supabase_platform
from support.world import write_config

pytestmark = pytest.mark.extended

# What the official dump leaves out and ours brings, in this project.
MORE = {
    ("trigger", "auth.users on_auth_user_created"),
    ("trigger", "storage.objects on_upload"),
    ("policy", "storage.objects own_files"),
    ("policy", "realtime.messages own_room"),
    ("event trigger", "no_drops"),
    ("schema", "supabase_migrations"),
    ("table", "supabase_migrations.schema_migrations"),
    ("constraint", "supabase_migrations.schema_migrations schema_migrations_pkey"),
}
ROLES = (
    "SELECT rolname, rolcanlogin, rolinherit, rolcreaterole, rolconnlimit, rolconfig FROM pg_roles ORDER BY 1"
)
TABLES = (
    "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'supabase_migrations')"
    " ORDER BY 1"
)


def objects(platform: Platform) -> dict[Key, tuple[str, ...]]:
    clients = tools.choose(tools.find_toolsets([platform.bin_dir]), platform.version_num)
    return script_objects(run_tool(clients, "pg_dump", platform.admin, "--schema-only").decode())


def rows(where: Conninfo, table: object) -> list[tuple[object, ...]]:
    return query(where, f"SELECT t::text FROM {table} t ORDER BY 1")


def test_ours_brings_all_that_the_official_one_does_and_more(tmp_path: Path) -> None:
    with (
        supabase_platform(project=True) as source,
        supabase_platform() as by_official,
        supabase_platform() as by_ours,
    ):
        restore_official(official_dump(source), by_official)
        config = write_config(tmp_path, source.url, target=f'provider = "supabase"\nproject_ref = "{REF}"\n')
        home = Home(folder=tmp_path, config=config, database=source.owner)
        home.run("backup", "shop")
        admin = by_ours.admin.params
        home.run(
            "restore",
            "latest",
            "--to",
            f"host={admin['host']} port={admin['port']} user={admin['user']} dbname=postgres",
        )

        official, ours = objects(by_official), objects(by_ours)
        assert {key: ours.get(key) for key in official} == official
        assert {(key.kind, key.name) for key in ours.keys() - official.keys()} == MORE
        assert query(by_ours.admin, ROLES) == query(by_official.admin, ROLES)
        tables = [name for (name,) in query(by_official.admin, TABLES)]
        assert "auth.users" in tables
        assert "shop.orders" in tables
        for table in tables:
            assert rows(by_ours.admin, table) == rows(by_official.admin, table), table
