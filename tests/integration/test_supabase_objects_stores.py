"""A project's files in several stores, and by several hosts: what a snapshot names lies in its store, and stays there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.jobs import runner
from holdfast.jobs.services import Services
from holdfast.jobs.supabase import storage_copy, storage_prune, storage_restore, storage_save
from holdfast.jobs.supabase.storage_folder import Folder
from holdfast.jobs.supabase.storage_restore import Choice
from holdfast.jobs.supabase.storage_shelf import Shelf
from holdfast.ledger.ledger import Ledger
from holdfast.model import layout
from holdfast.model.errors import IntegrityError
from holdfast.system.stop import Stop
from support.buckets import S3, fill, save, saving, store, with_stores
from support.world import World

LATER = timedelta(days=3)


@pytest.fixture
def made(bucket_server: str, tmp_path: Path) -> Iterator[World]:
    with saving(tmp_path, bucket_server) as opened:
        yield opened


def restore(made: World, to: storage_restore.Destination, word: str = "latest") -> None:
    found = storage_restore.choose(made.services, made.target, word)
    done = storage_restore.restore(made.services, made.target, found, to, Choice(), made.stop)
    if (error := storage_restore.complaint(done)) is not None:
        raise error


@pytest.mark.sampled(1)
@pytest.mark.parametrize("first", ["empty", "lost one"])
def test_every_store_restores_after_the_first_one_was_replaced(
    made: World, s3: S3, tmp_path: Path, first: str
) -> None:
    fill(s3)
    both = with_stores(made, "a", "b")
    old = save(both)
    if first == "empty":
        store(made, "a").objects.clear()
    else:
        store(made, "a").delete(
            next(key for key in store(made, "a").objects if layout.parse_content_key(key))
        )
    new = save(both)
    assert old.snapshot.id != new.snapshot.id
    assert save(both).new_files == 0
    restore(with_stores(made, "b"), Folder(tmp_path / "new"))
    restore(with_stores(made, "b"), Folder(tmp_path / "old"), word=old.snapshot.id)


@pytest.mark.extended
def test_no_copy_takes_what_another_snapshot_of_the_store_needs(made: World, s3: S3, tmp_path: Path) -> None:
    fill(s3)
    one = save(with_stores(made, "b"))
    save(with_stores(made, "a"))  # as when the other store could not be looked into
    with pytest.raises(IntegrityError, match="is not what was written"):
        storage_copy.copy(
            made.services,
            Shelf(store=store(made, "a"), target="shop"),
            Shelf(store=store(made, "b"), target="shop"),
            storage_restore.choose(made.services, made.target, "latest").snapshot.id,
            runner.Meter(),
            made.stop,
        )
    restore(with_stores(made, "b"), Folder(tmp_path / "out"), word=one.snapshot.id)
    assert save(with_stores(made, "a", "b")).new_files == 4  # under names that are free in both
    restore(with_stores(made, "b"), Folder(tmp_path / "new"))


def test_another_host_takes_no_content_that_is_about_to_be_named(made: World, s3: S3, tmp_path: Path) -> None:
    fill(s3)
    with ledger_of(tmp_path / "other", made) as other:

        def meanwhile(stage: str) -> None:
            if stage == "objects:manifest":  # they were looked for already
                storage_prune.prune(
                    other, store(made), "shop", (), made.stop, made.services.clock.now() + LATER
                )

        storage_save.save(made.staged(meanwhile), made.target, Stop())
    restore(made, Folder(tmp_path / "out"))
    assert any("left to the next time" in event for event, _ in made.recorder.infos)


@contextmanager
def ledger_of(state: Path, made: World) -> Iterator[Services]:
    """Another host with the same stores and keys."""
    state.mkdir()
    with Ledger.open(state / "ledger.sqlite", now=made.services.clock.now()) as ledger:
        yield dataclasses.replace(made.services, state_dir=state, ledger=ledger, host="other")
