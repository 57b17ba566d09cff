"""A Supabase project comes back on servers of one's own, with the platform and without; what is not there is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support.home import Home
from support.pgbouncer import pgbouncer
from support.postgres import execute, query, running_cluster
from support.supabase_platform import REF, Platform, supabase_platform
from support.world import write_config

pytestmark = pytest.mark.extended

PROJECT = f'provider = "supabase"\nproject_ref = "{REF}"\n'
ROWS = (
    "SELECT * FROM auth.users ORDER BY id",
    "SELECT bucket_id, name, owner, path_tokens FROM storage.objects ORDER BY id",
    "SELECT * FROM shop.orders ORDER BY id",
    "SELECT * FROM public.profiles ORDER BY id",
    "SELECT * FROM supabase_migrations.schema_migrations",
    "SELECT last_value FROM auth.refresh_tokens_id_seq",
)
POLICIES = "SELECT policyname FROM pg_policies ORDER BY 1"
TRIGGERS = "SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"
EVENTS = "SELECT evtname::text FROM pg_event_trigger ORDER BY 1"


@pytest.fixture(scope="module")
def source() -> Iterator[Platform]:
    with supabase_platform(project=True) as platform:
        yield platform


def at_home(folder: Path, source: Platform, more: str = "") -> Home:
    """Make a home whose target is the project, and take a backup."""
    config = write_config(folder, source.url, target=PROJECT + more)
    home = Home(folder=folder, config=config, database=source.owner)
    home.run("backup", "shop")
    return home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, source: Platform) -> Home:
    return at_home(tmp_path_factory.mktemp("home"), source)


def url(where: Conninfo) -> str:
    params = where.params
    return f"host={params['host']} port={params['port']} user={params['user']} dbname=postgres"


def names(where: Conninfo, text: str) -> set[str]:
    return {str(name) for (name,) in query(where, text)}


def same(first: Conninfo, second: Conninfo) -> None:
    for text in ROWS:
        assert query(first, text) == query(second, text), text


def test_without_the_platform_users_files_and_policies_come_and_what_cannot_is_named(
    home: Home, source: Platform
) -> None:
    with running_cluster() as cluster:
        to = ("--plain", "--to", url(cluster.conninfo))
        planned = home.run("restore", "latest", "--dry-run", *to)
        done = home.run("restore", "latest", *to)
        same(cluster.conninfo, source.admin)
        assert query(cluster.conninfo, POLICIES) == [("everybody_reads",), ("own_files",), ("own_orders",)]
        assert names(cluster.conninfo, TRIGGERS) >= {"on_auth_user_created", "update_objects_updated_at"}
        assert names(cluster.conninfo, EVENTS) == {"no_drops"}
        logins = (
            "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'supabase%' AND (rolcanlogin OR rolsuper)"
        )
        assert names(cluster.conninfo, logins) == set()
    for said in (
        "trigger shop.orders tell_elsewhere: it needs what is the platform's own",
        "table shop.keys: it needs an extension that the server does not have",
        "extension supabase_vault: the server does not have the extension",
    ):
        assert f"not restored: {said}" in done.stdout
        assert f"not restored: {said}" in planned.stdout


def test_a_server_of_ones_own_with_the_platform_gets_everything(home: Home, source: Platform) -> None:
    with supabase_platform() as target:
        done = home.run("restore", "latest", "--to", url(target.admin))
        same(target.admin, source.admin)
        for text in (POLICIES, TRIGGERS, EVENTS):
            assert query(target.admin, text) == query(source.admin, text)
        assert done.stdout.count("not restored") == 1  # the rows of the vault
        refused = home.run("restore", "latest", "--plain", "--to", url(target.admin), code=2)
    assert "has the platform" in refused.stderr


def test_a_restore_test_stands_in_for_the_platforms_extensions_and_says_so(home: Home) -> None:
    found = home.facts("restore-test", "shop")
    assert found["proof"]["level"] == "proven"
    (database,) = found["detail"]["databases"]
    left_out = {(each["kind"], each["name"]): each["reason"] for each in database["left_out"]}
    assert "was stood in for" in left_out["extension", "supabase_vault"]
    assert "needs the extension supabase_vault" in left_out["table", "shop.keys"]
    compared = {each["name"] for each in database["comparison"]["tables"]}
    assert compared >= {"auth.users", "storage.objects", "vault.secrets", "shop.orders"}


def test_columns_that_the_other_project_lacks_are_named_before_anything_is_changed(home: Home) -> None:
    with supabase_platform() as target:
        execute(target.admin, "ALTER TABLE auth.users DROP COLUMN is_anonymous")
        refused = home.run("restore", "latest", "--to", target.url, code=2)
        assert "lacks columns that the backup has values for: auth.users.is_anonymous" in refused.stderr
        assert query(target.admin, "SELECT to_regnamespace('shop')") == [(None,)]


def test_a_failure_in_the_middle_leaves_the_other_project_as_it_was(home: Home) -> None:
    with supabase_platform() as target:
        execute(target.admin, "ALTER TABLE storage.objects ADD CHECK (owner IS NULL)")
        refused = home.run("restore", "latest", "--to", target.url, code=20)
        assert "table storage.objects" in refused.stderr
        assert query(target.admin, "SELECT to_regnamespace('shop'), count(*) FROM auth.users") == [(None, 0)]


def test_what_is_saved_besides_can_be_turned_off(tmp_path: Path, source: Platform) -> None:
    home = at_home(tmp_path, source, "supabase_extras = []\n")
    with supabase_platform() as target:
        home.run("restore", "latest", "--to", url(target.admin))
        assert names(target.admin, TRIGGERS) == {"update_objects_updated_at", "tell_elsewhere"}
        assert names(target.admin, POLICIES) == {"everybody_reads", "own_orders"}
        assert names(target.admin, EVENTS) == {"pgrst_ddl_watch", "pgrst_drop_watch"}
        assert query(target.admin, "SELECT to_regnamespace('supabase_migrations')") == [(None,)]


def test_what_of_the_platform_the_role_may_not_read_is_left_out_and_named(
    tmp_path: Path, source: Platform
) -> None:
    execute(source.admin, "REVOKE pg_read_all_data FROM postgres")
    try:
        home = at_home(tmp_path, source)
    finally:
        execute(source.admin, "GRANT pg_read_all_data TO postgres WITH ADMIN OPTION")
    shown = home.run("show", "latest").stdout
    assert "_realtime.tenants" in shown
    assert "the platform lets this role not read it" in shown


@contextmanager
def behind(source: Platform, mode: str) -> Iterator[str]:
    """Run pgbouncer before the project."""
    cluster = Cluster(
        conninfo=source.admin,
        tcp=source.owner,
        bin_dir=source.bin_dir,
        data_dir=Path(),
        log_path=Path(),
        version_num=source.version_num,
        pid=0,
    )
    with pgbouncer(cluster, mode) as through:
        yield through


def test_a_transaction_pooler_will_not_do_and_a_session_pooler_will(tmp_path: Path, source: Platform) -> None:
    with behind(source, "transaction") as through:
        config = write_config(tmp_path, through, target=PROJECT)
        home = Home(folder=tmp_path, config=config, database=source.owner)
        refused = home.run("backup", "shop", code=20)
        assert "session" in refused.stderr
    with behind(source, "session") as through:
        config.write_text(
            config.read_text().replace(config.read_text().split('url = """')[1].split('"""')[0], through)
        )
        home.run("backup", "shop")
