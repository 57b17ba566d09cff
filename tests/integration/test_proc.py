"""Real children: the end of a stream is a promise of completeness, and no child outlives its owner."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.model.errors import CancelledError, IntegrityError, SourceError
from holdfast.system.proc import STDERR_BYTES, Command, ProcessError, feed, output_of, stdout_of
from holdfast.system.stop import Stop

MIB = 1024 * 1024


def sh(script: str, *arguments: str) -> Command:
    return Command(argv=("/bin/sh", "-c", script, "sh", *arguments), env={"PATH": os.defpath})


def python(script: str, *arguments: str) -> Command:
    return Command(argv=(sys.executable, "-c", script, *arguments), env={"PATH": os.defpath})


def lives(pid: int) -> bool:
    """Whether the process runs; one that is dead but not yet reaped by its parent does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def requested_after(seconds: float, stop: Stop, error: SourceError | None = None) -> threading.Timer:
    timer = threading.Timer(seconds, stop.request, [error])
    timer.start()
    return timer


def pid_in(path: Path) -> int:
    assert eventually(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


# stdout_of


def test_what_a_program_prints_bit_by_bit_comes_in_larger_pieces() -> None:
    drip = "import os, time\nfor _ in range(400): os.write(1, b'x' * 1000); time.sleep(0.0001)"
    chunks = list(stdout_of(python(drip), Stop()))
    assert sum(map(len, chunks)) == 400_000
    assert len(chunks) < 300


def test_all_output_is_given_when_the_child_exits_0() -> None:
    chunks = list(stdout_of(sh("head -c 5000000 /dev/zero"), Stop()))
    assert sum(map(len, chunks)) == 5_000_000
    assert set(b"".join(chunks)) == {0}


@pytest.mark.skipif(not hasattr(fcntl, "F_GETPIPE_SZ"), reason="only Linux tells how much a pipe holds")
def test_a_child_can_run_ahead_by_a_whole_read() -> None:
    script = (
        "import fcntl, time; size = lambda: fcntl.fcntl(1, fcntl.F_GETPIPE_SZ)\n"
        "end = time.monotonic() + 10\n"
        "while size() < 1048576 and time.monotonic() < end: time.sleep(0.01)\n"
        "print(size())"
    )
    assert b"".join(stdout_of(python(script), Stop())) == b"1048576\n"


def test_a_child_without_output_that_exits_0_ends_normally() -> None:
    assert list(stdout_of(sh("true"), Stop())) == []


@pytest.mark.fault("child")
def test_output_before_a_failure_does_not_end_normally() -> None:
    received: list[bytes] = []
    with pytest.raises(ProcessError, match=r"sh exited with status 3: no such table$") as caught:
        received.extend(stdout_of(sh("printf half; echo no such table >&2; exit 3"), Stop()))
    assert b"".join(received) == b"half"
    assert (caught.value.status, caught.value.stderr) == (3, "no such table\n")


def test_a_child_that_fails_without_a_word_still_fails() -> None:
    with pytest.raises(ProcessError, match=r"sh exited with status 1$"):
        list(stdout_of(sh("exit 1"), Stop()))


@pytest.mark.fault("child")
def test_a_child_killed_by_a_signal_is_a_failure_that_names_it() -> None:
    with pytest.raises(ProcessError, match=r"sh was killed by SIGTERM$") as caught:
        list(stdout_of(sh("printf half; kill -TERM $$"), Stop()))
    assert caught.value.status == -signal.SIGTERM


def test_a_child_that_closes_its_output_and_fails_later_is_a_failure() -> None:
    with pytest.raises(ProcessError, match="status 4"):
        list(stdout_of(sh("printf all; exec >&-; sleep 0.2; exit 4"), Stop()))


def test_a_program_that_is_not_there_is_a_source_error() -> None:
    with pytest.raises(SourceError, match=r"cannot start /no/such/pg_dump: No such file"):
        list(stdout_of(Command(argv=("/no/such/pg_dump",)), Stop()))


def test_a_stop_ends_a_blocked_read_with_its_reason() -> None:
    stop = Stop()
    timer = requested_after(0.2, stop, SourceError("others wait for our locks"))
    begun = time.monotonic()
    with pytest.raises(SourceError, match="others wait"):
        list(stdout_of(sh("printf half; sleep 60"), stop))
    assert time.monotonic() - begun < 10
    timer.join()


def test_a_stop_requested_before_starts_nothing(tmp_path: Path) -> None:
    stop = Stop()
    stop.request()
    with pytest.raises(CancelledError):
        list(stdout_of(sh('touch "$1"', str(tmp_path / "started")), stop))
    assert not (tmp_path / "started").exists()


def test_closing_the_stream_early_kills_the_whole_group(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    stream = stdout_of(sh('sleep 60 & echo $! > "$1"; cat /dev/zero', str(note)), Stop())
    assert isinstance(stream, Iterator)
    next(stream)
    grandchild = pid_in(note)
    assert lives(grandchild)
    stream.close()  # type: ignore[attr-defined]
    assert eventually(lambda: not lives(grandchild))


def test_an_error_of_the_consumer_kills_the_child(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    command = sh('echo $$ > "$1"; exec cat /dev/zero', str(note))

    def consume() -> None:
        for _ in stdout_of(command, Stop()):
            raise IntegrityError("the store broke")

    with pytest.raises(IntegrityError, match="store broke"):
        consume()
    assert eventually(lambda: not lives(pid_in(note)))


@pytest.mark.extended
def test_a_flood_on_stderr_neither_blocks_nor_fills_memory() -> None:
    script = "yes xxxx | head -c 20000000 >&2; echo the end >&2; printf data; exit 5"
    begun = time.monotonic()
    with pytest.raises(ProcessError, match="the end") as caught:
        list(stdout_of(sh(script), Stop()))
    assert len(caught.value.stderr) == STDERR_BYTES
    assert caught.value.stderr.endswith("x\nthe end\n")
    assert time.monotonic() - begun < 10


def test_a_long_line_on_stderr_is_cut_and_what_stands_before_it_stays() -> None:
    script = 'echo the cause; head -c 20000000 /dev/zero | tr "\\0" x; printf "\\nthe end"; exit 5'
    begun = time.monotonic()
    with pytest.raises(ProcessError) as caught:
        list(stdout_of(sh(f"{{ {script}; }} >&2"), Stop()))
    first, long, last = caught.value.stderr.split("\n")
    assert (first, long[:50], long[-3:], last) == ("the cause", "x" * 50, "x …", "the end")
    assert len(long) < STDERR_BYTES / 8
    assert time.monotonic() - begun < 10


def test_every_line_of_stderr_is_told_before_the_end() -> None:
    lines: list[str] = []
    script = "seq -f 'warning %.0f' 1 20000 >&2; printf data; printf 'last \\377' >&2"
    assert b"".join(stdout_of(sh(script), Stop(), on_line=lines.append)) == b"data"
    assert lines == [*(f"warning {number}" for number in range(1, 20001)), "last \N{REPLACEMENT CHARACTER}"]


def test_the_environment_is_only_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "secret")
    command = Command(argv=("/usr/bin/env",), env={"PGHOST": "db1"})
    assert b"".join(stdout_of(command, Stop())) == b"PGHOST=db1\n"
    assert "db1" not in repr(command)


# feed


def test_a_child_gets_every_byte_and_an_end(tmp_path: Path) -> None:
    out = tmp_path / "out"
    feed(sh('cat > "$1"', str(out)), (bytes([number]) * MIB for number in range(5)), Stop())
    assert out.read_bytes() == b"".join(bytes([number]) * MIB for number in range(5))


def test_the_output_of_a_fed_child_goes_where_it_is_told(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        feed(sh("tr a-z A-Z"), [b"shop"], Stop(), stdout=out.fileno())
    assert (tmp_path / "out").read_bytes() == b"SHOP"


def test_a_fed_child_that_fails_is_a_failure_with_its_words() -> None:
    with pytest.raises(ProcessError, match=r"sh exited with status 1: relation exists$"):
        feed(sh("cat > /dev/null; echo relation exists >&2; exit 1"), [b"data"], Stop())


def test_a_source_is_not_pulled_on_for_a_child_that_failed() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(MIB)

    with pytest.raises(ProcessError, match="status 7"):
        feed(sh("exit 7"), endless(), Stop())


def test_a_child_that_stops_reading_early_has_its_source_drained() -> None:
    pulled: list[int] = []

    def source() -> Iterator[bytes]:
        for number in range(20):
            pulled.append(number)
            yield bytes(MIB)

    feed(sh("head -c 10 > /dev/null"), source(), Stop())
    assert pulled == list(range(20))


def test_a_source_that_finds_damage_after_an_early_end_of_the_child_has_its_say() -> None:
    def source() -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(MIB)
        raise IntegrityError("the last chunk does not authenticate")

    with pytest.raises(IntegrityError, match="does not authenticate"):
        feed(sh("head -c 10 > /dev/null"), source(), Stop())


def test_a_child_never_sees_the_end_of_a_source_that_raised(tmp_path: Path) -> None:
    note, ended = tmp_path / "pid", tmp_path / "ended"

    def source() -> Iterator[bytes]:
        yield b"half\n"
        pid_in(note)
        raise IntegrityError("the second half does not authenticate")

    command = sh('read line; echo $$ > "$1"; cat > /dev/null; echo done > "$2"', str(note), str(ended))
    with pytest.raises(IntegrityError, match="second half"):
        feed(command, source(), Stop())
    assert eventually(lambda: not lives(pid_in(note)))
    time.sleep(0.1)
    assert not ended.exists()


def test_a_stop_ends_a_blocked_write_with_its_reason() -> None:
    stop = Stop()
    timer = requested_after(0.2, stop)
    begun = time.monotonic()
    with pytest.raises(CancelledError):
        feed(sh("exec sleep 60"), (bytes(MIB) for _ in range(10)), stop)
    assert time.monotonic() - begun < 10
    timer.join()


def test_a_stop_ends_the_wait_for_a_child_that_has_all_its_input() -> None:
    stop = Stop()
    timer = requested_after(0.2, stop)
    begun = time.monotonic()
    with pytest.raises(CancelledError):
        feed(sh("cat > /dev/null; exec sleep 60"), [b"all"], stop)
    assert time.monotonic() - begun < 10
    timer.join()


def test_two_children_can_be_joined() -> None:
    script = (
        "import sys, hashlib; sys.exit(hashlib.sha256(sys.stdin.buffer.read()).hexdigest() != sys.argv[1])"
    )
    digest = "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58"  # 1 MiB of zeros
    stop = Stop()
    feed(python(script, digest), stdout_of(sh("head -c 1048576 /dev/zero"), stop), stop)
    with pytest.raises(ProcessError, match="status 3"):
        feed(python(script, digest), stdout_of(sh("head -c 1048576 /dev/zero; exit 3"), stop), stop)


# output_of


def test_a_short_program_gives_all_it_prints() -> None:
    assert output_of(sh("cat; echo noise >&2"), Stop(), stdin=b"x" * MIB) == b"x" * MIB


def test_a_short_program_that_fails_is_a_failure() -> None:
    with pytest.raises(ProcessError, match="status 2: usage"):
        output_of(sh("echo half; echo usage >&2; exit 2"), Stop())


def test_a_short_program_that_hangs_is_ended(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    begun = time.monotonic()
    with pytest.raises(SourceError, match=r"sh did not end within 0.5 s"):
        output_of(sh('sleep 60 & echo $! > "$1"; wait', str(note)), Stop(), seconds=0.5)
    assert time.monotonic() - begun < 10
    assert eventually(lambda: not lives(pid_in(note)))


@pytest.mark.parametrize("delay", [0, 0.2])
def test_a_stop_ends_a_short_program_with_its_own_reason(delay: float) -> None:
    stop = Stop()
    reason = SourceError("the lock session was lost")
    if delay:
        requested_after(delay, stop, reason)
    else:
        stop.request(reason)
    with pytest.raises(SourceError, match="lock session"):
        output_of(sh("exec sleep 60"), stop)


def test_no_child_or_descriptor_is_left_behind() -> None:
    def ours() -> tuple[int, str]:
        own = os.getpid()
        children = Path(f"/proc/{own}/task/{own}/children").read_text()
        return len(list(Path("/proc/self/fd").iterdir())), children

    before = ours()
    for _ in range(10):
        list(stdout_of(sh("printf x"), Stop()))
        feed(sh("cat > /dev/null"), [b"x"], Stop())
        with pytest.raises(ProcessError):
            output_of(sh("exit 1"), Stop())
    assert ours() == before
