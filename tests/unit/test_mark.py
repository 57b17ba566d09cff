"""A mark is read as it was written, and nothing else is read as a mark."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.model import codec, layout, mark
from holdfast.model.errors import IntegrityError
from holdfast.model.mark import Ack, Mark, Pin, Tombstone
from support.model_values import NOW, backup_ids, names, proofs, targets, times

pins = st.builds(Pin, why=names, until=st.none() | times)
contents: st.SearchStrategy[Pin | Ack | Tombstone] = st.one_of(
    pins,
    st.builds(Ack, why=names, by=names),
    st.builds(Tombstone, store=targets, why=names, remove_after=times, policy=names),
)
_KINDS: dict[type, layout.MarkKind] = {Pin: "pin", Ack: "ack", Tombstone: "tombstone"}


def marked(content: Pin | Ack | Tombstone) -> Mark:
    value = codec.to_json(content)
    assert isinstance(value, dict)
    return Mark(
        kind=_KINDS[type(content)],
        backup_id="20261122T020000Z-7f3a",
        target="shop",
        at=NOW,
        host="db1",
        signer="RW",
        content=value,
    )


@given(contents, backup_ids(), targets, names)
def test_a_mark_round_trips(content: Pin | Ack | Tombstone, backup_id: str, target: str, host: str) -> None:
    value = replace(marked(content), backup_id=backup_id, target=target, host=host)
    read = mark.parse(mark.dump(value), where="x")
    assert mark.dump(read) == mark.dump(value)
    assert mark.content(read, type(content)) == content


@given(proofs)
def test_a_proof_round_trips_in_its_mark(value: object) -> None:
    proof = replace(value, backup_id="20261122T020000Z-7f3a", target="shop")  # type: ignore[type-var] # a Proof
    whole = replace(marked(Ack(why="")), kind="proof", at=proof.at, content=mark.of_proof(proof))  # type: ignore[attr-defined,arg-type]
    assert mark.proof(mark.parse(mark.dump(whole), where="x")) == proof


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "curse"},
        {"content": {}},
        {"content": "why"},
        {"target": "../x"},
        {"backup_id": "latest"},
        {"at": "2026-11-22T02:00:00"},
        {"format_version": 2},
        {"format_version": None},
    ],
    ids=str,
)
def test_what_is_no_mark_is_refused(wrong: dict[str, object]) -> None:
    value = json.loads(mark.dump(marked(Pin(why="quarter"))))
    with pytest.raises(IntegrityError, match="the pin"):
        mark.parse(json.dumps(value | wrong).encode(), where="the pin")


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 100_000, b"null"], ids=range(5))
def test_rubbish_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        mark.parse(data, where="x")


@given(st.sampled_from(["pin", "proof", "ack"]), times, st.text("0123456789abcdef", min_size=8, max_size=8))
def test_a_name_tells_the_kind_and_sorts_by_time(kind: layout.MarkKind, at: datetime, token: str) -> None:
    name = layout.mark_name(kind, at, token)
    assert layout.mark_kind(name) == kind
    layout.check_object_name(name)
    assert name < layout.mark_name(kind, at + timedelta(seconds=1), token)


@pytest.mark.parametrize(
    "name", ["manifest.json", "pin-x.json", "ack-20261122T020000Z-0000000g.json", "tombstone.json.minisig"]
)
def test_other_objects_are_no_marks(name: str) -> None:
    assert layout.mark_kind(name) is None


def test_a_pin_lets_go_when_its_time_is_over() -> None:
    assert Pin(why="").holds(NOW)
    assert Pin(why="", until=NOW + timedelta(seconds=1)).holds(NOW)
    assert not Pin(why="", until=NOW).holds(NOW)
