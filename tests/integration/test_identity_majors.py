"""The torture database is restored and found the same on every major: TEST_POSTGRES_BINS, as for test_majors."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from holdfast.postgres import tools
from support import torture
from support.corruptions import CORRUPTIONS, corrupt
from support.identity import catalog_of, compared, dump_of, restored
from support.postgres import running_cluster

pytestmark = pytest.mark.extended

_PLACES = [Path(text) for text in os.environ.get("TEST_POSTGRES_BINS", "").split(":") if text]
_SERVERS = {each.major: each.bin_dir for each in reversed(tools.find_servers(_PLACES))}


@pytest.fixture(autouse=True)
def _findable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", ":".join([*map(str, _PLACES), os.environ["PATH"]]))


@pytest.mark.parametrize("major", sorted(_SERVERS))
def test_it_is_the_same_and_each_corruption_is_named(major: int) -> None:
    bin_dir = _SERVERS[major]
    with (
        running_cluster(bin_dir=bin_dir, tcp=False) as source,
        running_cluster(bin_dir=bin_dir, tcp=False) as into,
    ):
        original = torture.load(source.conninfo, "torture", torture.MORE)
        torture.create_roles(into.conninfo)
        archive, found = dump_of(source, original), catalog_of(original)
        with restored(into, archive, found, "torture") as where:
            done = compared(into, archive, found, where)
            corrupt(where, *CORRUPTIONS)
            spoilt = compared(into, archive, found, where)
    assert (done.differences, done.respelled, done.same) == ((), (), True)
    told = {(each.kind, each.name, each.how) for each in spoilt.differences}
    # In pg_dump 13's words a partition is attached by the definition of its table.
    told |= {("table attach", name, "missing") for kind, name, _ in told if kind == "table" and major <= 13}
    assert {
        each.name: set(each.differs) - told for each in CORRUPTIONS if not set(each.differs) <= told
    } == {}


@pytest.mark.fault("server.majors")
@pytest.mark.parametrize(("major", "later"), list(pairwise(sorted(_SERVERS))))
def test_it_is_the_same_in_the_next_major(major: int, later: int) -> None:
    """Definitions that the newer one writes in other words are told as that."""
    with (
        running_cluster(bin_dir=_SERVERS[major], tcp=False) as source,
        running_cluster(bin_dir=_SERVERS[later], tcp=False) as into,
    ):
        original = torture.load(source.conninfo, "torture", torture.MORE)
        torture.create_roles(into.conninfo)
        archive, found = dump_of(source, original), catalog_of(original)
        with restored(into, archive, found, "torture") as where:
            done = compared(into, archive, found, where)
    assert (done.differences, done.same) == ((), True)
