"""Every pair of PostgreSQL majors: TEST_POSTGRES_BINS names the directories of their programs, joined by colons."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.jobs.verify import verify
from holdfast.methods.pg_restore import Options
from holdfast.model.errors import SourceError
from holdfast.postgres import tools
from holdfast.postgres.compare import compare, digest
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from support import torture
from support.postgres import running_cluster
from support.restoring import put_back, take
from support.world import world

pytestmark = pytest.mark.extended

_PLACES = [Path(text) for text in os.environ.get("TEST_POSTGRES_BINS", "").split(":") if text]


def _servers() -> dict[int, Path]:
    """Give the server programs by their major: those named, and the machine's own."""
    found = tools.find_servers(_PLACES)
    return {each.major: each.bin_dir for each in reversed(found)}


@pytest.fixture(autouse=True)
def _findable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", ":".join([*map(str, _PLACES), os.environ["PATH"]]))


@pytest.mark.fault("server.majors")
@pytest.mark.parametrize("major", sorted(_servers()))
def test_a_backup_comes_back_in_its_own_and_every_later_major(major: int, tmp_path: Path) -> None:
    servers = _servers()
    with running_cluster(bin_dir=servers[major], tcp=False) as source:
        torture.load(source.conninfo, "torture")
        with world(tmp_path, source.conninfo.argv_dsn(), databases=("torture",)) as w:
            opened = take(w)
            assert tools.major(tools.version_num(opened.backup.tools["pg_dump"])) >= major
            (row,) = w.services.ledger.backups()
            assert [each.error for each in verify(w.services, row, w.stop)] == [None]
            for later in sorted(each for each in servers if each >= major):
                with running_cluster(bin_dir=servers[later], tcp=False) as into:
                    put_back(w, opened, into, options=Options(jobs=1 if later == major else 2))
                    assert _differences(source, into) == (), f"{major} restored into {later}"


@pytest.mark.parametrize("major", sorted(_servers())[:-1])
def test_a_restore_into_an_older_major_works_or_says_that_it_is_older(major: int, tmp_path: Path) -> None:
    servers = _servers()
    newer = min(each for each in servers if each > major)
    with (
        running_cluster(bin_dir=servers[newer], tcp=False) as source,
        running_cluster(bin_dir=servers[major], tcp=False) as into,
    ):
        torture.load(source.conninfo, "torture")
        with world(tmp_path, source.conninfo.argv_dsn(), databases=("torture",)) as w:
            opened = take(w)
            try:
                put_back(w, opened, into)
            except SourceError as error:
                told = [text for text, _ in w.recorder.warnings] + [error.message]
                assert any(
                    "older than the one backed up" in t or "cannot be restored into" in t for t in told
                )
            else:
                assert _differences(source, into) == ()


def _differences(a: Cluster, b: Cluster) -> tuple[str, ...]:
    with (
        connect(a.conninfo.with_database("torture"), application_name="test") as first,
        connect(b.conninfo.with_database("torture"), application_name="test") as second,
    ):
        return compare(digest(first), digest(second))
