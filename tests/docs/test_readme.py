"""The README's first screen keeps what it promises, and its commands exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from holdfast.config.loading import load
from support.commands import commands
from support.config import RECIPIENT, schedule_of

README = (Path(__file__).parents[2] / "README.md").read_text()
FIRST_SCREEN = "\n".join(README.splitlines()[:30])


def _config() -> str:
    match = re.search(r"```toml\n(.*?)```", FIRST_SCREEN, re.DOTALL)
    assert match
    return match[1]


def _commands() -> list[str]:
    """The commands in the code blocks, without the comments beside them."""
    lines = re.findall(r"^    (holdfast .*)$", README, re.MULTILINE)
    return sorted({line.split("  #")[0].strip() for line in lines})


def test_the_first_screen_has_the_two_scripts_and_a_config_of_ten_lines() -> None:
    assert "    script/demo " in FIRST_SCREEN
    assert "    script/test " in FIRST_SCREEN
    assert len(_config().splitlines()) <= 10


def test_the_config_loads_once_the_recipient_is_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "holdfast.toml"
    path.write_text(_config().replace("age1…", RECIPIENT))
    config = load(path, environ={"HOME": str(tmp_path)})
    assert [schedule_of(target) for target in config.targets()] == [
        tomllib.loads(_config())["targets"]["main"]["schedule"]
    ]


def test_the_variables_for_a_container_make_a_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pairs = re.findall(r"^    (HOLDFAST_\w+)=(\S+)", README, re.MULTILINE)
    assert len(pairs) == 4
    environ = {name: value.replace("age1…", RECIPIENT) for name, value in pairs}
    config = load(environ={"HOME": str(tmp_path), **environ})
    assert config.recipients == (RECIPIENT,)
    assert [target.name for target in config.targets()] == ["main"]


@pytest.mark.parametrize("command", _commands())
def test_the_commands_and_their_options_exist(command: str) -> None:
    _, name, *words = shlex.split(command)
    groups = {known.split()[0] for known in commands() if " " in known}
    options = commands()[f"{name} {words[0]}" if name in groups else name]
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= options


def test_there_are_commands_to_look_at() -> None:
    assert len(_commands()) >= 8
