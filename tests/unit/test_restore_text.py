"""RESTORE.txt holds our commands and nobody else's, whatever the server and its databases are named."""

from __future__ import annotations

from dataclasses import replace

from holdfast.jobs.restore_text import restore_text
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
