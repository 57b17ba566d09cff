"""Which source of the config wins, and what variables and secret files reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.config import sources
from holdfast.config.loading import load
from holdfast.model.errors import ConfigError
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


def test_flags_beat_variables_beat_secret_files_beat_the_file(place: Place, no_run_secrets: Path) -> None:
    text = BASE + "password = 'file'"
    assert place.load(text).targets()[0].password == "file"
    (no_run_secrets / "holdfast_targets__shop__password").write_text("secret file\n")
    assert place.load(text).targets()[0].password == "secret file"
    variable = {"HOLDFAST_TARGETS__SHOP__PASSWORD": "variable"}
    assert place.load(text, overrides=None, **variable).targets()[0].password == "variable"
    flags = {"targets": {"shop": {"password": "flag"}}}
    assert place.load(text, overrides=flags, **variable).targets()[0].password == "flag"


def test_variables_reach_every_kind_of_value(place: Place) -> None:
    config = place.load(
        BASE,
        HOLDFAST_DAEMON__TIMEZONE="Europe/Berlin",
        HOLDFAST_DEFAULTS__COMPRESSION_LEVEL="7",
        HOLDFAST_TARGETS__SHOP__GLOBALS="false",
        HOLDFAST_TARGETS__SHOP__DATABASES="a, b",
        HOLDFAST_TARGETS__SHOP__EXCLUDE_TABLES='["x,y", "z"]',
        HOLDFAST_TARGETS__SHOP__LOCK_WAIT_TIMEOUT="90",
        HOLDFAST_TARGETS__SHOP__PASSWORD="",
    )
    (target,) = config.targets()
    assert config.daemon.timezone == "Europe/Berlin"
    assert (target.compression.level, target.globals, target.databases) == (7, False, ("a", "b"))
    assert (target.selection.exclude_tables, target.lock_wait_timeout) == (("x,y", "z"), 90)
    assert target.password is None


def test_a_variable_reaches_a_name_with_a_dash(place: Place) -> None:
    text = BASE.replace("targets.shop", "targets.my-shop")
    (target,) = place.load(text, HOLDFAST_TARGETS__MY_SHOP__LOCK_DATABASE="x").targets()
    assert (target.name, target.lock_database) == ("my-shop", "x")


@pytest.mark.parametrize("twin", ["password_file", "url_file"])
def test_a_secret_is_read_from_the_file_beside_the_config(place: Place, twin: str) -> None:
    (place.folder / "secret").write_text("postgresql://x:pa ss@h/d\r\n")
    config = place.load(BASE.replace('url = "postgresql://app@db/shop"', "") + f'{twin} = "secret"')
    (target,) = config.targets()
    assert (target.password if twin == "password_file" else target.url) == "postgresql://x:pa ss@h/d"


@pytest.mark.parametrize("section", ["defaults", "targets.shop"])
def test_the_scratch_servers_url_is_a_secret_that_may_stand_in_a_file(place: Place, section: str) -> None:
    (place.folder / "secret").write_text("postgresql://x:p%40ss@scratch\n")
    said = f'[{section}.restore_test]\nscratch_url_file = "secret"\nisolation = "preferred"\n'
    config = place.load(f"{BASE}\n{said}")
    (target,) = config.targets()
    assert target.restore_test.scratch_url == "postgresql://x:p%40ss@scratch"
    assert target.restore_test.source_url == target.url
    assert {"p%40ss", "p@ss"} <= set(config.secrets())
    assert "@scratch" not in repr(target.restore_test)


def test_a_scratch_server_has_to_be_allowed_to_see_what_is_restored(place: Place) -> None:
    said = '\n[defaults.restore_test]\nscratch_url = "postgresql://x:secret@scratch"\n'
    with pytest.raises(ConfigError) as caught:
        place.load(BASE + said)
    assert "defaults.restore_test.scratch_url" in caught.value.message
    assert 'isolation = "preferred"' in caught.value.message
    assert "secret@" not in caught.value.message
    with pytest.raises(ConfigError, match=r"restore_test\.scratch_url: postgresql://"):
        place.load(BASE + said.replace("postgresql://", "scratch at "))


def test_a_variables_password_beats_the_files_password_file(place: Place) -> None:
    (place.folder / "secret").write_text("from the file")
    config = place.load(
        BASE + 'password_file = "secret"', HOLDFAST_TARGETS__SHOP__PASSWORD="from the variable"
    )
    assert config.targets()[0].password == "from the variable"


def test_systemds_credentials_come_before_run_secrets_in_any_case(place: Place, no_run_secrets: Path) -> None:
    credentials = place.folder / "credentials"
    credentials.mkdir()
    (credentials / "HOLDFAST_TARGETS__SHOP__PASSWORD").write_text("systemd")
    (no_run_secrets / "holdfast_targets__shop__password").write_text("container")
    (no_run_secrets / "holdfast_identity").write_text("something else of ours")
    (no_run_secrets / "unrelated").write_text("x")
    config = place.load(BASE, CREDENTIALS_DIRECTORY=str(credentials))
    assert config.targets()[0].password == "systemd"


def test_a_container_needs_no_file(no_run_secrets: Path) -> None:
    (no_run_secrets / "holdfast_password").write_text("pw\n")
    config = load(environ={**CONTAINER, "HOLDFAST_SCHEDULE": "@hourly"})
    (target,) = config.targets()
    assert (target.name, target.url, target.password) == ("main", "postgresql://db/app", "pw")
    assert (target.stores, schedule_of(target), config.recipients) == (("main",), "@hourly", (RECIPIENT,))


def test_a_container_may_name_several_recipients_and_password_files(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("pw")
    config = load(
        environ={
            **CONTAINER,
            "HOLDFAST_RECIPIENT": f"{RECIPIENT}, {RECIPIENT}\n",
            "HOLDFAST_PASSWORD_FILE": str(tmp_path / "pw"),
        }
    )
    assert config.recipients == (RECIPIENT,)
    assert config.targets()[0].password == "pw"


def test_a_secret_file_of_the_short_form_is_left_alone_beside_other_targets(
    place: Place, no_run_secrets: Path
) -> None:
    (no_run_secrets / "holdfast_password").write_text("pw")
    config = place.load(BASE + f'password_file = "{no_run_secrets}/holdfast_password"')
    assert [(target.name, target.password) for target in config.targets()] == [("shop", "pw")]


def test_the_variables_that_kubernetes_makes_are_left_alone() -> None:
    services = {
        "HOLDFAST_SERVICE_HOST": "10.0.0.1",
        "HOLDFAST_SERVICE_PORT_METRICS": "9853",
        "HOLDFAST_PORT": "tcp://10.0.0.1:9853",
        "HOLDFAST_PORT_9853_TCP_ADDR": "10.0.0.1",
        "HOLDFAST_METRICS_SERVICE_HOST": "10.0.0.2",
    }
    assert load(environ={**CONTAINER, **services}).targets()


def test_the_process_environment_is_read_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in CONTAINER.items():
        monkeypatch.setenv(variable, value)
    assert load().targets()[0].url == "postgresql://db/app"
