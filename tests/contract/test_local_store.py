from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract.store_contract import SourceBrokeError, StoreContract, broken_after
from holdfast.model.errors import NotFoundError, StoreError
from holdfast.stores.base import ExistsError, Housekeeping, Space, Store
from holdfast.stores.local import LocalStore


class TestLocalStore(StoreContract):
    many = 50  # a directory has no pages

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return LocalStore("disk", tmp_path / "store")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "store"


@pytest.fixture
def disk(root: Path) -> LocalStore:
    return LocalStore("disk", root)


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_files_are_for_the_owner_only(disk: LocalStore, root: Path) -> None:
    disk.put("shop/id/a", [b"x"])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (root, *root.rglob("*"))}
    assert modes == {"store": 0o700, "shop": 0o700, "id": 0o700, "a": 0o600}


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system takes no such hint")
@pytest.mark.parametrize("refused", [False, True])
def test_a_large_object_goes_to_the_disk_while_it_is_written(
    disk: LocalStore, monkeypatch: pytest.MonkeyPatch, *, refused: bool
) -> None:
    def hinted(_: int, start: int, length: int, hint: int) -> None:
        assert hint == os.POSIX_FADV_DONTNEED
        begun.append((start, length))
        if refused:
            raise OSError

    begun: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", hinted)
    disk.put("a", [bytes(3_000_000)] * 7)
    assert begun == [(0, 9_000_000), (9_000_000, 9_000_000)]
    assert sum(map(len, disk.get("a"))) == 21_000_000


def test_what_is_half_written_is_not_listed(disk: LocalStore, root: Path) -> None:
    def source() -> Iterator[bytes]:
        yield b"x"
        names = os.listdir(root / "shop")  # noqa: PTH208 - names are what is asked
        assert len(names) == 1
        assert names[0].startswith(".holdfast-tmp-")
        assert list(disk.list()) == []
        assert disk.stat("shop/a") is None

    disk.put("shop/a", source())
    assert everything(root) == ["shop", "shop/a"]


@pytest.mark.fault("store.source")
def test_a_failed_put_leaves_no_file_and_no_folder(disk: LocalStore, root: Path) -> None:
    with pytest.raises(SourceBrokeError):
        disk.put("shop/id/a", broken_after([b"x"]))
    assert everything(root) == []


def test_a_lost_race_leaves_no_half_written_file(disk: LocalStore, root: Path) -> None:
    def source() -> Iterator[bytes]:
        yield b"mine"
        disk.put("shop/a", [b"theirs"])

    with pytest.raises(ExistsError):
        disk.put("shop/a", source(), absent=True)
    assert everything(root) == ["shop", "shop/a"]


def test_deleting_the_last_object_removes_its_folders(disk: LocalStore, root: Path) -> None:
    disk.put("shop/one/a", [b"x"])
    disk.put("shop/two/b", [b"y"])
    disk.delete("shop/one/a")
    assert everything(root) == ["shop", "shop/two", "shop/two/b"]
    disk.delete("shop/two/b")
    assert everything(root) == []
    assert root.is_dir()


def test_a_put_survives_a_delete_that_prunes_its_folder(disk: LocalStore, root: Path) -> None:
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            disk.put("shop/id/other", [b"x"])
            disk.delete("shop/id/other")

    with ThreadPoolExecutor(1) as pool:
        churning = pool.submit(churn)
        try:
            for number in range(100):
                disk.put(f"shop/id/{number}", [b"y"])
                disk.delete(f"shop/id/{number}")
        finally:
            stop.set()
        churning.result()
    assert everything(root) == []


