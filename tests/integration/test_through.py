"""A stream that passes through a program comes out whole, or its failure is told, and nobody waits for anybody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast.model.errors import CancelledError, IntegrityError
from holdfast.system.proc import Command, ProcessError
from holdfast.system.stop import Stop
from holdfast.system.through import through

_CAT = Command(argv=("/bin/cat",), env={})
_LOTS = [b"x" * 100_000] * 100


def test_all_comes_out() -> None:
    pieces: list[bytes] = []
    through(_CAT, _LOTS, Stop(), pieces.append)
    assert b"".join(pieces) == b"".join(_LOTS)


def test_a_program_that_fails_is_told() -> None:
    pieces: list[bytes] = []
    failing = Command(argv=("/bin/sh", "-c", "echo some; cat > /dev/null; echo why >&2; exit 3"), env={})
    with pytest.raises(ProcessError, match="why") as told:
        through(failing, _LOTS, Stop(), pieces.append)
    assert told.value.status == 3


def test_what_the_reader_raises_ends_the_program_and_is_raised() -> None:
    def take(_: bytes) -> None:
        raise IntegrityError("not what it should be")

    with pytest.raises(IntegrityError, match="not what it should be"):
        through(_CAT, _LOTS, Stop(), take)


def test_a_bug_of_the_reader_is_raised_as_it_is() -> None:
    def take(_: bytes) -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        through(_CAT, [b"x"], Stop(), take)
    with pytest.raises(KeyError):
        through(_CAT, _LOTS, Stop(), take)


def test_what_the_source_raises_is_raised() -> None:
    def source() -> Iterator[bytes]:
        yield b"x"
        raise IntegrityError("damaged")

    with pytest.raises(IntegrityError, match="damaged"):
        through(_CAT, source(), Stop(), lambda _: None)


def test_a_stop_ends_it() -> None:
    stop = Stop()

    def source() -> Iterator[bytes]:
        yield b"x"
        stop.request()
        yield b"x"

    with pytest.raises(CancelledError):
        through(_CAT, source(), stop, lambda _: None)
