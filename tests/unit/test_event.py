"""Messages say what happened to whom, since when and what to do; whatever the names and errors hold."""

from __future__ import annotations

import json
import unicodedata
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.model import codec
from holdfast.model.event import Event, Finding, Kind, as_json, one_line, subject, text
from support.notify_values import event

KINDS: tuple[Kind, ...] = get_args(Kind)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("failure", "Holdfast: backup of shop on db1 FAILED"),
        ("recovery", "Holdfast: backup of shop on db1 works again"),
        ("overdue", "Holdfast: backup of shop on db1 is OVERDUE"),
        ("anomaly", "Holdfast: backup of shop on db1 is unusual"),
        ("loss", "Holdfast: the ledger on db1 has LOST what it knew"),
    ],
)
def test_the_subject_says_it_all(kind: Kind, words: str) -> None:
    assert subject(event(kind)) == words


def test_a_failed_copy_names_the_store() -> None:
    assert subject(event("failure", job="copy", store="offsite")) == (
        "Holdfast: copy of shop to offsite on db1 FAILED"
    )


def test_a_failure_says_since_when_why_and_what_to_do() -> None:
    assert text(event("failure")).splitlines() == [
        "begun:           2026-11-22 01:55:00Z",
        "ended:           2026-11-22 02:00:00Z",
        "failed in a row: 2",
        "failing since:   2026-11-21 02:00:00Z",
        "last success:    2026-11-20 02:00:00Z",
        "error:           store: the bucket is full",
        "",
        "See whether the store is up, reachable, not full, and takes the credentials.",
        "On db1: `holdfast check --target shop`, `holdfast status`.",
    ]


def test_a_failed_backup_is_not_named_as_if_there_were_one() -> None:
    assert "7f3a" not in text(event("failure", backup_id="20261122T020000Z-7f3a"))
    assert "7f3a" in text(event("failure", job="copy", backup_id="20261122T020000Z-7f3a"))


def test_what_never_succeeded_is_said_to_be_so() -> None:
    assert "last success:  none that is known" in text(event("failure", last_success_at=None, failures=1))


def test_what_is_overdue_says_since_when_it_was_expected() -> None:
    lines = text(event("overdue")).splitlines()
    assert "waiting since:  2026-11-19 02:00:00Z" in lines
    assert "expected every: 1 day, 0:00:00" in lines


def test_an_anomaly_says_what_was_expected() -> None:
    assert "rows of database app: 3, expected about 1,000" in text(event("anomaly"))


def test_many_findings_are_not_all_told() -> None:
    found = tuple(Finding(database=f"d{n}", measure="rows", value=1, expected=9.0) for n in range(30))
    assert "and 10 more" in text(event("anomaly", findings=found))


names = st.text(max_size=3000)


@example(kind="failure", name="\ud800", error="\udfff")
@given(kind=st.sampled_from(KINDS), name=names, error=names)
def test_no_name_or_error_breaks_a_message(kind: Kind, name: str, error: str) -> None:
    told = event(kind, target=name, error=error, error_code="store", backup_id=name)
    for line in (subject(told), *text(told).split("\n")):
        assert not any(unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} for letter in line)
        assert len(line) <= 1100
    assert len(subject(told)) <= 200


@given(kind=st.sampled_from(KINDS), error=names)
def test_an_event_outlives_the_outbox(kind: Kind, error: str) -> None:
    told = event(kind, error=error)
    kept = codec.from_json(Event, json.loads(json.dumps(codec.to_json(told))))
    assert kept == told
    assert (kept.id, as_json(kept)) == (told.id, as_json(told))


def test_events_differ_by_their_id() -> None:
    ids = [event(kind).id for kind in KINDS]
    ids += [event("failure", target="other").id, event("failure", run_id=8).id, event("failure", host="b").id]
    assert len(set(ids)) == len(ids)


def test_the_log_is_for_heartbeats_only() -> None:
    assert "private" not in json.dumps(as_json(event("failure", log="private")))


def test_a_long_line_is_cut() -> None:
    assert one_line("ab\ncd", 4) == "ab …"
