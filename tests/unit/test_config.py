"""Where the config's values come from, which wins, and what they become."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.config import sources
from holdfast.config.loading import find, load
from holdfast.model.errors import ConfigError
from holdfast.model.target import Compression, Selection
from holdfast.stores.local import LocalStore
from holdfast.stores.s3 import S3Store
from support.config import BASE, CONTAINER, RECIPIENT, Place, schedule_of


@pytest.fixture(autouse=True)
def no_run_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put another directory in the place of /run/secrets."""
    folder = tmp_path / "run-secrets"
    folder.mkdir()
    monkeypatch.setattr(sources, "RUN_SECRETS", folder)
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Place:
    folder = tmp_path / "place"
    folder.mkdir()
    return Place(folder=folder)


def test_a_target_takes_every_key(place: Place) -> None:
    config = place.load(
        BASE
        + """
        password = "hunter2"
        databases = ["shop", "all"]
        exclude_databases = ["tmp*"]
        include_schemas = ["a"]
        exclude_schemas = ["b"]
        include_tables = ["c"]
        exclude_tables = ["d"]
        exclude_table_data = ["e,f"]
        globals = false
        stores = ["disk"]
        schedule = "15 2 * * mon-fri"
        pg_dump_options = ["--no-comments"]
        lock_wait_timeout = "2m"
        blocking_limit = "off"
        compression = "zstd"
        compression_level = 5
        compression_threads = 2
        fingerprint = "none"
        lock_database = "locks"
        """
    )
    (target,) = config.targets()
    assert (target.name, target.url, target.password) == ("shop", "postgresql://app@db/shop", "hunter2")
    assert (target.databases, target.exclude_databases) == (("shop", "all"), ("tmp*",))
    assert target.selection == Selection(
        include_schemas=("a",),
        exclude_schemas=("b",),
        include_tables=("c",),
        exclude_tables=("d",),
        exclude_table_data=("e,f",),
    )
    assert target.compression == Compression(kind="zstd", level=5, threads=2)
    assert (target.globals, target.fingerprint, target.lock_database) == (False, "none", "locks")
    assert (target.lock_wait_timeout, target.blocking_limit) == (120, None)
    assert (target.stores, target.options) == (("disk",), ("--no-comments",))
    assert schedule_of(target) == "15 2 * * mon-fri"


def test_a_target_writes_to_all_stores_in_the_files_order(place: Place) -> None:
    text = "[stores.z]\nurl = '/z'\n[stores.a]\nurl = '/a'\n" + BASE
    assert place.load(text, HOLDFAST_STORES__A__PATH="/other").targets()[0].stores == ("z", "a", "disk")


def test_defaults_hold_for_the_targets_that_say_nothing_else(place: Place) -> None:
    config = place.load(
        BASE
        + """
        [targets.other]
        schedule = ""
        exclude_tables = []
        [defaults]
        schedule = "@daily"
        exclude_tables = ["cache"]
        databases = ["x"]
        """
    )
    shop, other = config.targets()
    assert (schedule_of(shop), shop.selection.exclude_tables, shop.databases) == (
        "@daily",
        ("cache",),
        ("x",),
    )
    assert (schedule_of(other), other.selection.exclude_tables, other.databases) == (None, (), ("x",))


def test_a_store_of_another_type_replaces_the_one_below(place: Place) -> None:
    config = place.load(BASE, HOLDFAST_STORES__DISK__URL="s3://bucket/some/prefix")
    assert config.stores["disk"].model_dump(exclude_defaults=True) == {
        "type": "s3",
        "url": "s3://bucket/some/prefix",
        "bucket": "bucket",
        "prefix": "some/prefix",
    }


@pytest.mark.parametrize(
    ("url", "path"),
    [("/x/y", "/x/y"), ("file:///x%20y", "/x y"), ("rel", "{folder}/rel"), ("~/b", "/srv/me/b")],
)
def test_a_local_store_may_be_a_url_or_a_path(place: Place, url: str, path: str) -> None:
    config = place.load(BASE.replace('type = "local"\npath = "backups"', f'url = "{url}"'), HOME="/srv/me")
    store = config.stores["disk"].open("disk")
    assert isinstance(store, LocalStore)
    assert store.path == Path(path.format(folder=place.folder))


def test_an_s3_store_opens_with_its_settings(place: Place) -> None:
    config = place.load(
        BASE
        + """
        [stores.off]
        url = "s3://bucket/pre/"
        region = "eu-central-1"
        endpoint_url = "http://127.0.0.1:9"
        access_key_id = "AKID"
        secret_access_key = "very-secret"
        path_style = true
        deadline = "2m"
        """
    )
    store = config.stores["off"].open("off")
    assert isinstance(store, S3Store)
    assert store.name == "off"
    assert "bucket/pre" in store.location
    assert config.secrets() == ("very-secret",)


def test_paths_begin_at_the_files_directory(place: Place) -> None:
    text = BASE.replace("[stores.disk]", 'identity_file = "keys/id.txt"\n[stores.disk]')
    config = place.load(text + "[daemon]\nstate_dir = '~/state'", HOME="/srv/me")
    assert config.encryption.identity_file == place.folder / "keys/id.txt"
    assert config.daemon.state_dir == Path("/srv/me/state")
    assert config.signing_key_file == Path("/srv/me/state/signing.key")


