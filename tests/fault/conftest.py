"""Whoever tests a fault here asks the oracle all of its six questions, or says at the test which not, and why."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from holdfast.postgres.scratch import Cluster
from support import asking
from support.shelf import Shelf, copied, shelf

_BROKEN = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not report.passed:
        item.stash[_BROKEN] = True
    return report


@pytest.fixture(autouse=True)
def all_six(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test of a fault that passed without a question it ought to have asked; it comes first, so it ends last."""
    with asking.noted() as asked:
        yield
    node = request.node
    if node.get_closest_marker("fault") is None or _BROKEN in node.stash:
        return
    left = set(asking.QUESTIONS) - asked
    for mark in node.iter_markers(asking.UNASKED):
        left -= set(mark.args[1:] or asking.QUESTIONS)
    assert not left, f"it does not ask the oracle: {', '.join(sorted(left))}"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what is temporary put where the oracle looks for it, by us and by the processes that we start."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))


@pytest.fixture(scope="module")
def original(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """Take the backups that are tampered with."""
    with shelf(tmp_path_factory.mktemp("shelf"), cluster) as made:
        yield made


@pytest.fixture
def ours(original: Shelf, tmp_path: Path) -> Shelf:
    """Give a copy to tamper with."""
    return copied(original, tmp_path)
