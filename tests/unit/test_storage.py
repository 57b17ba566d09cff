"""How files of buckets are named in a store, and which snapshots of them are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.model import layout, storage
from holdfast.model.backup import Segment
from holdfast.model.errors import IntegrityError
from holdfast.model.storage import Content, Entry, File, Properties, Snapshot
from support.model_values import NOW

texts = st.text(max_size=30)
FILE = File(bucket="avatars", name="a.png", size=7, etag="e", modified_at=NOW)
SEGMENT = Segment(name="x.zst", size=1, sha256="0" * 64)
SNAPSHOT = Snapshot(
    snapshot_version=1,
    target="shop",
    id=layout.new_backup_id(NOW, "0000"),
    started_at=NOW,
    finished_at=NOW,
    host="h",
    signer="RW",
    buckets=1,
    files=2,
    size=3,
    stored_size=4,
    recipients=("age1",),
    list=SEGMENT,
    index=SEGMENT,
)


@given(
    seed=st.binary(min_size=32, max_size=32), bucket=texts, name=texts, etag=texts, size=st.integers(0, 2**50)
)
def test_an_id_is_always_the_same_for_the_same_content_and_key(
    seed: bytes, bucket: str, name: str, etag: str, size: int
) -> None:
    file = File(bucket=bucket, name=name, size=size, etag=etag, modified_at=NOW)
    found = storage.content_id(storage.secret_of(seed, "shop"), file)
    assert found == storage.content_id(storage.secret_of(seed, "shop"), file)
    others = {
        storage.content_id(storage.secret_of(seed, "blog"), file),
        storage.content_id(storage.secret_of(seed, "shop"), file, 1),
    }
    assert found not in others
    for encrypted in (True, False):
        key = layout.content_key("shop", found, encrypted=encrypted)
        assert layout.parse_content_key(key) == found
        assert layout.parse_snapshot_key(key) is None
        assert layout.parse_key(key) is None


def test_a_file_without_an_etag_is_told_apart_by_its_time() -> None:
    secret = storage.secret_of(b"s" * 32, "shop")
    without = replace(FILE, etag="")
    later = replace(without, modified_at=NOW + timedelta(seconds=1))
    assert storage.content_id(secret, without) != storage.content_id(secret, later)
    assert storage.content_id(secret, FILE) == storage.content_id(
        secret, replace(FILE, modified_at=later.modified_at)
    )


def test_the_keys_of_a_snapshot_are_no_keys_of_a_backup() -> None:
    key = layout.snapshot_key("shop", SNAPSHOT.id, layout.MANIFEST)
    assert layout.parse_snapshot_key(key) == (SNAPSHOT.id, "manifest.json")
    assert layout.parse_key(key) is None
    assert layout.parse_content_key(key) is None


@given(bucket=texts, name=texts, metadata=st.dictionaries(texts, texts))
def test_lines_are_read_as_they_were_written(bucket: str, name: str, metadata: dict[str, str]) -> None:
    entry = Entry(bucket=bucket, name=name, size=1, etag="e", modified_at=NOW, content="ab" * 16)
    line = storage.entry_line(entry)
    assert line.count(b"\n") == 1
    assert storage.parse_entry(line) == entry
    properties = Properties(content_type=name, metadata=metadata)
    head = storage.head_of(properties)
    assert head.count(b"\n") == 1
    assert storage.parse_head(head) == properties


@pytest.mark.parametrize("parse", [storage.parse_entry, storage.parse_head])
def test_a_line_that_is_nested_without_end_is_a_value_error(parse: Callable[[bytes], object]) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse(b"[" * 100_000)


@pytest.mark.parametrize(
    "line", [b"", b"ab 1", b"ab" * 16 + b" x " + b"0" * 64, b"ab" * 16 + b" 1 " + b"0" * 63]
)
def test_a_line_that_is_cut_off_is_no_line(line: bytes) -> None:
    whole = storage.index_line("ab" * 16, Content(1, "0" * 64))
    assert storage.parse_index_line(whole) == ("ab" * 16, Content(1, "0" * 64))
    with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
        storage.parse_index_line(line)


def test_a_manifest_is_read_as_it_was_written_and_no_later_one() -> None:
    data = storage.dump(SNAPSHOT)
    assert storage.parse(data, where="here") == SNAPSHOT
    with pytest.raises(IntegrityError, match="newer than this program"):
        storage.parse(data.replace(b'"snapshot_version": 1', b'"snapshot_version": 2'), where="here")
    for wrong in (b"[]", b"{}", data[:-9], data.replace(b"x.zst", b"../x")):
        with pytest.raises(IntegrityError, match="here: not a snapshot"):
            storage.parse(wrong, where="here")


@pytest.mark.parametrize(
    ("backups", "kept"),
    [
        ([], {"5"}),
        (["0"], {"1", "5"}),
        (["2"], {"1", "2", "5"}),
        (["25"], {"2", "3", "5"}),
        (["9"], {"5"}),
        (["15", "45"], {"1", "2", "4", "5"}),
    ],
)
def test_a_backup_keeps_the_snapshots_around_it(backups: list[str], kept: set[str]) -> None:
    assert storage.needed(["3", "1", "2", "5", "4"], backups) == kept


def test_without_snapshots_none_is_kept() -> None:
    assert storage.needed([], ["1"]) == frozenset()
