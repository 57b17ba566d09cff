"""What a command writes to may lack a character, be full, or be closed: it does its work, and says what it can."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from support.world import argv, cli, environment


def test_what_cannot_be_encoded_is_escaped(tmp_path: Path) -> None:
    output = tmp_path / "w\u00f6rld.toml"
    done = cli("init", "-o", output, "--store", "/x", env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, output.exists()) == (0, True), done.stderr
    assert "w\\xf6rld.toml" in done.stdout


@pytest.mark.parametrize("streams", [">&- 2>&- <&-", "<&-", "2>&-", "2>/dev/full"])
@pytest.mark.sampled(2)
def test_closed_or_full_streams_fail_no_command(tmp_path: Path, streams: str) -> None:
    command = shlex.join(argv("init", "-o", tmp_path / "made.toml", "--store", "/x"))
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} {streams}"], env=environment(), capture_output=True, check=False
    )
    assert (done.returncode, b"Traceback" in done.stdout + done.stderr) == (0, False), done
    assert (tmp_path / "made.toml").exists()


def test_a_file_that_is_opened_later_is_not_taken_for_a_stream_that_was_closed(tmp_path: Path) -> None:
    script = (
        "import os\n"
        "from holdfast.system import stdio\n"
        "stdio.hold()\n"
        f"assert open({str(tmp_path / 'object')!r}, 'w').fileno() > 2\n"
        "os.write(2, b'a child complains')\n"
        "import sys; assert not sys.stderr.isatty() and not sys.stdin.isatty()\n"
    )
    command = f"{shlex.join([sys.executable, '-c', script])} <&- >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", command], env=environment(), check=False).returncode == 0
    assert (tmp_path / "object").read_bytes() == b""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("init", "-o", "made.toml", "--store", "/x"), 1, "cannot write the output: No space left on device"),
        (("--help",), 1, "holdfast: cannot write the output: No space left on device"),
        (("nosuch",), 2, ""),
    ],
)
def test_a_full_disk_for_the_output_is_said_and_no_bug(
    tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    stream = ">" if said else "2>"
    command = f"{shlex.join(argv(*words))} {stream}/dev/full"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done
    assert said in done.stderr
    assert (tmp_path / "made.toml").exists() == ("made.toml" in words)
