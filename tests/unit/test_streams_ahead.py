from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.streams.ahead import ahead


def pullers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


@given(st.lists(st.binary(max_size=20), max_size=30), st.integers(min_value=1, max_value=5))
def test_the_chunks_come_as_they_were_and_in_their_order(chunks: list[bytes], pieces: int) -> None:
    assert list(ahead(chunks, pieces=pieces)) == chunks
    assert pullers() == []


def test_an_error_of_the_source_comes_after_what_came_before_it() -> None:
    def failing() -> Iterator[bytes]:
        yield b"a"
        yield b"b"
        raise ValueError("no more")

    chunks = ahead(failing())
    assert [next(chunks), next(chunks)] == [b"a", b"b"]
    with pytest.raises(ValueError, match="no more"):
        next(chunks)
    assert pullers() == []


def test_the_source_is_pulled_before_anybody_asks_and_not_without_end() -> None:
    pulled: list[int] = []
    enough = threading.Event()

    def endless() -> Iterator[bytes]:
        while True:
            pulled.append(1)
            if len(pulled) == 5:
                enough.set()
            yield b"x"

    chunks = ahead(endless(), pieces=3)
    assert next(chunks) == b"x"
    assert enough.wait(10)  # one given, three held, one that waits for room
    assert len(pulled) == 5
    chunks.close()
    assert pullers() == []
