from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.methods.staging import staged
from holdfast.model.errors import ConfigError
from holdfast.postgres.archive import read_toc
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.system import spool
from support.postgres import execute, new_database, run_tool, toolset


@pytest.fixture(scope="module")
def archive(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give an archive that pg_dump wrote into a file, in which the place of each block stands."""
    path = tmp_path_factory.mktemp("dump") / "archive"
    with new_database(cluster, "staged") as database:
        _fill(database)
        run_tool(toolset(cluster), "pg_dump", database, "--format=custom", "--compress=0", f"--file={path}")
    return path.read_bytes()


def _fill(database: Conninfo) -> None:
    execute(
        database,
        "CREATE TABLE big AS SELECT n, md5(n::text) AS text FROM generate_series(1, 30000) n",
        "CREATE TABLE none (x int)",
        "CREATE TABLE small AS SELECT 1 AS x",
        "SELECT lo_from_bytea(0, decode(repeat('00', 70000), 'hex'))",
    )


def test_the_places_of_the_blocks_are_those_that_pg_dump_writes_into_a_file(
    archive: bytes, tmp_path: Path
) -> None:
    piped = bytearray(archive)
    toc = read_toc([archive])
    width = toc.header.offset_size
    for entry in toc.entries:
        if entry.has_data:
            assert piped[entry.end - width - 1] == 2
            piped[entry.end - width - 1 : entry.end] = b"\x01" + bytes(width)
    assert len([entry for entry in toc.entries if entry.has_data]) == 4

    known = {
        entry.dump_id: int.from_bytes(archive[entry.end - width : entry.end], "little")
        for entry in toc.entries
    }
    for blocks in (None, {dump_id: start for dump_id, start in known.items() if start}):
        chunks = (bytes(piped[at : at + 1000]) for at in range(0, len(piped), 1000))
        with staged(chunks, tmp_path, size=len(piped), blocks=blocks) as there:
            assert Path(spool.path(there.handle)).read_bytes() == archive


def test_what_is_no_archive_known_here_is_staged_as_it_is(tmp_path: Path) -> None:
    with staged(iter([b"PGDMP\x01\x63\x00", b"of another time"]), tmp_path, size=23) as there:
        assert Path(spool.path(there.handle)).read_bytes() == b"PGDMP\x01\x63\x00of another time"


def test_nothing_is_pulled_when_there_is_no_room(tmp_path: Path) -> None:
    pulled = []

    def chunks() -> Iterator[bytes]:
        pulled.append(1)
        yield b""

    with pytest.raises(ConfigError, match="bytes free"), staged(chunks(), tmp_path, size=10**15):
        pass
    assert pulled == []
    assert list(tmp_path.iterdir()) == []