def test_no_link_leads_out(disk: LocalStore, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    disk.put("shop/a", [b"x"])
    (root / "out").symlink_to(outside)
    (root / "shop" / "link").symlink_to(outside / "secret")
    assert [found.key for found in disk.list()] == ["shop/a"]
    for key in ("out/secret", "shop/link"):
        assert disk.stat(key) is None
        with pytest.raises(NotFoundError):
            list(disk.get(key))
    with pytest.raises(StoreError):
        disk.put("out/new", [b"x"])
    disk.delete("out/secret")
    disk.put("shop/link", [b"y"])
    assert (outside / "secret").read_text() == "secret"
    assert os.listdir(outside) == ["secret"]  # noqa: PTH208 - names are what is asked


def test_what_is_no_file_is_no_object(disk: LocalStore, root: Path) -> None:
    disk.put("shop/a", [b"x"])
    os.mkfifo(root / "pipe")
    assert [found.key for found in disk.list()] == ["shop/a"]
    assert disk.stat("pipe") is None
    assert disk.stat("shop") is None
    with pytest.raises(NotFoundError):
        list(disk.get("pipe"))


def test_names_that_are_no_keys_are_not_listed(disk: LocalStore, root: Path) -> None:
    disk.put("a", [b"x"])
    (root / "caf\u00e9").write_text("foreign")
    (root / "back\\slash").write_text("foreign")
    (root / "lost+found").mkdir()
    (root / "lost+found" / "#1").write_text("foreign")
    assert [found.key for found in disk.list()] == ["a"]


def test_a_thousand_folders_in_each_other_hide_nothing(disk: LocalStore, root: Path) -> None:
    disk.put("z", [b"z"])
    handle = os.open(root, os.O_RDONLY)
    for _ in range(1500):  # deeper than a path can tell
        os.mkdir("d", dir_fd=handle)
        below = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(handle)
    try:
        assert [found.key for found in disk.list()] == ["z"]
    finally:
        subprocess.run(["/bin/rm", "-rf", root / "d"], check=True)  # pytest could not


def test_a_key_cannot_look_half_written(disk: LocalStore) -> None:
    with pytest.raises(ValueError, match="half written"):
        disk.put("shop/.holdfast-tmp-x", [b"x"])


def test_sweeps_what_a_kill_left_by_its_age(disk: LocalStore, root: Path) -> None:
    disk.put("shop/id/a", [b"x"])
    old, new, other = (
        root / "shop/id/.holdfast-tmp-1",
        root / "shop/.holdfast-tmp-2",
        root / "other/.holdfast-tmp-3",
    )
    other.parent.mkdir()
    for path in (old, new, other):
        path.write_bytes(b"half")
    past = datetime.now(UTC) - timedelta(days=2)
    for path in (old, other):
        os.utime(path, (past.timestamp(), past.timestamp()))
    assert disk.abort_stale("shop/", datetime.now(UTC) - timedelta(days=1)) == 1
    assert everything(root) == [
        "other",
        "other/.holdfast-tmp-3",
        "shop",
        "shop/.holdfast-tmp-2",
        "shop/id",
        "shop/id/a",
    ]
    assert disk.abort_stale("", datetime.now(UTC) - timedelta(days=1)) == 1
    assert everything(root) == ["shop", "shop/.holdfast-tmp-2", "shop/id", "shop/id/a"]


def test_a_kill_9_half_way_leaves_nothing_listed_and_a_sweep_cleans_up(disk: LocalStore, root: Path) -> None:
    code = """
import sys, os, signal
from pathlib import Path
from holdfast.stores.local import LocalStore
def source():
    yield b"x" * 100000
    os.kill(os.getpid(), signal.SIGKILL)
LocalStore("disk", Path(sys.argv[1])).put("shop/a", source())
"""
    assert subprocess.run([sys.executable, "-c", code, str(root)], check=False).returncode == -9
    assert list(disk.list()) == []
    assert len(everything(root)) == 2
    assert disk.abort_stale("", datetime.now(UTC) + timedelta(seconds=5)) == 1
    assert everything(root) == []


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    store = LocalStore("disk", tmp_path / "file")
    uses = (
        lambda: list(store.list()),
        lambda: store.stat("a"),
        lambda: store.put("a", [b"x"]),
        lambda: list(store.get("a")),
    )
    for use in uses:
        with pytest.raises(StoreError, match="not a directory") as caught:
            use()
        assert caught.value.hint


def test_a_file_that_shrinks_under_the_reader_is_an_error(disk: LocalStore, root: Path) -> None:
    disk.put("a", [bytes(3 * 1024**2)])
    reader = disk.get("a")
    next(reader)
    os.truncate(root / "a", 2 * 1024**2)
    with pytest.raises(StoreError, match="gave 2097152 of its 3145728 bytes"):
        list(reader)


def test_without_hard_links_an_absent_put_still_keeps_the_old(
    disk: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_names: object, **_more: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    disk.put("a", [b"old"], absent=True)

    def source() -> Iterator[bytes]:
        yield b"mine"
        disk.put("b", [b"theirs"])

    with pytest.raises(ExistsError):
        disk.put("b", source(), absent=True)
    assert (root / "a").read_bytes() == b"old"
    assert (root / "b").read_bytes() == b"theirs"
    assert everything(root) == ["a", "b"]


def test_tells_how_much_room_there_is_even_before_the_first_put(disk: LocalStore, tmp_path: Path) -> None:
    assert isinstance(disk, Housekeeping)
    assert isinstance(disk, Space)
    found = os.statvfs(tmp_path)
    assert abs(disk.free_bytes() - found.f_bavail * found.f_frsize) < 2 * 1024**3


PUT = """
import resource, sys
from pathlib import Path
from holdfast.model.errors import StoreError
from holdfast.stores.local import LocalStore
store = LocalStore("disk", Path(sys.argv[1]))
if sys.argv[2] != "none":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    store.put("shop/a", (bytes(300_000) for _ in range(20)))
except StoreError as error:
    print(error.message, "|", error.hint, "|", error.retryable)
"""


def test_a_file_that_may_not_grow_fails_and_leaves_nothing(disk: LocalStore, root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PUT, str(root), "1000000"], capture_output=True, text=True, check=True
    )
    assert "cannot write shop/a: file too large | The file is larger" in done.stdout
    assert everything(root) == []
    assert list(disk.list()) == []


@pytest.mark.fault("full.store")
@pytest.mark.extended
def test_a_full_disk_fails_and_leaves_nothing(root: Path) -> None:
    root.mkdir(parents=True)
    script = 'mount -t tmpfs -o size=2m none "$1" && "$2" -c "$3" "$1" none && find "$1" -mindepth 1 | wc -l'
    argv = ["unshare", "-m", "sh", "-c", script, "sh", str(root), sys.executable, PUT]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    first, left = done.stdout.splitlines()
    assert "cannot write shop/a: no space left on device | The filesystem is full" in first
    assert first.endswith("| True")
    assert left == "0"


@pytest.mark.fault("readonly")
@pytest.mark.extended
def test_a_read_only_filesystem_is_refused(root: Path) -> None:
    root.mkdir(parents=True)
    script = 'mount -t tmpfs -o ro none "$1" && "$2" -c "$3" "$1" none'
    argv = ["unshare", "-m", "sh", "-c", script, "sh", str(root), sys.executable, PUT]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "read-only" in done.stdout
    assert done.stdout.strip().endswith("| False")
