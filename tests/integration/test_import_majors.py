"""Dumps of every pg_dump that can be found, in every format, are imported and restored into every later major.

TEST_POSTGRES_BINS names the directories of further programs, joined by colons; clients and servers may lie apart.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.jobs.find import open_best
from holdfast.jobs.importing import import_dumps
from holdfast.postgres import tools
from holdfast.postgres.compare import Digest, compare, digest
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.server import connect
from support import scripts, torture
from support.postgres import run_tool, running_cluster
from support.restoring import drop, put_back
from support.world import world

pytestmark = pytest.mark.extended

_PLACES = [Path(text) for text in os.environ.get("TEST_POSTGRES_BINS", "").split(":") if text]
_FORMATS = {"custom": ("-Fc",), "tar": ("-Ft",), "plain": ("--create",), "inserts": ("--inserts",)}


def _clients() -> dict[int, tools.Toolset]:
    return {each.major: each for each in reversed(tools.find_toolsets(_PLACES))}


def _servers() -> dict[int, Path]:
    return {each.major: each.bin_dir for each in reversed(tools.find_servers(_PLACES))}


@pytest.fixture(autouse=True)
def _findable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", ":".join([*map(str, _PLACES), os.environ["PATH"]]))


def _pairs() -> Iterator[tuple[int, int]]:
    """Give each client with each server that it can dump."""
    return (
        (client, server) for client in sorted(_clients()) for server in sorted(_servers()) if server <= client
    )


@pytest.mark.parametrize(("client", "server"), list(_pairs()))
def test_what_another_pg_dump_wrote_restores(client: int, server: int, tmp_path: Path) -> None:
    servers, clients = _servers(), _clients()
    folder = tmp_path / "dumps"
    folder.mkdir()
    with running_cluster(bin_dir=servers[server], tcp=False) as source:
        database = torture.load(source.conninfo, "torture")
        for day, (name, options) in enumerate(_FORMATS.items(), start=1):
            dumped = run_tool(clients[client], "pg_dump", database, *options)
            (folder / f"{name}_2026010{day}.dump").write_bytes(dumped)
        (folder / "globals_20260105.dump").write_bytes(
            run_tool(clients[client], "pg_dumpall", source.conninfo, "--globals-only")
        )
        expected = _digest(database)
    later = [each for each in servers if each >= max(server, 17 if client >= 17 else 0)]
    with world(tmp_path, source.conninfo.argv_dsn(), databases=("torture",)) as host:
        report = import_dumps(host.services, host.target, scripts.wish(folder, "*_%Y%m%d.dump"), host.stop)
        assert report.count("imported") == len(_FORMATS) + 1, report
        rows = sorted(host.services.ledger.backups(), key=lambda row: row.backup.started_at)
        for major in {min(later), max(later)}:
            with running_cluster(bin_dir=servers[major], tcp=False) as into:
                put_back(host, open_best(host.services, rows[-1]), into)
                for row in rows[:-1]:
                    put_back(host, open_best(host.services, row), into)
                    found = _digest(into.conninfo.with_database("torture"))
                    assert compare(expected, found) == (), f"{row.backup.parts[0].format} into {major}"
                    drop(into, "torture")


def _digest(where: Conninfo) -> Digest:
    with connect(where, application_name="test") as connection:
        return digest(connection)
