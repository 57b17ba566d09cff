"""Makes the tables of docs/explanation/faults.md from the names of the tests and from the results of a run.

    python -m support.fault_page [RESULTS.xml …]

The results are pytest's, by --junitxml. Without any, those that stand in the page stay.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from support.fault_rows import CHAPTERS, ROWS, Row

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/explanation/faults.md"
BEGIN, END = "<!-- the tables are made by script/faults -->\n", "<!-- the end of the tables -->\n"
NOT_RUN = "not run"
ANY = "*"


@dataclass(frozen=True, slots=True, order=True)
class Proof:
    """A test that proves a row: its file below `tests`, and its name."""

    file: str
    name: str


def proofs() -> dict[str, list[Proof]]:
    """The tests of each row, by their marks; they are read, not imported."""
    found: dict[str, list[Proof]] = {}
    for path in sorted((ROOT / "tests").glob("*/*.py")):
        text = path.read_text()
        if "mark.fault(" not in text:
            continue
        for key, proof in _of_file(path, ast.parse(text)):
            found.setdefault(key, []).append(proof)
    return found


def _of_file(path: Path, tree: ast.Module) -> Iterator[tuple[str, Proof]]:
    whole: list[ast.expr] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            whole += node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
    within = [each for node in tree.body if isinstance(node, ast.ClassDef) for each in node.body]
    for node in [*tree.body, *within]:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            marks = [*whole, *node.decorator_list]
            name = str(path.relative_to(ROOT / "tests"))
            for key in _keys(marks):
                yield key, Proof(name, node.name)


def _keys(marks: Iterable[ast.expr]) -> Iterator[str]:
    for mark in marks:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
            yield from (str(ast.literal_eval(argument)) for argument in mark.args)


def results(files: Iterable[Path]) -> dict[tuple[str, str], str]:
    """How the tests of some runs ended, by file and name: `3 passed, 2026-11-26`. A later file wins, case by case.

    Those of a class are counted by their name alone: a contract is written once, and run for each that keeps it.
    """
    ended: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
    for file in files:
        for suite in ET.parse(file).getroot().iter("testsuite"):  # noqa: S314 - pytest's own
            day = suite.get("timestamp", "")[:10]
            for case in suite.iter("testcase"):
                module, name = case.get("classname", "").removeprefix("tests."), case.get("name", "")
                where = ANY if re.search(r"\.[A-Z]\w*$", module) else module.replace(".", "/") + ".py"
                cases = ended.setdefault((where, name.partition("[")[0]), {})
                cases[f"{module} {name}"] = (_outcome(case), day)
    return {key: _told(cases.values()) for key, cases in ended.items()}


def _told(cases: Iterable[tuple[str, str]]) -> str:
    outcomes, days = zip(*cases, strict=True)
    counted = ", ".join(f"{outcomes.count(word)} {word}" for word in sorted(set(outcomes)))
    return f"{counted}, {max(days)}"


def _outcome(case: ET.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def standing(text: str) -> dict[tuple[str, str], str]:
    """The results that a page tells."""
    return {
        (file, name.replace(" ", "_")): result
        for name, file, result in re.findall(
            r"(?m)^\| .*\| \[([^\]]+)\]\(\.\./\.\./tests/([^)]+)\) \| (.*) \|$", text
        )
    }


def tables(known: dict[tuple[str, str], str]) -> str:
    """The text between the two marks."""
    by_row = proofs()
    lines = []
    for chapter in CHAPTERS:
        lines += [f"## {chapter.title}", ""]
        rows = [row for row in chapter.rows if not row.instead]
        lines += ["| what goes wrong | what holds | shown by | result |", "|---|---|---|---|"]
        for row in rows:
            lines += _lines(row, sorted(by_row.get(row.key, [])), known)
        lines += [""]
        left = [row for row in chapter.rows if row.instead]
        lines += [f"- Not tested: {row.fault}. {row.instead}" for row in left]
        lines += [""] if left else []
    return "\n".join(lines)


def _lines(row: Row, found: list[Proof], known: dict[tuple[str, str], str]) -> Iterator[str]:
    head = f"| {row.fault} | {row.holds} |"
    for proof in found:
        link = f"[{proof.name.replace('_', ' ')}](../../tests/{proof.file})"
        result = known.get((ANY, proof.name)) or known.get((proof.file, proof.name), NOT_RUN)
        yield f"{head} {link} | {result} |"
        head = "| | |"


def page(text: str, files: Iterable[Path] = ()) -> str:
    """A page with its tables made anew."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{tables({**standing(text), **results(files)})}{END}{after}"


def main() -> None:
    """Renew the page; fail where a row has no test, or a test a row that is not there."""
    made = proofs()
    wrong = [
        f"no test has the row {key!r}" for key, row in ROWS.items() if not row.instead and key not in made
    ]
    wrong += [f"{made[key][0].file}: no row {key!r}" for key in made if key not in ROWS]
    if wrong:
        sys.exit("\n".join(wrong))
    PAGE.write_text(page(PAGE.read_text(), map(Path, sys.argv[1:])))


if __name__ == "__main__":
    main()
