"""Remembers on this host which contents a run has stored, so that the next one after it broke off need not do so again.

The ids say nothing of the files, see model.storage; and only what this host wrote down itself is believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from holdfast.model.storage import Content, index_line, parse_index_line
from holdfast.system import owner


@dataclass(slots=True)
class Journal:
    """What was stored and belongs to no snapshot yet."""

    known: dict[str, Content]
    _file: BinaryIO

    def add(self, content_id: str, content: Content) -> None:
        """Write down that a content is stored."""
        self._file.write(index_line(content_id, content))
        self._file.flush()


@contextmanager
def journal(state_dir: Path, target: str, store: str) -> Iterator[Journal]:
    """Open the journal; it is removed when the `with` ends well, as a snapshot has all of it then."""
    path = state_dir / "objects" / f"{target}.{store}.journal"
    owner.make_folder(path.parent)
    known = dict(_read(path))
    with path.open("ab") as file:
        yield Journal(known, file)
    path.unlink(missing_ok=True)


def _read(path: Path) -> Iterator[tuple[str, Content]]:
    with suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            with suppress(ValueError):  # the last one may have been cut off
                yield parse_index_line(line)
