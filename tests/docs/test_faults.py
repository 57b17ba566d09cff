"""The page of faults names the tests that there are, for every row one at least, and every named stage is died at."""

from __future__ import annotations

import re
from pathlib import Path

from support import fault_page
from support.fault_rows import CHAPTERS, ROWS

ROOT = Path(__file__).parents[2]


def test_the_tables_of_the_page_are_those_of_the_tests() -> None:
    text = fault_page.PAGE.read_text()
    assert text == fault_page.page(text), "script/faults renews the page"


def test_every_row_is_proven_or_says_why_not() -> None:
    proven = fault_page.proofs().keys()
    assert len(ROWS) == sum(len(chapter.rows) for chapter in CHAPTERS)
    assert {key for key, row in ROWS.items() if not row.instead} == set(proven)
    assert all(bool(row.holds) != bool(row.instead) for row in ROWS.values())


def test_no_result_in_the_page_is_a_failure() -> None:
    assert "failed" not in " ".join(fault_page.standing(fault_page.PAGE.read_text()).values())


def test_every_file_of_faults_asks_the_oracle() -> None:
    """Whether each test asks it all is looked at when they run (tests/fault/conftest.py); the extended ones run seldom."""
    files = {path.name: path.read_text() for path in (ROOT / "tests/fault").glob("test_*.py")}
    asking = re.compile(r"from support\.oracle|mark\.unasked\(")
    assert not [name for name, text in files.items() if "mark.fault(" in text and not asking.search(text)]


def test_a_process_is_killed_at_every_stage_that_has_a_name() -> None:
    """Those of hooks aside, which run before and after the work."""
    named: set[str] = set()
    for path in (ROOT / "src/holdfast/jobs").glob("*.py"):
        named |= set(re.findall(r'\bstage\(f?"([^"]+)"\)', path.read_text()))
    killed = "".join((ROOT / f"tests/fault/{name}.py").read_text() for name in KILLS)
    roles = "(globals|database|catalog|settings)"
    missing = [
        name
        for name in named
        if not re.search(
            re.escape(name)
            .replace(r"\{source\.role\}", roles)
            .replace(r"\{part\.role\}", roles)
            .replace(r"\{kind\}", "(tombstone|proof|retention|copies|backup|objects)")
            .replace(r"\{dump\.found\.role\}", roles),
            killed,
        )
    ]
    assert sorted(missing) == ["hook:{told.event}"]


KILLS = (
    "test_kill",
    "test_kill_stages",
    "test_lock_kill",
    "test_objects_kill",
    "test_prune_kill",
    "test_swap_kill",
)
