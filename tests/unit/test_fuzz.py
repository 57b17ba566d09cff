"""Whatever bytes lie where we read, they are read or refused by an error that says so; nothing crashes, and nothing hangs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.fuzz import BY_NAME, READERS, Reader
from support.mutations import anything, nearly

SECONDS = 5.0  # far more than any of them takes, on a busy machine too


def tried(reader: Reader, bytes_of: st.SearchStrategy[bytes], count: int) -> None:
    """Let a reader take so many of these bytes, each in a moment."""

    @settings(max_examples=max(count // reader.cost, 2), database=None)
    @given(data=bytes_of)
    def take(data: bytes) -> None:
        begun = time.thread_time()
        reader.take(data)
        assert time.thread_time() - begun < SECONDS

    take()


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_what_is_right_is_read(reader: Reader) -> None:
    for sample in reader.samples():
        reader.read(sample)


@pytest.mark.fault("fuzz")
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_any_bytes_are_read_or_refused(reader: Reader) -> None:
    tried(reader, anything(reader.samples()), 10)


@pytest.mark.fault("fuzz")
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_what_is_nearly_right_is_read_or_refused(reader: Reader) -> None:
    tried(reader, nearly(reader.samples()), 25)


@pytest.mark.fault("fuzz")
@pytest.mark.extended
@pytest.mark.timeout(900)
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_thousands_of_bytes_are_read_or_refused(reader: Reader) -> None:
    tried(reader, anything(reader.samples()), 1000)
    tried(reader, nearly(reader.samples()), 3000)


@pytest.mark.fault("fuzz")
@pytest.mark.extended
@pytest.mark.parametrize("name", BY_NAME)
def test_a_fuzzer_that_looks_where_bytes_lead_finds_nothing(name: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="there is no atheris for this machine")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    argv = [sys.executable, "-m", "support.fuzz_atheris", name, "12", str(tmp_path)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-4000:]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []
