"""A terminal whose encoding lacks a character fails no command."""

from __future__ import annotations

from pathlib import Path

from support.world import cli


def test_what_cannot_be_encoded_is_escaped(tmp_path: Path) -> None:
    output = tmp_path / "w\u00f6rld.toml"
    done = cli("init", "-o", output, "--store", "/x", env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, output.exists()) == (0, True), done.stderr
    assert "w\\xf6rld.toml" in done.stdout
