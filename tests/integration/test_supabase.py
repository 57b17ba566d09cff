"""A Supabase project is backed up as its owner, who is no superuser, and comes back in another project or without the platform."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.postgres.conninfo import Conninfo
from support.home import Home
from support.postgres import execute, query
from support.supabase_api_server import Platform as Api
from support.supabase_api_server import pooler, supabase_api
from support.supabase_platform import PASSWORD, REF, Platform, supabase_platform
from support.world import write_config

PROJECT = f'provider = "supabase"\nproject_ref = "{REF}"\n'


@pytest.fixture(scope="module")
def source() -> Iterator[Platform]:
    with supabase_platform(project=True) as platform:
        yield platform


@pytest.fixture
def target() -> Iterator[Platform]:
    with supabase_platform() as platform:
        yield platform


@pytest.fixture
def home(tmp_path: Path, source: Platform) -> Home:
    config = write_config(tmp_path, source.url, target=PROJECT)
    return Home(folder=tmp_path, config=config, database=source.owner)


# What has to be the same in both, by the server's own catalogs.
SAME = (
    "SELECT * FROM auth.users ORDER BY id",
    "SELECT user_id, provider, identity_data, email FROM auth.identities ORDER BY id",
    "SELECT * FROM auth.refresh_tokens ORDER BY id",
    "SELECT bucket_id, name, owner, path_tokens, updated_at FROM storage.objects ORDER BY id",
    "SELECT * FROM shop.orders ORDER BY id",
    "SELECT * FROM shop.turnover ORDER BY 1",
    "SELECT * FROM public.profiles ORDER BY id",
    "SELECT * FROM supabase_migrations.schema_migrations",
    "SELECT last_value FROM shop.orders_id_seq",
    "SELECT last_value FROM auth.refresh_tokens_id_seq",
    (
        "SELECT schemaname, tablename, policyname, roles::text, qual FROM pg_policies"
        " WHERE schemaname IN ('public', 'shop') ORDER BY 1, 2, 3"
    ),
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint ORDER BY 1, 2",
    "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2",
    "SELECT proname, prosrc FROM pg_proc WHERE pronamespace IN ('public'::regnamespace, 'shop'::regnamespace) ORDER BY 1",
    (
        "SELECT relname, relowner::regrole::text, relacl::text FROM pg_class"
        " WHERE relnamespace IN ('public'::regnamespace, 'shop'::regnamespace) ORDER BY 1"
    ),
    "SELECT pubname, schemaname, tablename FROM pg_publication_tables ORDER BY 1, 2, 3",
    "SELECT obj_description('public.profiles'::regclass)",
    "SELECT rolname, rolcanlogin, rolconnlimit, rolconfig FROM pg_roles ORDER BY 1",
    (
        "SELECT r.rolname, m.rolname FROM pg_auth_members JOIN pg_roles r ON r.oid = roleid JOIN pg_roles m ON m.oid = member"
        " ORDER BY 1, 2"
    ),
)


def same(first: Conninfo, second: Conninfo, *queries: str) -> None:
    for text in queries:
        assert query(first, text) == query(second, text), text


def test_a_project_comes_back_in_another_one(home: Home, source: Platform, target: Platform) -> None:
    execute(source.admin, "ALTER ROLE anon SET statement_timeout = '5s'")
    home.run("backup", "shop")
    done = home.run("restore", "latest", "--to", target.url)
    same(target.admin, source.admin, *SAME)
    assert "policy storage.objects own_files: must be owner of table objects" in done.stdout
    assert "event trigger no_drops: permission denied" in done.stdout
    assert "rows vault.secrets: only the project that they come from can open them" in done.stdout
    again = home.run("restore", "latest", "--to", target.url, code=2)
    assert "is not empty: it holds" in again.stderr


def without_url(folder: Path, api: Api) -> Home:
    """Make a home whose project is found by asking the API."""
    config = write_config(folder, "nowhere", target=PROJECT)
    text = config.read_text().replace('url = """nowhere"""', f'password = "{PASSWORD}"')
    config.write_text(
        text.replace(PROJECT, f'{PROJECT}api_url = "{api.url}"\naccess_token = "{api.token}"\n')
    )
    return Home(folder=folder, config=config, database=Conninfo())


def test_a_project_without_an_address_is_found_by_asking_the_api(tmp_path: Path, source: Platform) -> None:
    with supabase_api() as api:
        api.poolers = [
            pooler(),
            pooler(
                db_host="127.0.0.1",
                db_port=source.port,
                db_user="postgres",
                connection_string="",
                pool_mode="session",
            ),
        ]
        home = without_url(tmp_path, api)
        home.run("check")
        assert "127.0.0.1" in home.run("check").stdout
        execute(source.admin, "ALTER ROLE postgres PASSWORD 'another'")
        try:
            api.banned = ["192.0.2.7"]
            done = home.run("backup", "shop", code=20)
        finally:
            execute(source.admin, f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")
    assert "authentication failed" in done.stderr
    assert "has shut out 192.0.2.7" in done.stderr
    assert PASSWORD not in done.stderr
