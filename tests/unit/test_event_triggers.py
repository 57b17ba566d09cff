from __future__ import annotations

import pytest

from holdfast.methods import event_triggers, staging
from holdfast.methods.staging import Staged
from holdfast.postgres.entries import Entry, Header, Toc


def entry(number: int, desc: str, tag: str) -> Entry:
    return Entry(
        dump_id=number,
        table_oid=0,
        oid=number,
        tag=tag,
        desc=desc,
        section="post-data",
        namespace=None,
        owner="o",
        has_data=False,
        dependencies=(),
    )


ENTRIES = (
    entry(1, "EVENT TRIGGER", "audit"),
    entry(2, "COMMENT", "EVENT TRIGGER audit"),
    entry(3, "MATERIALIZED VIEW DATA", "m"),
)


@pytest.mark.parametrize(
    ("only", "first", "then"),
    [(None, (3,), (1, 2)), ((3, 1), (3,), (1,)), ((3,), (3,), ()), ((), (), ())],
)
def test_they_come_last_of_what_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
    only: tuple[int, ...] | None,
    first: tuple[int, ...],
    then: tuple[int, ...],
) -> None:
    header = Header(version="1.14", compression="none", database="d", server_version="15", dump_version="15")
    monkeypatch.setattr(staging, "contents", lambda _: Toc(header=header, entries=ENTRIES, end=0))
    assert event_triggers.apart(Staged(handle=-1), only) == (first, then)