USUAL_SPOOL = "/var/tmp"  # noqa: S108 - the files there have no names


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("", {}, USUAL_SPOOL),
        ("", {"TMPDIR": "/mnt/tmp"}, "/mnt/tmp"),
        ("", {"TMPDIR": "relative"}, USUAL_SPOOL),
        ("spool_dir = '~/spool'", {"TMPDIR": "/mnt/tmp", "HOME": "/srv/me"}, "/srv/me/spool"),
    ],
)
def test_the_spool_is_where_temporary_files_go_unless_it_is_said(
    place: Place, text: str, environ: dict[str, str], expected: str
) -> None:
    assert place.load(f"{BASE}\n[daemon]\n{text}", overrides=None, **environ).daemon.spool_dir == Path(
        expected
    )


def test_paths_in_variables_begin_at_the_working_directory(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_folder, working = place.folder, place.folder / "elsewhere"
    working.mkdir()
    monkeypatch.chdir(working)
    config = place.load(BASE, HOLDFAST_ENCRYPTION__SIGNING_KEY_FILE="s.key")
    assert config.signing_key_file == working / "s.key"
    assert config.stores["disk"].model_dump()["path"] == config_folder / "backups"


def test_recipients_of_a_file_add_to_the_others(place: Place) -> None:
    other = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg"
    (place.folder / "team.txt").write_text(f"# the team\n{other}  # Ann\n\n")
    text = BASE.replace("[stores.disk]", 'recipients_file = "team.txt"\n[stores.disk]')
    assert place.load(text).recipients == (RECIPIENT, other)
    assert place.load(text, HOLDFAST_RECIPIENT=RECIPIENT).recipients == (RECIPIENT,)


def test_encryption_that_is_off_has_no_recipients(place: Place) -> None:
    assert place.load(BASE, HOLDFAST_ENCRYPTION__ENABLED="false").recipients == ()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, "/var/lib/a"),
        ({"XDG_STATE_HOME": "/xdg"}, "/xdg/holdfast"),
        ({"XDG_STATE_HOME": "relative"}, "/srv/me/.local/state/holdfast"),
        ({"STATE_DIRECTORY": "/a", "HOLDFAST_DAEMON__STATE_DIR": "/said"}, "/said"),
    ],
)
def test_the_state_of_a_user_lies_in_their_home(
    environ: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sources, "SYSTEM_STATE", tmp_path / "missing")
    config = load(environ={**CONTAINER, "HOME": "/srv/me", **environ})
    assert config.daemon.state_dir == Path(expected)


def test_the_state_of_root_lies_in_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sources, "SYSTEM_STATE", tmp_path / "missing")
    assert load(environ=CONTAINER).daemon.state_dir == tmp_path / "missing"


def test_the_file_is_looked_for_in_order(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    assert find(Path("x"), environ={"HOLDFAST_CONFIG": "y"}) == Path("x")
    assert find(environ={"HOLDFAST_CONFIG": "y"}) == Path("y")
    monkeypatch.setattr(sources, "FILE_NAMES", (Path("holdfast.toml"), place.folder / "etc.toml"))
    assert find(environ={}) is None
    (place.folder / "etc.toml").touch()
    assert find(environ={}) == place.folder / "etc.toml"
    place.file.touch()
    assert find(environ={}) == Path("holdfast.toml")


def test_secrets_are_all_found_and_never_shown(place: Place) -> None:
    config = place.load(
        BASE
        + """
        [targets.a]
        url = "postgresql://u:p%40ss@h/d"
        [targets.b]
        url = "host=h password='it\\\\'s' user=u"
        password = "plain"
        [targets.c]
        url = "postgresql://h/d?user=u&password=query"
        [stores.s3]
        type = "s3"
        bucket = "b"
        access_key_id = "AKID"
        secret_access_key = "sak"
        session_token = "sess-tok"
        """
    )
    assert {"p%40ss", "p@ss", "it's", "plain", "query", "sak", "sess-tok"} <= set(config.secrets())
    shown = repr(config) + str(config.targets())
    assert not [secret for secret in config.secrets() if secret in shown]


def test_a_config_error_is_what_load_raises_for_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the config .*gone\.toml"):
        load(tmp_path / "gone.toml", environ={})


def test_a_file_may_begin_as_editors_of_windows_begin_it(place: Place) -> None:
    assert place.load(f"\ufeff{BASE}".replace("\n", "\r\n")).targets()[0].name == "shop"


@pytest.mark.parametrize(
    ("login", "struck"),
    [
        ("url = 'postgresql://demo:demo@h'", ()),
        ("url = 'postgresql://u:postgres@h/postgres'", ()),
        ("url = 'host=h user=demo'\npassword = 'demo'", ()),
        ("url = 'postgresql://demo:demo1@h/demo'", ("demo1",)),
        ("url = 'postgresql://u@h/app'\npassword = 's3cret'", ("s3cret",)),
    ],
)
def test_a_password_that_is_the_users_name_is_not_struck_out(
    place: Place, login: str, struck: tuple[str, ...]
) -> None:
    """The name stands in every message: as `***` it would say nothing to its owner, and all to others."""
    assert place.load(BASE.replace('url = "postgresql://app@db/shop"', login)).secrets() == struck
