"""The settings of a project are kept with its backup, whatever of the API says no, and come out again."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs.supabase import platform_settings as job
from holdfast.model import settings as model
from holdfast.model.errors import IntegrityError, UsageError
from holdfast.model.settings import Settings
from holdfast.model.supabase import Project
from support.home import Home, called
from support.supabase_api_server import TOKEN, Fault, Platform, supabase_api
from support.supabase_platform import supabase_platform
from support.world import World, world, write_config

URL = "postgresql://postgres@127.0.0.1:1/postgres"
GOLDEN = Path(__file__).parents[1] / "golden/v3-settings"


@pytest.fixture
def platform() -> Iterator[Platform]:
    with supabase_api() as running:
        yield running


@pytest.fixture
def made(platform: Platform, tmp_path: Path) -> Iterator[World]:
    project = Project(ref=platform.ref, access_token=TOKEN, api_url=platform.url, config_snapshot=True)
    with world(tmp_path, URL, supabase=project) as opened:
        yield opened


def asked(made: World) -> Settings:
    (source,) = job.sources(made.services, made.target, made.stop)
    data = b"".join(source.chunks)
    assert TOKEN.encode() not in data
    return model.parse(data, where="here")


def test_what_the_api_gives_is_kept_and_what_it_refuses_is_noted(made: World, platform: Platform) -> None:
    platform.settings["/ssl-enforcement"] = 402
    found = {each.path: each for each in asked(made).settings}
    assert set(job.PATHS) <= found.keys()
    assert found["/config/auth"].value == platform.settings["/config/auth"]
    assert found["/functions/hello/body"].data == b"EZBR\x00\x01the bundle of hello"
    assert found["/secrets"].value == [{"name": "STRIPE_KEY", "updated_at": "2026-11-01T00:00:00Z"}]
    assert [found[path].status for path in ("/custom-hostname", "/ssl-enforcement")] == [404, 402]
    assert "answered 404" in (found["/custom-hostname"].error or "")
    assert "/pgsodium" not in found
    assert made.recorder.warnings == []


def test_an_api_that_is_away_is_not_asked_for_the_rest(
    made: World, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "_PATIENCE", 0.0)
    platform.faults.extend([Fault(status=200, body=b"[]", cut=1)])
    found = asked(made).settings
    assert {each.status for each in found} == {None}
    assert sum("not asked" in (each.error or "") for each in found) == len(job.PATHS) - 1
    assert len(platform.got) == 1
    assert len(made.recorder.warnings) == 1


@pytest.mark.extended
def test_a_token_that_is_refused_fails_no_backup_and_is_said(made: World, platform: Platform) -> None:
    platform.token = "sbp_another"
    found = asked(made).settings
    assert {each.status for each in found} == {401}
    assert len(made.recorder.warnings) == len(job.PATHS)


def test_they_are_not_saved_in_the_clear_nor_unasked(made: World, platform: Platform) -> None:
    open_keys = replace(made.services.keys, recipients=())
    assert list(job.sources(replace(made.services, keys=open_keys), made.target, made.stop)) == []
    assert "not encrypted" in made.recorder.warnings[0][0]
    project = made.target.supabase
    assert project is not None
    quiet = replace(made.target, supabase=replace(project, config_snapshot=False))
    assert list(job.sources(made.services, quiet, made.stop)) == []
    assert list(job.sources(made.services, replace(made.target, supabase=None), made.stop)) == []
    assert not platform.got


@pytest.mark.parametrize("wrong", [b"", b"{}", b"[]", b'{"settings_version": 2}'])
def test_what_is_malformed_or_newer_is_refused(wrong: bytes) -> None:
    with pytest.raises(IntegrityError, match="here"):
        model.parse(wrong, where="here")


def test_they_come_out_of_a_backup_for_their_owner_alone(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "store", tmp_path / "store")
    shutil.copy(GOLDEN / "identity.txt", tmp_path)
    (tmp_path / "identity.txt").chmod(0o600)
    env = {
        "HOLDFAST_STORE": str(tmp_path / "store"),
        "HOLDFAST_ENCRYPTION__IDENTITY_FILE": str(tmp_path / "identity.txt"),
        "HOLDFAST_DAEMON__STATE_DIR": str(tmp_path / "state"),
    }
    shown = called("supabase", "settings", "latest", env=env, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    found = {each["path"]: each for each in json.loads(shown.stdout)["settings"]}
    assert found["/functions/hello/body"]["value"] == {"bytes": 25}
    assert found["/config/auth"]["value"]["site_url"] == "https://shop.example"
    out = tmp_path / "out"
    assert called("supabase", "settings", "latest", "--to", out, env=env, cwd=tmp_path).returncode == 0
    assert (out / "functions_hello.body").read_bytes() == b"EZBR\x00\x01the bundle of hello"
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert called("supabase", "settings", "latest", "--to", out, env=env, cwd=tmp_path).returncode == 2
    with pytest.raises(UsageError):
        job.write(model.parse((out / "settings.json").read_bytes(), where="out"), out)


@pytest.mark.extended
def test_a_whole_project_is_backed_up_with_its_settings(platform: Platform, tmp_path: Path) -> None:
    with supabase_platform(project=True) as source:
        (tmp_path / "token").write_text(TOKEN)
        keys = (
            f'provider = "supabase"\nproject_ref = "{platform.ref}"\naccess_token_file = "token"\n'
            f'api_url = "{platform.url}"\nconfig_snapshot = true\n'
        )
        config = write_config(tmp_path, source.url, target=keys)
        here = Home(folder=tmp_path, config=config, database=source.owner)
        here.run("backup", "shop")
        (manifest,) = (tmp_path / "store/shop").glob("*/manifest.json")
        assert "settings" in [each["role"] for each in json.loads(manifest.read_text())["parts"]]
        here.run("verify")
        shown = json.loads(here.run("supabase", "settings", "latest").stdout)
        assert {each["path"] for each in shown["settings"]} >= set(job.PATHS)
        written = b"".join(path.read_bytes() for path in tmp_path.glob("st*/**/*") if path.is_file())
        assert TOKEN.encode() not in written
        assert b"super-secret-jwt" not in written
