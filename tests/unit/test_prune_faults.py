"""Retention, copies and what a person said of backups, where stores, clocks and names change under them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.jobs import catalog, copies, keeping
from holdfast.jobs.copies import catch_up
from holdfast.jobs.sweep import sweep
from holdfast.jobs.verify import verify
from holdfast.ledger import retention as kept
from holdfast.model.errors import BlockedError, StoreError
from holdfast.model.pruning import largest_run
from holdfast.model.run import Run
from support.yard import Yard, yard

GRACE = timedelta(days=3, minutes=1)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Yard]:
    with yard(tmp_path) as made:
        yield made


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Yard]:
    with yard(tmp_path, ("a", "b")) as made:
        yield made


# Copies


def _as_the_manifest_comes(two: Yard, backup_id: str, act: str) -> None:
    """Let something befall the copy in b when all but its signed manifest is there."""
    put = two.stores["b"].put

    def watched(key: str, chunks: object, *, absent: bool = False) -> bool:
        if key.endswith("/globals.sql.zst.age"):
            done = put(key, chunks, absent=absent)  # type: ignore[arg-type]
            waiting.append(key)
            return done
        return put(key, chunks, absent=absent)  # type: ignore[arg-type]

    listed = two.stores["b"].list

    def lists(prefix: str = "") -> Iterator[object]:
        if waiting and prefix.endswith(f"{backup_id}/"):
            two.stores["b"].list = listed  # type: ignore[method-assign]
            if act == "unmount":
                two.stores["b"].objects.clear()
            else:
                sweep(two.services, two.target)
        return listed(prefix)  # type: ignore[return-value]

    waiting: list[str] = []
    two.stores["b"].put = watched  # type: ignore[method-assign]
    two.stores["b"].list = lists  # type: ignore[method-assign,assignment]


def test_a_copy_whose_parts_vanish_on_the_way_is_not_committed(two: Yard) -> None:
    (taken,) = two.take(1)
    _as_the_manifest_comes(two, taken, "unmount")
    done = catch_up(two.services, two.target, two.made.stop)
    assert isinstance(done.error(), StoreError)
    assert two.ids("b") == []
    assert catch_up(two.services, two.target, two.made.stop).copied == [(taken, "b")]


def test_who_clears_up_after_a_failed_run_leaves_a_copy_alone_that_goes_on(two: Yard) -> None:
    """The run failed when its backup was committed already, such as for a ledger that was busy too long."""
    (taken,) = two.take(1)
    run = two.services.ledger.begin(
        Run(job="backup", target="shop", started_at=two.clock.now(), backup_id=taken, host="testhost", pid=1)
    )
    two.services.ledger.finish(run.id, status="failed", now=two.clock.now())
    _as_the_manifest_comes(two, taken, "sweep")
    assert catch_up(two.services, two.target, two.made.stop).copied == [(taken, "b")]
    assert two.stores["b"].objects == two.stores["a"].objects


def test_a_copy_that_goes_on_or_broke_off_is_not_called_gone(two: Yard) -> None:
    (taken,) = two.take(1)
    two.services.ledger.record_copy(taken, "b", "copying", two.clock.now())
    assert verify(two.services, two.row(taken), two.made.stop, store="b") == []
    assert [row.backup.id for row in copies.missing(two.services, two.target, "b")] == [taken]


