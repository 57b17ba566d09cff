"""What a process may leave behind that it must not: secrets where somebody can read them, and things that nobody ends."""

from __future__ import annotations

import base64
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from holdfast.jobs.services import Keys
from holdfast.stores.local_files import TEMPORARY

# The files that hold the secrets because that is what they are for.
_KEEPERS = frozenset({"identity.txt", "signing.key", "holdfast.toml"})
_SECONDS = 10.0


def key_texts(keys: Keys) -> dict[str, bytes]:
    """What of the keys nobody may ever see, by what it is."""
    found = {}
    for number, identity in enumerate(keys.identities):
        found[f"identity {number}"] = identity.secret_text().encode()
        found[f"identity {number}, its bytes"] = identity.raw
    if keys.signing is not None:
        found["signing key"] = keys.signing.seed
        found["signing key, written out"] = base64.b64encode(keys.signing.seed)[:40]
    return found


def in_files(folder: Path, secrets: Mapping[str, bytes], besides: Iterable[Path] = ()) -> list[str]:
    """Where secrets lie in files below the folder, as `FILE: SECRET`; those that are there to hold them aside."""
    kept = set(besides)
    return [
        f"{path}: {name}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in _KEEPERS and path not in kept
        for name in _held(_read(path), secrets)
    ]


def in_texts(texts: Iterable[str], secrets: Mapping[str, bytes]) -> list[str]:
    """Which secrets stand in what was printed, logged or raised."""
    return [name for text in texts for name in _held(text.encode(errors="surrogateescape"), secrets)]


@contextmanager
def watched_processes(secrets: Mapping[str, bytes]) -> Iterator[list[str]]:
    """Look at every process of the machine for as long as the `with` lasts; the list gets each secret in an argv or environment.

    Those that were there before are looked at once. Our own environment is not: a test may have put a password there.
    """
    found: list[str] = []
    ended = threading.Event()

    def look(pids: Iterable[str]) -> None:
        for pid in pids:
            for name in ("cmdline", "environ"):
                path = Path("/proc", pid, name)
                found.extend(f"{path}: {held}" for held in _held(_read(path), secrets))

    before = _pids() - {str(os.getpid())}
    look(before)
    before.add(str(os.getpid()))

    def watch() -> None:
        while not ended.wait(0.02):
            look(_pids() - before)

    thread = threading.Thread(target=watch, name="watched processes")
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def _pids() -> set[str]:
    return {name for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - names


def processes(folder: Path) -> list[str]:
    """The command lines of the processes that speak of the folder: neither ours nor those that pretend to be a disk."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        line = _read(path / "cmdline").replace(b"\0", b" ").decode(errors="replace")
        if str(folder) in line and int(path.name) != os.getpid() and "support.bad_disk" not in line:
            found.append(line)
    return found


def drafts(folder: Path) -> list[Path]:
    """The half-written files below the folder."""
    return [path for path in folder.rglob("*") if path.name.startswith(TEMPORARY)]


def locks(state: Path) -> list[str]:
    """The locks that somebody still holds, and by their own word who."""
    held = []
    for path in (state / "locks").glob("*.lock"):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(f"{path.name}: {file.read().decode(errors='replace')}")
    return held


def temporary(folder: Path) -> list[Path]:
    """What lies in the folder's `tmp`, where the processes under test were told to put what is temporary."""
    return sorted((folder / "tmp").iterdir()) if (folder / "tmp").exists() else []


def gone(look: Callable[[], Iterable[object]], seconds: float = _SECONDS) -> list[object]:
    """Look until there is nothing any more; give what is there still after so many seconds."""
    deadline = time.monotonic() + seconds
    while (left := list(look())) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def _held(data: bytes, secrets: Mapping[str, bytes]) -> list[str]:
    return [name for name, secret in secrets.items() if secret in data]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has just gone
        return b""
