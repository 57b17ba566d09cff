from __future__ import annotations

import pytest
import typer

from holdfast.cli.help import SECTIONS
from holdfast.cli.program import MODULES, main, program


def commands(name: str | None = None) -> set[str]:
    group = typer.main.get_command(program(name))
    return set(getattr(group, "commands", {}))


def test_every_command_is_known_by_the_module_that_brings_it() -> None:
    assert commands() == set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_command_is_there_without_the_others(name: str) -> None:
    assert commands(name) == {other for other, module in MODULES.items() if module == MODULES[name]}


def test_the_help_shows_each_command_once_on_a_line_of_its_own() -> None:
    shown = [name for commands in SECTIONS.values() for name in commands]
    assert sorted(shown) == sorted(MODULES)
    assert all(len(text) <= 62 for commands in SECTIONS.values() for text in commands.values())


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            ["restor"],
            "No such command 'restor'. Did you mean 'restore', 'restore-test', 'recover'?\n  `holdfast --help`",
        ),
        (["show"], "Missing argument 'BACKUP'.\n  `holdfast show --help`"),
        (["supabase", "nope"], "No such command 'nope'.\n  `holdfast supabase --help`"),
    ],
)
def test_who_mistypes_is_told_which_help_to_ask_for(
    capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err == f"holdfast: {said} shows what there is.\n"


def test_an_option_of_a_command_before_it_is_told_where_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "list"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("holdfast: --json is no option of `holdfast` itself\n")
    assert "behind it, as in `holdfast list --json`" in said


def test_the_help_of_a_command_names_no_types_of_python(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backup", "--help"]) == 0
    said = capsys.readouterr().out
    assert "TARGET  Default: all." in said
    assert "<" not in said
