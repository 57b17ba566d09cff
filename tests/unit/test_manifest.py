"""A manifest says everything about a backup, and a malformed one never passes for a backup."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.model import manifest
from holdfast.model.backup import FORMAT_VERSION, Backup, format_version
from holdfast.model.errors import IntegrityError
from support.model_values import backups, sample_backup

Change = Callable[[dict[str, Any]], object]


def changed(change: Change) -> bytes:
    value = json.loads(manifest.dump(sample_backup()))
    change(value)
    return json.dumps(value).encode()


@settings(max_examples=40)
@given(backups())
def test_a_manifest_is_read_as_it_was_written(backup: Backup) -> None:
    data = manifest.dump(backup)
    assert manifest.parse(data, where="here") == backup
    assert manifest.dump(manifest.parse(data, where="here")) == data
    assert data.decode("utf-8").endswith("}\n")


def test_a_manifest_is_readable_text_with_keys_in_order() -> None:
    lines = manifest.dump(sample_backup()).decode().splitlines()
    keys = [line.split('"')[1] for line in lines if line.startswith('  "')]
    assert keys == sorted(keys)
    assert '  "target": "shop",' in lines


@settings(deadline=None)
@given(st.data())
def test_a_truncated_manifest_is_refused(data: st.DataObject) -> None:
    whole = manifest.dump(sample_backup())
    cut = data.draw(st.integers(min_value=0, max_value=len(whole) - 3))
    with pytest.raises(IntegrityError, match=r"^here: not a manifest"):
        manifest.parse(whole[:cut], where="here")


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"^here: not a manifest"):
        manifest.parse(data, where="here")


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"{}", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, b"\xff\xfe{}", b"NaN"],
)
def test_json_that_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"^here: not a manifest"):
        manifest.parse(data, where="here")


def segment(name: str) -> dict[str, Any]:
    return {"name": name, "size": 1, "sha256": ""}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("parts"), "parts is missing"),
        (lambda m: m.update(id="../../x"), "not a backup id"),
        (lambda m: m.update(id="20261322T020000Z-7f3a"), "month|match|remains"),
        (lambda m: m.update(target="../shop"), "cannot name a target"),
        (lambda m: m.update(format_version=0), "never existed"),
        (lambda m: m.update(format_version=True), "format_version"),
        (lambda m: m.update(format_version="1"), "format_version"),
        (lambda m: m.update(started_at="2026-11-22T02:00:00"), "without a zone"),
        (lambda m: m.update(started_at="0001-01-01T00:00:00+23:59"), "out of range"),
        (lambda m: m["parts"][0].update(segments=[]), "has no segments"),
        (lambda m: m["parts"][0].update(segments=[segment("../x")]), "cannot name an object"),
        (lambda m: m["parts"][0].update(segments=[segment("a"), segment("a")]), "named twice"),
        (lambda m: m["parts"].append(m["parts"][0]), "named twice"),
        (lambda m: m["parts"][0].update(role="wal"), "role"),
        (lambda m: m["parts"][0].update(size=-1), "impossible size"),
        (lambda m: m["parts"][0].update(stored_size=2**63), "impossible size"),
        (lambda m: m["parts"][0]["segments"][0].update(size=-5), "impossible size"),
        (lambda m: m["parts"][0].update(size="1000"), "size"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(change: Change, message: str) -> None:
    with pytest.raises(IntegrityError, match=f"^here: not a manifest: .*({message})"):
        manifest.parse(changed(change), where="here")


def test_a_later_format_is_refused_with_the_way_on() -> None:
    later = changed(lambda m: m.update(format_version=FORMAT_VERSION + 1, parts="something else"))
    with pytest.raises(IntegrityError, match=r"here: format version 4 is newer") as caught:
        manifest.parse(later, where="here")
    assert "release" in (caught.value.hint or "")


def test_what_a_later_program_adds_is_ignored() -> None:
    assert manifest.parse(changed(lambda m: m.update(colour="blue")), where="here") == sample_backup()


def test_a_backup_without_parts_is_read() -> None:
    assert manifest.parse(changed(lambda m: m.update(parts=[])), where="here").parts == ()


def test_a_backup_has_the_lowest_version_that_knows_all_its_parts() -> None:
    made = sample_backup()
    assert format_version(made.parts) == 1
    for kind in ("tar", "plain"):
        parts = tuple(replace(p, format=kind) if p.role == "database" else p for p in made.parts)
        assert format_version(parts) == 2
    assert format_version((*made.parts, replace(made.parts[0], role="settings"))) == 3
