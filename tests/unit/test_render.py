"""What people and programs read stays what it is, whatever the names in a database are."""

from __future__ import annotations

import json

import pytest

from holdfast.model.catalog import Coverage, LeftOut
from holdfast.model.errors import SourceError
from holdfast.render import printing

HOSTILE = "\x1b]0;owned\x07\x9b2J\u202e\nSAFE  main\udce9"
SHOWN = "\\x1b]0;owned\\x07\\x9b2J\\u202e\\nSAFE  main\\udce9"


def test_a_line_stays_one_line_and_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    printing.line(f"table {HOSTILE}")
    assert capsys.readouterr().out == f"table {SHOWN}\n"


def test_names_in_a_coverage_and_a_table_are_shown_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    left = (LeftOut(kind="table", name=HOSTILE, reason="excluded"),)
    printing.covered(Coverage(tables=2, tables_covered=1, rows=None, left_out=left))
    printing.table(("PART",), [[HOSTILE], ["äpfel"]])
    told = capsys.readouterr().out
    assert f"  table {SHOWN}: excluded" in told
    assert told.splitlines()[-2:] == [SHOWN, "äpfel"]


def test_an_error_keeps_its_lines_and_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    printing.error(SourceError("pg_dump: error\ndetail \x1b[2J", hint="See \x1b[2J."), prefix="target x: ")
    assert capsys.readouterr().err == (
        "holdfast: target x: pg_dump: error\ndetail \\x1b[2J\n  See \\x1b[2J.\n"
    )


def test_facts_are_json_that_says_the_very_name(capsys: pytest.CaptureFixture[str]) -> None:
    printing.facts({"name": HOSTILE, "other": "äpfel"})
    told = capsys.readouterr().out
    assert json.loads(told) == {"name": HOSTILE, "other": "äpfel"}
    assert told.encode()
    assert "äpfel" in told
    assert not {"\x1b", "\x9b"} & set(told)
