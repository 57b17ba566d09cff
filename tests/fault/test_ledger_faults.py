"""What the ledger does with damaged files, other processes, bad disks and sudden death."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import holdfast
from holdfast.ledger import Ledger, database
from holdfast.model.errors import LedgerError
from holdfast.model.run import Run
from support import ledger_child
from support.ledger_host import BACKUPS, LOSS, RUNS, Host, good_of
from support.model_values import NOW
from support.oracle import Good
from support.yard import Yard, yard

CHILD = [sys.executable, ledger_child.__file__]
ENVIRONMENT = {
    "PYTHONPATH": f"{Path(holdfast.__file__).parents[1]}:{Path(ledger_child.__file__).parents[1]}",
    "PATH": os.environ.get("PATH", os.defpath),
}


def child(action: str, path: Path, *, prefix: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run one action to its end."""
    argv = [*(prefix or []), *CHILD, action, str(path)]
    return subprocess.run(argv, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def running(action: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    argv = [*CHILD, action, str(path)]
    with subprocess.Popen(
        argv, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with yard(tmp_path_factory.mktemp("host")) as made:
        made.take(BACKUPS)
        yield made


@pytest.fixture(scope="module")
def good(place: Yard) -> Good:
    return good_of(place)


@pytest.fixture
def host(place: Yard, good: Good, tmp_path: Path) -> Host:
    return Host(path=tmp_path / "ledger.sqlite", place=place, good=good)


def assert_replaced(host: Host, damaged: bytes) -> None:
    """The file is set aside for a new one, which says so, and learns again what is in the store."""
    with Ledger.open(host.path, now=NOW + timedelta(hours=1)) as ledger:
        assert ledger.opened == "replaced"
        assert ledger.set_aside == host.path.with_name(f"{host.path.name}.corrupt-20261122T030000Z")
        assert ledger.set_aside.read_bytes() == damaged
        assert (ledger.backups(), ledger.runs()) == ([], [])
    with Ledger.open(host.path, now=NOW) as ledger:
        assert (ledger.opened, ledger.set_aside) == ("existing", None)
    with host.asked() as oracle:
        oracle.shows(LOSS, (NOW + timedelta(hours=1)).timestamp(), reason="damaged")
        oracle.noted("the ledger was damaged", f"{host.path.name}.corrupt-20261122T030000Z")


@pytest.mark.fault("ledger.corrupt")
@pytest.mark.parametrize(
    "length",
    [0, 4097, 20000, *(pytest.param(n, marks=pytest.mark.extended) for n in (1, 99, 100, 1024, 4096, 40960))],
)
def test_a_truncated_ledger_is_set_aside(host: Host, length: int) -> None:
    host.fill()
    assert host.path.stat().st_size > 40960
    os.truncate(host.path, length)
    assert_replaced(host, host.path.read_bytes())


@pytest.mark.fault("ledger.corrupt")
@pytest.mark.parametrize("kind", ["zeros", "noise", "text"])
def test_a_file_that_is_no_database_any_more_is_set_aside(host: Host, kind: str) -> None:
    host.fill()
    size = host.path.stat().st_size
    garbage = {"zeros": bytes(size), "noise": random.Random(1).randbytes(size), "text": b"lost+found\n" * 100}
    host.path.write_bytes(garbage[kind])
    assert_replaced(host, garbage[kind])


def test_an_empty_database_is_not_taken_for_a_ledger(host: Host) -> None:
    connection = sqlite3.connect(host.path)
    connection.execute("VACUUM")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    assert_replaced(host, host.path.read_bytes())


@pytest.mark.fault("ledger.corrupt")
@pytest.mark.extended
def test_any_overwritten_page_is_noticed_or_harmless(host: Host) -> None:
    path = host.path
    host.fill()
    whole = path.read_bytes()
    pages = len(whole) // 4096
    noticed = 0
    for page in range(pages):
        data = bytearray(whole)
        data[page * 4096 : (page + 1) * 4096] = random.Random(page).randbytes(4096)
        path.write_bytes(data)
        with Ledger.open(path, now=NOW) as ledger:
            if found := NOW.timestamp() if ledger.opened == "replaced" else 0.0:
                noticed += 1
                assert ledger.set_aside is not None
                ledger.set_aside.unlink()
            else:
                assert len(ledger.runs()) == RUNS
        with host.asked() as oracle:
            oracle.shows(LOSS, found, reason="damaged")
    assert noticed >= pages - 2


def test_a_second_damage_at_the_same_time_gets_a_name_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    asides = []
    for _ in range(3):
        path.write_bytes(b"not a database, whatever its name says" * 10)
        with Ledger.open(path, now=NOW) as ledger:
            asides.append(ledger.set_aside)
    stem = "ledger.sqlite.corrupt-20261122T020000Z"
    assert asides == [tmp_path / stem, tmp_path / f"{stem}-2", tmp_path / f"{stem}-3"]


def test_the_log_of_a_damaged_ledger_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with running("write", path) as writer:
        assert writer.stdout is not None
        while int(writer.stdout.readline()) < 20:
            pass
    log = path.with_name("ledger.sqlite-wal").read_bytes()
    assert log
    os.truncate(path, 0)
    with Ledger.open(path, now=NOW) as ledger:
        assert ledger.opened == "replaced"
        assert ledger.runs() == []
        assert ledger.set_aside is not None
        assert ledger.set_aside.with_name(f"{ledger.set_aside.name}-wal").read_bytes() == log


def test_a_log_without_its_ledger_is_not_replayed_into_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with running("write", path) as writer:
        assert writer.stdout is not None
        while int(writer.stdout.readline()) < 20:
            pass
    path.unlink()
    assert path.with_name("ledger.sqlite-wal").stat().st_size > 0
    with Ledger.open(path, now=NOW) as ledger:
        assert (ledger.opened, ledger.set_aside) == ("created", None)
        assert ledger.runs() == []
        assert ledger.begin(Run(job="backup", target="shop", started_at=NOW)).id == 1


@pytest.mark.fault("ledger.corrupt")
@pytest.mark.parametrize("replaced", [False, True])
def test_a_ledger_deleted_under_us_is_said_and_not_written_into_nowhere(
    host: Host, *, replaced: bool
) -> None:
    path = host.path
    with Ledger.open(path, now=NOW) as ledger:
        path.unlink()
        if replaced:
            with Ledger.open(path, now=NOW):
                pass
        with pytest.raises(LedgerError, match="deleted or replaced") as caught:
            ledger.begin(Run(job="backup", target="shop", started_at=NOW))
        assert caught.value.hint
        with pytest.raises(LedgerError, match="deleted or replaced"):
            ledger.backups()
    host.told(caught.value)


def test_a_ledger_that_breaks_while_open_is_said(host: Host) -> None:
    path = host.path
    host.fill()
    with Ledger.open(path, now=NOW) as ledger:
        os.truncate(path, 8192)
        with pytest.raises(LedgerError, match=r"damaged|disk failed") as caught:
            ledger.backups()
        assert caught.value.hint
    host.told(caught.value)


@pytest.mark.fault("ledger.locked")
def test_a_locked_ledger_is_readable_and_a_write_gives_up_in_time(host: Host) -> None:
    path = host.path
    host.fill()
    with running("hold", path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with Ledger.open(path, now=NOW, busy_timeout=0.3) as ledger:
            assert len(ledger.backups()) == BACKUPS
            begun = time.monotonic()
            with pytest.raises(LedgerError, match="locked by another process") as caught:
                ledger.meta_set("a", "b")
            assert 0.2 < time.monotonic() - begun < 10
            assert str(path) in (caught.value.hint or "")
            holder.kill()
            holder.wait()
            ledger.meta_set("a", "b")
            assert ledger.meta_get("a") == "b"
    host.told(caught.value)


def test_a_write_waits_for_a_short_lock(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path, now=NOW, busy_timeout=20) as ledger, running("hold", path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with ThreadPoolExecutor(1) as pool:
            write = pool.submit(ledger.meta_set, "a", "b")
            time.sleep(0.3)
            assert not write.done()
            assert holder.stdin is not None
            holder.stdin.close()
            write.result(timeout=20)
        assert ledger.meta_get("a") == "b"


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.sampled(1)
def test_processes_that_make_a_ledger_together_share_one(tmp_path: Path, *, damaged: bool) -> None:
    path = tmp_path / "ledger.sqlite"
    if damaged:
        path.write_bytes(bytes(8192))
    argv = [*CHILD, "touch", str(path)]
    processes = [
        subprocess.Popen(argv, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    printed = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    assert sorted(printed) == sorted(["existing"] * 3 + ["replaced" if damaged else "created"])
    assert len(list(tmp_path.glob("*.corrupt-*"))) == (1 if damaged else 0)


@pytest.mark.fault("kill.ledger")
@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.extended) for n in (1, 2))])
def test_nothing_that_was_committed_is_lost_by_a_kill(host: Host, seed: int) -> None:
    path = host.path
    with running("write", path) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(random.Random(seed).uniform(0, 0.3))
        writer.send_signal(signal.SIGKILL)
        said = [1, *map(int, writer.stdout.read().split("\n")[:-1])]
    with Ledger.open(path, now=NOW) as ledger:
        assert ledger.opened == "existing"
        runs = ledger.runs(limit=-1)[::-1]
        assert [run.bytes_done for run in runs] == list(range(1, len(runs) + 1))
        assert said[-1] <= len(runs) <= said[-1] + 1
        assert {run.status for run in runs[: said[-1]]} == {"succeeded"}
    with host.asked() as oracle:
        oracle.visible("backup", "lost" if runs[-1].status == "running" else "succeeded")


@pytest.mark.fault("ledger.newer")
def test_a_newer_ledger_is_refused_and_left_alone(host: Host) -> None:
    path = host.path
    host.fill()
    newest = database.migrations()[-1][0]
    numbered(path, 99)
    with pytest.raises(
        LedgerError, match=rf"version 99, newer than this program knows \({newest}\)"
    ) as caught:
        Ledger.open(path, now=NOW)
    assert "release" in (caught.value.hint or "")
    assert list(path.parent.glob("*.corrupt-*")) == []
    numbered(path, newest)  # its own program reads it as before
    host.told(caught.value)
    with Ledger.open(path, now=NOW) as ledger:
        assert len(ledger.runs()) == RUNS


def numbered(path: Path, version: int) -> None:
    """Give the ledger another version's number."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")


@pytest.mark.fault("ledger.newer")
def test_the_database_of_another_program_is_refused_and_left_alone(host: Host) -> None:
    path = host.path
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE holidays (day TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="another program") as caught:
        Ledger.open(path, now=NOW)
    assert path.read_bytes() == before
    path.unlink()
    host.told(caught.value)


def test_a_migration_that_fails_leaves_the_version_before(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = host.path
    host.fill()
    known = database.migrations()
    following = known[-1][0] + 1
    broken = (*known, (following, "CREATE TABLE half (a TEXT) STRICT;\nCREATE TABLE runs (a TEXT) STRICT;\n"))
    monkeypatch.setattr(database, "migrations", lambda: broken)
    with pytest.raises(LedgerError, match="already exists"):
        Ledger.open(path, now=NOW)
    mended = (*known, (following, "CREATE TABLE half (a TEXT) STRICT;\n"))
    monkeypatch.setattr(database, "migrations", lambda: mended)
    with Ledger.open(path, now=NOW) as ledger:
        assert len(ledger.backups()) == BACKUPS
        assert ledger.read("PRAGMA user_version", []) == [{"user_version": following}]


@pytest.mark.fault("readonly")
def test_a_read_only_directory_is_said_with_a_hint(host: Host, open_dir: Path) -> None:
    for path in (open_dir / "ledger.sqlite", open_dir / "below" / "ledger.sqlite"):
        mine = replace(host, path=path)
        path.parent.mkdir(exist_ok=True)
        mine.fill()
        path.chmod(0o644)
        if os.geteuid() != 0:
            path.parent.chmod(stat.S_IRUSR | stat.S_IXUSR)
        done = child("unprivileged", path)
        path.parent.chmod(0o755)
        assert done.stderr.startswith(f"ledger: the ledger {path}")
        assert "Give this user write access" in done.stderr
    mine.told(done)


def test_a_directory_that_cannot_be_made_is_said_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LedgerError, match=r"exists|Not a directory") as caught:
        Ledger.open(tmp_path / "file" / "ledger.sqlite", now=NOW)
    assert "state_dir" in (caught.value.hint or "")


def test_a_directory_in_the_place_of_the_ledger_is_said(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").mkdir()
    with pytest.raises(LedgerError, match="unable to open"):
        Ledger.open(tmp_path / "ledger.sqlite", now=NOW)


def mounting(script: str) -> list[str]:
    """The start of an argv that runs a program where `script` has mounted things, in a namespace of its own."""
    user = [] if os.geteuid() == 0 else ["-r"]
    unshare = ["unshare", *user, "-m", "sh", "-ec"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], check=False).returncode != 0:
        pytest.skip("mount namespaces are not allowed here")
    return [*unshare, f'{script}; exec "$@"', "sh"]


@pytest.mark.fault("full.state")
@pytest.mark.unasked(
    "the disk and the ledger on it are gone with the child; test_bad_disks asks of a host's own"
)
def test_a_full_disk_is_said_and_what_was_written_stays(tmp_path: Path) -> None:
    prefix = mounting(f"mount -t tmpfs -o size=1m none '{tmp_path}'")
    done = child("fill", tmp_path / "ledger.sqlite", prefix=prefix)
    assert done.returncode == LedgerError.exit_code
    assert done.stderr.startswith("ledger: the ledger")
    assert "full" in done.stderr
    assert done.stdout == "True\n"


@pytest.mark.fault("readonly")
def test_a_filesystem_that_turned_read_only_is_said(host: Host, tmp_path: Path) -> None:
    host.fill()
    prefix = mounting(f"mount --bind '{tmp_path}' '{tmp_path}'; mount -o remount,ro,bind '{tmp_path}'")
    done = child("touch", host.path, prefix=prefix)
    assert done.stderr.startswith("ledger: the ledger")
    assert "Give this user write access" in done.stderr
    host.told(done)
