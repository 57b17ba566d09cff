"""Model values become JSON and back without a change, and nothing else becomes a model value."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.model import codec
from holdfast.model.backup import Backup
from holdfast.model.catalog import Catalog, Coverage
from holdfast.model.proof import Proof
from holdfast.model.run import Run
from support.model_values import backups, coverages, names, proofs, runs, sizes, times

SLOW = settings(deadline=None, max_examples=50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    word: str
    count: int
    ratio: float
    sure: bool
    at: datetime
    kind: Literal["a", "b"]
    maybe: int | None
    many: tuple[int, ...] = ()
    inner: Sample | None = None
    table: dict[str, int] = field(default_factory=dict)


GOOD: dict[str, Any] = {
    "word": "w",
    "count": 1,
    "ratio": 0.5,
    "sure": True,
    "at": "2026-11-22T02:00:00Z",
    "kind": "a",
    "maybe": None,
}


def again(value: object) -> object:
    """Through JSON text and back, as a value of the same type."""
    return codec.from_json(type(value), json.loads(json.dumps(codec.to_json(value))))


@SLOW
@given(backups())
def test_a_backup_round_trips(value: Backup) -> None:
    assert again(value) == value


@SLOW
@given(runs)
def test_a_run_round_trips(value: Run) -> None:
    assert again(value) == value


@SLOW
@given(coverages)
def test_a_coverage_round_trips(value: Coverage) -> None:
    assert again(value) == value


@SLOW
@given(proofs)
def test_a_proof_round_trips(value: Proof) -> None:
    assert again(value) == value


@settings(deadline=None, max_examples=10)
@given(st.builds(Catalog, version=sizes, version_num=sizes, tablespaces=st.dictionaries(names, names)))
def test_a_catalog_round_trips(value: Catalog) -> None:
    assert again(value) == value


@given(times)
def test_times_are_written_in_utc_and_read_as_the_same_instant(value: datetime) -> None:
    text = codec.time_text(value)
    assert text.endswith("Z")
    assert ("." in text) == bool(value.microsecond)
    read = codec.parse_time(text)
    assert read == value
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T02:00:00",
        "2026-11-22",
        "",
        "now",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
    ],
)
def test_what_is_no_time_with_a_zone_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|isoformat"):
        codec.parse_time(text)


def test_a_time_without_a_zone_is_not_written() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        codec.time_text(datetime(2026, 11, 22))  # noqa: DTZ001 - what is refused


def test_a_value_without_a_json_form_is_refused() -> None:
    with pytest.raises(TypeError, match="no JSON form for object"):
        codec.to_json({"a": [object()]})


def test_unknown_fields_are_ignored_and_defaults_fill_in() -> None:
    sample = codec.from_json(Sample, GOOD | {"later": 1})
    assert (sample.many, sample.inner, sample.table) == ((), None, {})


def test_a_whole_number_that_is_no_float_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"proof\.restore_seconds: the number is out of range"):
        codec.from_json(float, 10**400, "proof.restore_seconds")


def test_a_whole_number_may_stand_for_a_float() -> None:
    ratio = codec.from_json(Sample, GOOD | {"ratio": 2}).ratio
    assert ratio == 2.0
    assert isinstance(ratio, float)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"word": 1}, "Sample.word"),
        ({"word": None}, "Sample.word"),
        ({"count": "1"}, "Sample.count"),
        ({"count": 1.0}, "Sample.count"),
        ({"count": True}, "Sample.count"),
        ({"ratio": True}, "Sample.ratio"),
        ({"ratio": "0.5"}, "Sample.ratio"),
        ({"sure": 1}, "Sample.sure"),
        ({"at": 5}, "Sample.at"),
        ({"at": "yesterday"}, "Sample.at"),
        ({"kind": "c"}, "Sample.kind"),
        ({"kind": ["a"]}, "Sample.kind"),
        ({"maybe": "x"}, "Sample.maybe"),
        ({"many": 3}, "Sample.many"),
        ({"many": "12"}, "Sample.many"),
        ({"many": [1, "x"]}, r"Sample.many\[1\]"),
        ({"inner": []}, "Sample.inner"),
        ({"inner": GOOD | {"word": 2}}, "Sample.inner.word"),
        ({"table": []}, "Sample.table"),
        ({"table": {"k": "v"}}, "Sample.table.k"),
    ],
)
def test_a_wrong_type_is_a_value_error_that_names_the_field(change: dict[str, Any], path: str) -> None:
    with pytest.raises(ValueError, match=f"^{path}:"):
        codec.from_json(Sample, GOOD | change)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_missing_field_is_a_value_error_that_names_it(name: str) -> None:
    with pytest.raises(ValueError, match=f"^Sample: {name} is missing"):
        codec.from_json(Sample, {key: value for key, value in GOOD.items() if key != name})


@pytest.mark.parametrize("value", [None, 1, "x", [], [GOOD]])
def test_what_is_no_object_is_no_dataclass(value: object) -> None:
    with pytest.raises(ValueError, match="an object was expected"):
        codec.from_json(Sample, value)
