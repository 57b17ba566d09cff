"""An export appears under its name when it is whole, on any filesystem, and never in the place of another file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs import writing
from holdfast.jobs.export import Wish, export
from holdfast.jobs.reading import Opened
from holdfast.model.errors import IntegrityError, UsageError
from support.memory_store import MemoryStore
from support.shelved import shelved
from support.world import World, world

ID = "20261121T020000Z-aaaa"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("a")


@pytest.fixture
def home(tmp_path: Path, store: MemoryStore) -> Iterator[World]:
    with world(tmp_path / "world", "postgresql://nobody@127.0.0.1:1/", stores={"a": store}) as made:
        yield made


def opened(home: World, store: MemoryStore) -> Opened:
    made = shelved(home.services, store, ID, data=b"the archive")
    part = replace(made.parts[0], role="database", format="custom", database="app")
    place = writing.Place(store=store, target="shop", backup_id=ID)
    return Opened(place=place, backup=replace(made, parts=(part,)), manifest=b"", signature=b"")


def written(home: World, store: MemoryStore, output: Path) -> None:
    export(home.services, opened(home, store), wish(output), home.stop)


def wish(output: Path) -> Wish:
    return Wish(database=None, form="archive", output=output)


def _no_links(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False])
def test_a_whole_export_gets_its_name(
    home: World, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", _no_links)
    folder = tmp_path / "out"
    folder.mkdir()
    written(home, store, folder / "app.dump")
    assert [path.name for path in folder.iterdir()] == ["app.dump"]
    assert (folder / "app.dump").read_bytes() == b"the archive"


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_stays(
    home: World, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    real = os.fsync

    def appears(handle: int) -> None:
        (folder / "app.dump").write_bytes(b"another's")
        real(handle)

    made = opened(home, store)
    monkeypatch.setattr(os, "fsync", appears)
    if not links:
        monkeypatch.setattr(os, "link", _no_links)
    with pytest.raises(UsageError, match=r"app\.dump exists"):
        export(home.services, made, wish(folder / "app.dump"), home.stop)
    assert [path.name for path in folder.iterdir()] == ["app.dump"]
    assert (folder / "app.dump").read_bytes() == b"another's"


def test_a_damaged_part_leaves_no_file(home: World, store: MemoryStore, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    made = opened(home, store)
    key = f"shop/{ID}/globals.sql.zst.age"
    store.objects[key] = store.objects[key][:-1]
    with pytest.raises(IntegrityError):
        export(home.services, made, wish(folder / "app.dump"), home.stop)
    assert list(folder.iterdir()) == []
