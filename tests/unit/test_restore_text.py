"""RESTORE.txt holds our commands and nobody else's, whatever the server and its databases are named."""

from __future__ import annotations

from dataclasses import replace

from holdfast.jobs.restore_text import created_by, restore_text
from holdfast.model import layout
from support.model_values import sample_backup


def commands(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("    ")]


def test_a_server_cannot_add_a_command_by_its_version() -> None:
    made = sample_backup()
    hostile = replace(made.server, version="17.4\n    rm -rf /\x1b[2J\r    rm -rf /")
    told = restore_text(replace(made, server=hostile))
    assert commands(told) == commands(restore_text(made))
    assert "\x1b" not in told
    assert "\r" not in told


def test_a_database_cannot_add_a_command_by_its_name() -> None:
    made = sample_backup()
    for name in ("-rf", "a;rm -rf /", "$(rm -rf /)", "a\n    rm -rf /", "'", "postgres", "\udce9"):
        stem = layout.part_name(name, "custom", "zstd", encrypted=True)
        segment = replace(made.parts[0].segments[0], name=stem)
        part = replace(made.parts[0], name=stem, database=name, segments=(segment,))
        told = restore_text(replace(made, parts=(part,), databases=(name,)))
        assert len(commands(told)) == len(commands(restore_text(made)))
        assert f"cat ./{stem} |" in told
        assert "rm -rf" not in told
        assert told.encode()


def test_a_name_with_line_breaks_stays_on_the_line_of_its_command() -> None:
    """Who takes the lines that begin with four spaces, gets whole commands and nothing else."""
    made = sample_backup()
    name = "a\nb'\n    ; rm -rf /;\n"
    part = replace(made.parts[0], role="database", format="plain", database=name)
    told = restore_text(replace(made, parts=(part,)), to_create={name: "UTF8"})
    (create, load) = [line for line in told.splitlines() if "a\\x0ab" in line]
    assert create.startswith("    createdb ")
    assert load.startswith("    cat ")
    assert not any(line.lstrip().startswith(";") for line in told.splitlines())


def test_which_databases_are_made_by_hand_is_read_back_from_the_text() -> None:
    """A copy that is encrypted anew gets a text of its own, and knows of plain dumps no more than that of the first."""
    made = sample_backup()
    names = ("shop", "it's", "a b", "has its own")
    parts = tuple(
        replace(made.parts[0], name=f"{number}.sql", format="plain", database=name)
        for number, name in enumerate(names)
    )
    plain = replace(made, parts=parts, databases=names)
    to_create = {"shop": "UTF8", "it's": "LATIN1", "a b": ""}
    assert created_by(restore_text(plain, to_create=to_create), plain) == to_create
    assert created_by("", plain) == {}
