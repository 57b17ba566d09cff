"""A Supabase project comes back on each of its majors: TEST_POSTGRES_BINS names the directories of their programs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.home import Home
from support.postgres import query
from support.supabase_platform import REF, Platform, supabase_platform
from support.world import write_config

pytestmark = pytest.mark.extended

_PLACES = [Path(text) for text in os.environ.get("TEST_POSTGRES_BINS", "").split(":") if text]
_SAME = (
    "SELECT * FROM auth.users ORDER BY id",
    "SELECT * FROM shop.orders ORDER BY id",
    "SELECT relname, relowner::regrole::text FROM pg_class WHERE relnamespace = 'shop'::regnamespace ORDER BY 1",
    "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2",
    "SELECT rolname, rolcanlogin, rolconfig FROM pg_roles ORDER BY 1",
    "SELECT pubname, tablename FROM pg_publication_tables ORDER BY 1, 2",
)


def same(source: Platform, target: Platform) -> None:
    for text in _SAME:
        assert query(target.admin, text) == query(source.admin, text), text


@pytest.mark.parametrize("place", _PLACES, ids=str)
def test_a_project_comes_back_and_is_proven(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    with supabase_platform(project=True, bin_dir=place) as source, supabase_platform(bin_dir=place) as target:
        config = write_config(
            tmp_path,
            source.url,
            target=f'provider = "supabase"\nproject_ref = "{REF}"\nrestore_test.schedule = ""\n'
            f'restore_test.server_bin_dirs = ["{place}"]\n',
        )
        home = Home(folder=tmp_path, config=config, database=source.owner)
        home.run("backup", "shop")
        done = home.run("restore", "latest", "--to", target.url)
        same(source, target)
        assert "policy storage.objects own_files: must be owner" in done.stdout
        home.run("restore-test", "shop")
