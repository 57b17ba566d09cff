"""The benchmark runs, at a size that proves nothing but that; and what it measures with does not flatter."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.measure import FailedError, Measured, run, seconds_to_first_byte, stored_bytes
from bench.report import Result, table
from bench.sink import Handler
from holdfast.stores.base import read_all
from holdfast.stores.s3 import S3Settings, S3Store

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024


def shell(script: str) -> tuple[str, ...]:
    return ("bash", "-c", script)


@pytest.fixture
def store() -> Iterator[S3Store]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield S3Store(
            S3Settings(
                name="sink",
                bucket="bench",
                endpoint_url=f"http://127.0.0.1:{server.server_port}",
                region="us-east-1",
                path_style=True,
                access_key_id="bench",
                secret_access_key="bench",
                part_bytes=5 * MIB,
            )
        )
        server.shutdown()
        thread.join()


@pytest.mark.extended
def test_the_benchmark_of_comparing_prints_a_row_for_each_database() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.compare", "--size", "1MB"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("| ")]
    assert rows == ["case", "shop", "narrow", "wide"]
    assert "'same': False" not in done.stderr


@pytest.mark.extended
def test_the_benchmark_prints_a_row_for_each_contender() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.bench", "--size", "1MB", "--rounds", "1", "--only", "holdfast"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [row.count("|") for row in rows] == [8] * 12
    assert "| 1.00 | 1.00 to 1.00 |" in rows[1]
    assert sum("Holdfast" in row for row in rows) == 7
    assert "Time to the first byte" in done.stdout
    assert "CPU to judge 100,000 backups: " in done.stdout


def test_a_contender_that_fails_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match="no such luck"):
        run(shell("echo no such luck >&2; exit 3"), cwd=tmp_path, env=os.environ)


def test_a_run_counts_the_work_and_the_memory_of_all_its_processes(tmp_path: Path) -> None:
    script = f"{sys.executable} -c 'import time; x = bytearray(64 * 2**20); sum(range(10**7)); time.sleep(0.2)'; true"
    found = run(shell(script), cwd=tmp_path, env=os.environ)
    assert found.cpu > 0.05
    assert found.seconds > 0.2
    assert 64 * MIB < found.memory < 200 * MIB


def test_a_process_that_has_just_forked_is_not_counted_twice(tmp_path: Path) -> None:
    script = "import os, time; x = bytearray(64 * 2**20); os.fork(); time.sleep(0.5)"
    found = run((sys.executable, "-c", script), cwd=tmp_path, env=os.environ)
    assert 64 * MIB < found.memory < 120 * MIB


def test_the_first_byte_is_not_the_first_empty_file(tmp_path: Path) -> None:
    script = "mkdir store; touch store/empty; sleep 0.3; echo x > store/full; sleep 0.3"
    assert (
        0.3
        <= seconds_to_first_byte(shell(script), tmp_path / "store", cwd=tmp_path, env=os.environ)
        < 0.6 + 30
    )
    assert stored_bytes(tmp_path / "store") == 2


def test_a_backup_without_a_byte_in_the_store_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(FailedError):
        seconds_to_first_byte(shell("true"), tmp_path / "store", cwd=tmp_path, env=os.environ)


@pytest.mark.parametrize("size", [0, 10, 12 * MIB])
def test_the_forgetful_store_vouches_as_a_real_one_does(store: S3Store, size: int) -> None:
    assert store.put("a/b", [b"x" * size], absent=True)
    found = store.stat("a/b")
    assert found is not None
    assert found.size == size
    assert [each.key for each in store.list("a/")] == ["a/b"]
    if size < MIB:
        assert read_all(store, "a/b") == b"x" * size
    store.delete("a/b")
    assert store.stat("a/b") is None


def test_the_table_gives_medians_and_the_span() -> None:
    runs = [Measured(seconds=seconds, cpu=1.5, memory=80_000_000) for seconds in (2.0, 9.0, 3.0)]
    text = table([Result(name="x", runs=runs, ratios=(1.1, 3.0, 1.2), stored=5_000_000)])
    assert text.splitlines()[-1] == "| x | 1.20 | 1.10 to 3.00 | 3.0 | 1.5 | 5 | 80 |"
