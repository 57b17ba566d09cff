"""The data blocks that are found in real archives are those that are there, and one is read alone out of a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from holdfast.jobs import reading
from holdfast.jobs.backup import backup
from holdfast.jobs.writing import Place
from holdfast.postgres.archive import TocReader, read_toc, watch
from holdfast.postgres.blocks import BlockFinder, watch_blocks
from holdfast.postgres.entries import Toc
from holdfast.postgres.scratch import Cluster
from holdfast.stores.base import Store
from holdfast.stores.local import LocalStore
from holdfast.stores.s3 import S3Store
from support import moto_server, torture
from support.frames import small_frames
from support.postgres import execute, run_tool, running_cluster, toolset
from support.streams import cut
from support.world import world

# What would be the end of a block of large objects, and a block of a table, if anybody took it for one.
_FAKE = "\\x" + (bytes(15) + b"\1\0\7\0\0\0" + bytes(5)).hex()
_MORE = (
    "CREATE TABLE large AS SELECT g AS id, repeat(md5(g::text), 8) AS text FROM generate_series(1, 20000) g",
    "CREATE TABLE small AS SELECT g AS id FROM generate_series(1, 7) g",
    f"SELECT lo_from_bytea(5000, '{_FAKE}'), lo_from_bytea(3000000000, repeat('{_FAKE}', 1)::bytea)",
)


@pytest.fixture(scope="module")
def tortured() -> Iterator[Cluster]:
    """Run a server with the nasty database, and more in it."""
    with running_cluster() as cluster:
        execute(torture.load(cluster.conninfo, "torture"), *_MORE)
        yield cluster


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with moto_server.moto_server() as url:
        yield url


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at + 1 : at + 5], "little")


def _behind_chunks(data: bytes, at: int) -> int:
    while length := _number(data, at):
        at += 5 + length
    return at + 5


def _blocks(data: bytes, toc: Toc) -> Mapping[int, tuple[int, int]]:
    """Walk through an archive in memory from length to length; tell where each block begins and ends."""
    found, at = {}, toc.end
    while at < len(data):
        start, at = at, at + 6
        if data[start] == 3:
            while _number(data, at):
                at = _behind_chunks(data, at + 5)
            at += 5
        else:
            at = _behind_chunks(data, at)
        found[_number(data, start + 1)] = (start, at)
    return found


@pytest.mark.parametrize("options", [("--compress=0",), ("--compress=0", "--inserts"), ("--compress=1",)])
@pytest.mark.sampled(1)
def test_every_block_of_a_real_archive_is_found(tortured: Cluster, options: tuple[str, ...]) -> None:
    where = tortured.conninfo.with_database("torture")
    data = run_tool(toolset(tortured), "pg_dump", where, "--format=custom", *options)
    toc = read_toc([data])
    truth = _blocks(data, toc)
    assert truth.keys() == {entry.dump_id for entry in toc.entries if entry.has_data}
    assert {"BLOBS", "TABLE DATA"} == {entry.desc for entry in toc.entries if entry.has_data}
    for size in (61, 4096, 1024 * 1024):
        reader = TocReader()
        finder = BlockFinder(reader)
        for _ in watch_blocks(watch(cut(data, [size]), reader), finder):
            pass
        assert finder.found == {dump_id: start for dump_id, (start, _) in truth.items()}


@pytest.mark.parametrize("kind", ["disk", "cloud"])
@pytest.mark.sampled(1)
def test_one_table_of_a_backup_is_read_without_the_rest(
    kind: str, tortured: Cluster, bucket: str, tmp_path: Path
) -> None:
    """Through everything that a backup passes: its rows, as they stand in the whole archive."""
    store: Store = (
        LocalStore("disk", tmp_path / "store")
        if kind == "disk"
        else S3Store(moto_server.settings(bucket, prefix="ranges"))
    )
    url = tortured.conninfo.argv_dsn()
    with world(tmp_path, url, stores={kind: store}, databases=("torture",)) as host, small_frames(65536):
        taken = backup(host.services, host.target, host.stop).backup
    place = Place(store=store, target=taken.target, backup_id=taken.id)
    (part,) = (each for each in taken.parts if each.role == "database")
    whole = b"".join(reading.plain_chunks(place, part, host.keys))
    toc = read_toc([whole])
    truth = _blocks(whole, toc)
    found = reading.ranged(place, part, host.keys)
    assert found is not None
    assert found.size == len(whole)
    assert found.blocks == {dump_id: start for dump_id, (start, _) in truth.items()}
    assert read_toc(found.read(0, found.size)) == toc
    small = next(entry for entry in toc.entries if (entry.desc, entry.tag) == ("TABLE DATA", "small"))
    start, end = truth[small.dump_id]
    rows = b"".join(found.read(found.blocks[small.dump_id], end))
    assert rows == whole[start:end]
    assert all(b"\0%d\n" % number in rows for number in range(1, 8))
