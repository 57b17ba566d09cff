"""What the keys of a Supabase project mean, and what they are refused for."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.model.errors import ConfigError
from holdfast.model.supabase import API_URL, EXTRAS
from support.config import BASE, Place

REF = "abcdefghijklmnopqrst"
PROJECT = BASE + f"provider = 'supabase'\nproject_ref = '{REF}'\n"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(folder=tmp_path)


def test_a_project_is_its_reference_and_the_defaults(place: Place) -> None:
    (target,) = place.load(PROJECT).targets()
    project = target.supabase
    assert project is not None
    assert (project.ref, project.api_url, project.access_token) == (REF, API_URL, None)
    assert not project.storage_objects
    assert not project.config_snapshot
    assert project.extras == frozenset(EXTRAS)
    assert target.databases == ("postgres",)


def test_another_database_of_its_server_can_be_named(place: Place) -> None:
    (target,) = place.load(PROJECT + "databases = ['postgres', 'own']\n").targets()
    assert target.databases == ("postgres", "own")


def test_extras_can_be_turned_off(place: Place) -> None:
    (target,) = place.load(PROJECT + "supabase_extras = []\n").targets()
    assert target.supabase is not None
    assert target.supabase.extras == frozenset()


def test_the_token_comes_from_a_variable_or_a_file_and_is_a_secret(place: Place, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("sbp_from_file\n")
    config = place.load(PROJECT + "access_token_file = 'token'\n")
    assert (
        config.targets()[0].supabase
        == place.load(PROJECT + "access_token = 'sbp_from_file'\n").targets()[0].supabase
    )
    assert "sbp_from_file" in config.secrets()
    assert "sbp_from_file" not in repr(config.targets())
    variable = place.load(PROJECT, HOLDFAST_TARGETS__SHOP__ACCESS_TOKEN="sbp_variable")
    assert "sbp_variable" in variable.secrets()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BASE + f"project_ref = '{REF}'\n", 'project_ref: it goes with provider = "supabase"'),
        (BASE + "provider = 'supabase'\n", "provider: project_ref is missing"),
        (BASE + "provider = 'supabase'\nproject_ref = 'https://x'\n", "20 small letters"),
        (PROJECT + "config_snapshot = true\n", "config_snapshot: access_token is missing"),
        (PROJECT + "supabase_extras = ['trigger']\n", "'triggers'"),
        (BASE + "[defaults]\nprovider = 'supabase'\n", "unknown key"),
    ],
)
def test_what_cannot_be_meant_is_refused(place: Place, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        place.load(text)
    assert says in caught.value.message
