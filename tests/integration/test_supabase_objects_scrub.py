"""What a snapshot of a project's files names is looked at again in every store, and read in its turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.jobs import runner
from holdfast.jobs.supabase.storage_scrub import Turn, scrub
from holdfast.model import layout
from support.buckets import S3, fill, save, saving, store, with_stores
from support.world import World

DAY = timedelta(days=1)


@pytest.fixture
def made(bucket_server: str, s3: S3, tmp_path: Path) -> Iterator[World]:
    """A host that saved four files into two stores, and reads all that it scrubs."""
    fill(s3)
    with saving(tmp_path, bucket_server) as alone:
        opened = with_stores(alone, "a", "b")
        save(opened)
        opened.target = dataclasses.replace(opened.target, scrub="full", scrub_every=DAY.total_seconds())
        yield opened


def found(made: World) -> list[tuple[str, str]]:
    results = scrub(made.services, made.target, runner.Meter(), made.stop, interval=DAY)
    return [(each.store, each.error.message if each.error else "") for each in results]


def test_what_is_missing_cut_off_or_changed_in_a_store_is_found(made: World) -> None:
    assert found(made) == []
    objects = store(made, "b").objects
    key = min(key for key in objects if layout.parse_content_key(key))
    whole = objects[key]
    for damaged in (None, whole[:-1], bytes([whole[0] ^ 1]) + whole[1:]):
        del objects[key]
        if damaged is not None:
            objects[key] = damaged
        [(where, said)] = found(made)
        assert (where, key in said) == ("b", True)
        objects[key] = whole
    lazy = dataclasses.replace(made.target, scrub="auto")
    made.target, objects[key] = lazy, whole[:-1]
    [(where, said)] = found(made)
    assert (where, said.endswith("has another size")) == ("b", True)
    objects[key] = whole
    for name in [each for each in objects if each.endswith(layout.MANIFEST)]:
        objects[name] = objects[name].replace(b'"files": 4', b'"files": 5')
    [(where, said)] = found(made)
    assert (where, layout.MANIFEST in said) == ("b", True)


@given(st.integers(0, 2**128 - 1), st.integers(1, 60), st.integers(0, 40_000 * 24))
def test_in_the_turns_of_its_time_each_content_is_read(number: int, days: int, hours: int) -> None:
    at = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    turns = [Turn.at(at + day * DAY, DAY, days * DAY) for day in range(days)]
    assert sum(turn.has(f"{number:032x}") for turn in turns) == 1
