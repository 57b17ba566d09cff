"""Writes what is exported: to a descriptor, into a new file, or into a new directory; never half, never over another."""

from __future__ import annotations

import errno
import os
import secrets
import select
import shutil
import stat
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from holdfast.model.errors import Error, StoreError, UsageError
from holdfast.system.stop import Stop

GONE = "the reader of the output went away"
_TICK = 200  # milliseconds
_SHOWN = 40  # characters of a name, in that of its draft
_LONGEST_NAME = 255  # bytes; of Linux's file systems
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})


def write_all(descriptor: int, chunks: Iterable[bytes], stop: Stop) -> int:
    """Write chunks to a descriptor; return how many bytes they were. Raise StoreError where it cannot be written.

    A pipe that nobody reads does not keep it from being stopped.
    """
    size = 0
    most = None if stat.S_ISREG(os.fstat(descriptor).st_mode) else select.PIPE_BUF
    for chunk in chunks:
        size += len(chunk)
        view = memoryview(chunk)
        while view:
            if most is not None:
                _wait_for_room(descriptor, stop)
            try:
                view = view[os.write(descriptor, view[:most]) :]
            except BrokenPipeError as error:
                raise Error(GONE) from error
            except OSError as error:
                raise StoreError(f"cannot write the export: {error.strerror}") from error
    return size


def _wait_for_room(descriptor: int, stop: Stop) -> None:
    """Wait until PIPE_BUF bytes can be written at once."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    while not poll.poll(_TICK):
        stop.check()


@contextmanager
def new_file(path: Path) -> Generator[int, None, None]:
    """Give the descriptor of a file that gets its name when the `with` ends well, and is gone when it does not."""
    if path.exists():
        raise UsageError(f"{path} exists", hint="Nothing is overwritten: choose another name, or remove it.")
    temporary = _draft(path)
    with _created(temporary, path) as handle:
        try:
            yield handle
            os.fsync(handle)
            _publish(temporary, path)
        except FileExistsError as error:
            raise UsageError(f"{path} exists", hint="Nothing is overwritten: choose another name.") from error
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}") from error
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()


@contextmanager
def new_directory(path: Path) -> Generator[Path, None, None]:
    """Give a directory to write files into, which are in `path`, new or empty, when the `with` ends well.

    They are gone when it does not. Raise UsageError where something else is there.
    """
    there = path.is_dir()
    try:
        if os.path.lexists(path) and (not there or any(path.iterdir())):
            raise UsageError(
                f"{path} exists and is not an empty directory",
                hint="Nothing is overwritten: choose another name, or empty it.",
            )
        temporary = _draft(path / "export" if there else path)
        temporary.mkdir(mode=0o700)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield temporary
        _sync(temporary)
        if there:
            _move_into(path, temporary)
        else:
            temporary.rename(path)
            _sync(path.parent)
    except OSError as error:
        if error.errno in _TAKEN:
            raise UsageError(
                f"{path} is not empty any more", hint="Nothing is overwritten: choose another name."
            ) from error
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move_into(path: Path, temporary: Path) -> None:
    """Move the files of a directory into the one around it: all, or none."""
    if any(found != temporary for found in path.iterdir()):
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
    moved: list[Path] = []
    try:
        for file in sorted(temporary.iterdir()):
            _publish(file, path / file.name)
            moved.append(path / file.name)
        _sync(path)
    except BaseException:
        for file in moved:
            file.unlink(missing_ok=True)
        raise


@contextmanager
def file_in(folder: Path, name: str) -> Iterator[int]:
    """Give the descriptor of a new file in a directory that `new_directory` gave."""
    try:
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise UsageError(
            f"two tables would have the file {name}: this file system takes their names for the same",
            hint="Export them one by one, with --table and -o FILE.csv.",
        ) from error
    except OSError as error:
        raise StoreError(f"cannot write {name}: {error.strerror}") from error
    try:
        yield handle
        os.fsync(handle)
    except OSError as error:
        raise StoreError(f"cannot write {name}: {error.strerror}") from error
    finally:
        os.close(handle)


def file_name(schema: str, table: str, oid: int) -> str:
    """Name the file of a table, `public.orders.csv`: what is no letter, digit, `_` or `-` is written as `%XX`.

    `public.a%2Fb.csv` is the table `a/b`. A name that would be too long gets the table's number: `%16402.csv`.
    """
    name = f"{_encoded(schema)}.{_encoded(table)}.csv"
    return name if len(name.encode()) <= _LONGEST_NAME else f"%{oid}.csv"


def _encoded(text: str) -> str:
    """Write a name so that it can be read back: by urllib.parse.unquote, say."""
    safe = (_safe(character) or (character == "-" and at > 0) for at, character in enumerate(text))
    return "".join(
        character
        if kept
        else "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
        for character, kept in zip(text, safe, strict=True)
    )


def _safe(character: str) -> bool:
    return character.isalnum() or character == "_"


def _draft(path: Path) -> Path:
    path = path.absolute()
    return path.with_name(f".{path.name[:_SHOWN]}.{secrets.token_hex(4)}.partial")


@contextmanager
def _created(temporary: Path, path: Path) -> Iterator[int]:
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield handle
    finally:
        os.close(handle)


def _publish(temporary: Path, path: Path) -> None:
    """Give a file its name, in the place of no other. Raise FileExistsError, or another OSError."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:  # exFAT and some network mounts know no second name of a file
        if path.exists():
            raise FileExistsError from error
        temporary.rename(path)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
