"""One file that cannot be read keeps nobody from the others; a place that does not answer ends the import."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest

from holdfast.cli.importing import passed_over
from holdfast.jobs.import_files import Broken, ImportWish, look
from holdfast.model.errors import StoreError
from holdfast.model.filenames import compile_pattern
from support.memory_store import MemoryStore
from support.yard import yard


class Refusing(MemoryStore):
    """A store that answers each read with an error of the system."""

    number = errno.EACCES

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:  # noqa: ARG002 - as the Protocol has it
        error = OSError(self.number, os.strerror(self.number))
        raise StoreError(f"files: cannot read {key}: {os.strerror(self.number).lower()}") from error


def _looked(tmp_path: Path, number: int) -> list[object]:
    store = Refusing("files")
    store.number = number
    for day in (1, 2):
        store.put(f"app-2026-01-0{day}.dump", iter([b"x"]))
    with yard(tmp_path) as place:
        wish = ImportWish(origin=store, pattern=compile_pattern("app-%F.dump", UTC), database="app")
        return list(look(place.services, place.target, wish, place.made.stop))


def test_a_file_that_may_not_be_read_is_broken_and_the_next_is_looked_at(tmp_path: Path) -> None:
    found = _looked(tmp_path, errno.EACCES)
    assert [each.name for each in found if isinstance(each, Broken)] == [
        "app-2026-01-01.dump",
        "app-2026-01-02.dump",
    ]


def test_what_is_passed_over_is_named(tmp_path: Path) -> None:
    for name in (
        "app-2026-01-01.dump",
        "b\u00fccher.dump",
        "sub/a\nb.dump",
        "b\udcff.dump",
        "with space.dump",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link.dump").symlink_to("app-2026-01-01.dump")
    assert sorted(passed_over(tmp_path)) == [
        "b\\udcff.dump",
        "b\\xfccher.dump",
        "link.dump",
        "sub/a\\nb.dump",
    ]
    assert passed_over(Path("s3://bucket/prefix")) == []


def test_a_place_that_fails_ends_the_import(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        _looked(tmp_path, errno.EIO)
