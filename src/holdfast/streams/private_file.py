"""Writes and reads small files that hold secrets."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from holdfast.model.errors import KeyFileError

if TYPE_CHECKING:
    from pathlib import Path

_LIMIT = 1024 * 1024
_READABLE = (
    "Is the path right (one in the config is relative to the config), and may this user read the file?"
)


def write_new(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole and on disk, or leave nothing.

    Raise KeyFileError when there is one already, or when it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise KeyFileError(
            f"{path} exists already", hint="Nothing is overwritten: choose another name, or move it away."
        ) from error
    except OSError as error:
        raise KeyFileError(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise KeyFileError(f"cannot write {path}: {error.strerror}") from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_text(path: Path) -> str:
    """Read a key file. Raise KeyFileError when it cannot be read, is no text, or is larger than 1 MiB."""
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
    except OSError as error:
        raise KeyFileError(f"cannot read the key file {path}: {error.strerror}", hint=_READABLE) from error
    if len(data) > _LIMIT:
        raise KeyFileError(f"{path} is larger than a key file can be")
    try:
        return data.decode()
    except UnicodeDecodeError:
        # The decoding error quotes the content: it is not passed on.
        raise KeyFileError(f"{path} is not a key file: it is not text") from None


def too_open(path: Path) -> bool:
    """Tell whether others than the owner may read or write the file."""
    try:
        return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError as error:
        raise KeyFileError(f"cannot read the key file {path}: {error.strerror}", hint=_READABLE) from error
