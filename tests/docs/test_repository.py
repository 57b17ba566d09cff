"""The repository keeps its own rules: no addresses of anybody's machine, small files, honest scripts, pinned requirements."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

from holdfast.ledger import database

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src/holdfast"
NOT_OURS = {".git", ".venv", ".cache", "dist", "build", "node_modules", "__pycache__"}
LINES = {"src": 320, "tests": 400}  # "about 300"; a test file may list more cases
LONG_BY_NATURE: frozenset[str] = frozenset()  # a path here needs a reason beside it
ELSEWHERE = re.compile(
    r"(?<![\w./}])/(?:home/(?!you\b|user\b)\w|root/|Users/\w|work/|mnt/data\b)"  # somebody's directories
    r"|://[^/\s]*(?:pypi\.org/simple|registry\.npmjs|artifactory|pkg\.dev|nexus)"  # registries
    r"|--(?:extra-)?index-url|--find-links"
)
MAY_SAY_SO = {"tests/docs/test_repository.py"}


def _files() -> list[Path]:
    return [
        path
        for path in sorted(ROOT.rglob("*"))
        if path.is_file()
        and not any(piece in NOT_OURS or piece.endswith("_cache") for piece in path.relative_to(ROOT).parts)
        and ".hypothesis" not in path.parts
    ]


@cache
def _texts() -> dict[str, str]:
    texts = {}
    for path in _files():
        try:
            texts[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a golden backup, a picture
    return texts


def _pins(text: str) -> list[str]:
    """The requirements of a file, each with its continued lines."""
    return [
        line for line in text.replace("\\\n", " ").splitlines() if line and not line.lstrip().startswith("#")
    ]


def _names(text: str) -> set[str]:
    return {pin.split("==")[0].split("[")[0] for pin in _pins(text)}


def test_no_file_holds_an_address_that_is_good_on_one_machine_only() -> None:
    found = {
        name: match.group()
        for name, text in _texts().items()
        if name not in MAY_SAY_SO and (match := ELSEWHERE.search(text))
    }
    assert found == {}


@pytest.mark.parametrize(
    "text",
    ["see /home/alice/x", "cd /root/holdfast", "https://pypi.org/simple/rich", "--index-url https://x"],
)
def test_such_an_address_would_be_noticed(text: str) -> None:
    assert ELSEWHERE.search(text)


@pytest.mark.parametrize("folder", ["src", "tests"])
def test_modules_stay_small_enough_to_read(folder: str) -> None:
    lengths = {
        name: len(text.splitlines())
        for name, text in _texts().items()
        if name.startswith(f"{folder}/") and name.endswith(".py") and name not in LONG_BY_NATURE
    }
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines > LINES[folder]} == {}


def test_no_group_is_repeated_possessively() -> None:
    """Python before 3.11.5, Debian 12's for one, matches `(…)*+` wrongly; `(?>(…)*)` means the same."""
    group = re.compile(r"\)(?:[*+?]|\{[\d,]+\})\+")
    found = {
        name: line
        for name, text in _texts().items()
        if name.startswith("src/") and name.endswith(".py")
        for line in text.splitlines()
        if group.search(line)
    }
    assert found == {}


def test_no_class_is_a_kind_of_thread() -> None:
    """A name that such a class gives to something may be one of Thread's own in another version of Python."""
    found = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Thread") for base in node.bases)
    ]
    assert found == []


def test_there_is_no_lock_file() -> None:
    names = {path.name for path in _files()}
    assert names.isdisjoint({"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock"})


def test_ci_runs_script_test_and_nothing_else() -> None:
    lines = (ROOT / ".ci/run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert commands == ['exec "$(dirname "$0")/../script/test" "$@"']


@pytest.mark.parametrize(
    "script",
    [
        ".ci/run",
        "script/bench",
        "script/bootstrap",
        "script/demo",
        "script/lint",
        "script/requirements",
        "script/test",
    ],
)
def test_scripts_can_be_run_and_stop_at_the_first_error(script: str) -> None:
    path = ROOT / script
    text = path.read_text()
    assert path.stat().st_mode & 0o111
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail\n" in text or text.count("\n") == 2


@pytest.mark.parametrize("name", ["runtime", "all", "dev", "extended", "embedded"])
def test_requirements_are_pinned_with_hashes(name: str) -> None:
    pins = _pins((ROOT / f"requirements/{name}.txt").read_text())
    assert pins
    assert [pin for pin in pins if not re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", pin)] == []


def test_requirements_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    extras = [text for each in project["project"]["optional-dependencies"].values() for text in each]
    asked = {
        "runtime": [*project["project"]["dependencies"], *groups["build"]],
        "dev": [*project["project"]["dependencies"], *groups["build"], *groups["dev"]],
        "all": [*project["project"]["dependencies"], *groups["build"], *extras],
        "extended": groups["extended"],
        "embedded": groups["embedded"],
    }
    for name, wanted in asked.items():
        bare = {re.split(r"[\[<>=; ]", text)[0].replace(".", "-") for text in wanted}
        assert bare <= _names((ROOT / f"requirements/{name}.txt").read_text()), (
            f"run script/requirements: {name}"
        )


def test_runtime_and_dev_requirements_agree() -> None:
    runtime = {pin.split()[0] for pin in _pins((ROOT / "requirements/runtime.txt").read_text())}
    dev = {pin.split()[0] for pin in _pins((ROOT / "requirements/dev.txt").read_text())}
    assert runtime <= dev


def test_bootstrap_refuses_an_option_that_it_does_not_know() -> None:
    bash = shutil.which("bash")
    assert bash
    done = subprocess.run(
        [bash, ROOT / "script/bootstrap", "--nonsense"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "--nonsense" in done.stderr


def test_links_between_documents_lead_somewhere() -> None:
    dead = [
        f"{name}: {link}"
        for name, text in _texts().items()
        if name.endswith(".md")
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
        if "://" not in link and not (ROOT / name).parent.joinpath(link).exists()
    ]
    assert dead == []


def test_the_source_map_names_what_there_is() -> None:
    page = (ROOT / "docs/explanation/design.md").read_text()
    named = set(re.findall(r"`([a-z_/]+\*?(?:\.py|/))`", page)) - {"src/holdfast/"}
    assert len(named) > 40
    assert [name for name in named if not list(PACKAGE.glob(name))] == []
    layers = {f"{path.name}/" for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert layers <= named


def test_the_docstring_of_a_package_names_modules_that_there_are() -> None:
    missing = {
        f"{path.parent.name}.{name}"
        for path in PACKAGE.glob("*/**/__init__.py")
        for name in re.findall(r"`([a-z_0-9]+)`", ast.get_docstring(ast.parse(path.read_text())) or "")
        if not (path.parent / f"{name}.py").exists() and not (path.parent / name / "__init__.py").exists()
    }
    assert missing == set()


def test_decision_records_are_numbered_and_short() -> None:
    records = sorted((ROOT / "docs/explanation/decisions").glob("*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    assert {path.name for path in records if len(path.read_text().splitlines()) > 60} == set()


def test_every_migration_of_the_ledger_has_a_number_of_its_own() -> None:
    versions = [version for version, _ in database.migrations()]
    assert versions == list(range(1, len(versions) + 1))
