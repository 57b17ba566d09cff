"""The rows of tables come out of a real archive whole, in chunks of any size, and of a damaged one not at all."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.model.errors import IntegrityError
from holdfast.postgres.archive import read_toc
from holdfast.postgres.copy_data import table_data
from holdfast.postgres.scratch import Cluster
from support.postgres import execute, new_database, run_tool, toolset
from support.streams import cut, cuttings

FILL = (
    "CREATE TABLE empty (a int)",
    "CREATE TABLE bare ()",
    "INSERT INTO bare DEFAULT VALUES",
    # Rows whose lengths have every kind of byte in them, 0 among them: 256, 65536, 1.
    "CREATE TABLE rows AS SELECT repeat('x', n) AS x FROM unnest('{0,1,9,254,255,256,257,65534,65535,65536}'::int[]) n",
    "CREATE TABLE small AS SELECT generate_series(1, 300) AS n",
    "SELECT lo_from_bytea(7, decode(repeat('00', 50) || '010001000000', 'hex'))",
)
LENGTHS = (0, 1, 9, 254, 255, 256, 257, 65534, 65535, 65536)
END = b"\\.\n\n\n"
EXPECTED = {
    "bare": b"\n" + END,
    "empty": END,
    "rows": b"".join(b"x" * length + b"\n" for length in LENGTHS) + END,
    "small": b"".join(b"%d\n" % n for n in range(1, 301)) + END,
}


@pytest.fixture(scope="module")
def dumps(cluster: Cluster) -> Iterator[Mapping[str, bytes]]:
    with new_database(cluster) as database:
        execute(database, *FILL)
        yield {
            level: run_tool(toolset(cluster), "pg_dump", database, "-Fc", f"--compress={level}")
            for level in ("0", "6")
        }


def rows(archive: bytes, chunks: Iterable[bytes]) -> dict[str, bytes]:
    """Give what stands in the archive for each table, decompressed."""
    tags = {
        entry.dump_id: entry.tag or "" for entry in read_toc([archive]).entries if entry.desc == "TABLE DATA"
    }
    found = {}
    for each in table_data(chunks):
        if each.dump_id in tags:
            whole = b"".join(each.chunks)
            assert each.copy.startswith(f"COPY public.{tags[each.dump_id]} ".encode())
            found[tags[each.dump_id]] = zlib.decompress(whole) if each.compression == "gzip" else whole
    return found


@pytest.mark.parametrize("level", ["0", "6"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.one_of(cuttings(5000), cuttings(100_000)))
def test_the_rows_of_each_table_are_those_that_pg_dump_wrote(
    dumps: Mapping[str, bytes], level: str, sizes: list[int]
) -> None:
    assert rows(dumps[level], cut(dumps[level], sizes)) == EXPECTED


def test_chunks_of_single_bytes_are_enough(dumps: Mapping[str, bytes]) -> None:
    assert rows(dumps["6"], cut(dumps["6"], [1])) == EXPECTED


def test_what_nobody_asks_for_is_passed_over(dumps: Mapping[str, bytes]) -> None:
    assert len(list(table_data([dumps["0"]]))) == len(EXPECTED) + 1


@pytest.mark.parametrize("level", ["0", "6"])
@pytest.mark.parametrize("missing", [1, 5, 100, 1000])
def test_an_archive_that_ends_too_early_is_refused(
    dumps: Mapping[str, bytes], level: str, missing: int
) -> None:
    with pytest.raises(IntegrityError, match="ends"):
        rows(dumps[level], [dumps[level][:-missing]])
