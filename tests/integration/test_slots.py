"""A slot is taken once, whichever host was first; but only what can be trusted, of the same server, counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.jobs import backup as backup_job
from holdfast.jobs import fence, runner
from holdfast.jobs.backup import backup
from holdfast.jobs.runner import SkippedError
from holdfast.jobs.sweep import sweep
from holdfast.model import layout
from holdfast.model.backup import Backup
from holdfast.model.run import Occasion, Run
from holdfast.model.target import Hooks
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.stores.local import LocalStore
from holdfast.system.clock import SystemClock
from holdfast.system.stop import Stop
from support.endurance import Session
from support.marked import bury
from support.postgres import execute
from support.world import World, world

Host = Callable[..., World]
SLOT = SystemClock().now().replace(microsecond=0) - timedelta(minutes=1)
OCCASION = Occasion(trigger="schedule", slot=SLOT)


@pytest.fixture
def host(database: Conninfo, tmp_path: Path) -> Iterator[Host]:
    """Make hosts that share a server, a store and keys, each with a ledger of its own."""
    execute(database, "CREATE TABLE items AS SELECT 1 AS n")
    store, made = LocalStore("disk", tmp_path / "store"), list[World]()
    with ExitStack() as stack:

        def make(url: str = database.argv_dsn(), name: str = str(database.database)) -> World:
            found = stack.enter_context(
                world(tmp_path / str(len(made)), url, stores={"disk": store}, databases=(name,))
            )
            if made:
                found.services = dataclasses.replace(found.services, keys=made[0].keys)
            made.append(found)
            return found

        yield make


def take(host: World, occasion: Occasion = OCCASION) -> Backup:
    return backup(host.services, host.target, host.stop, occasion=occasion).backup


def test_the_manifest_and_the_run_name_the_slot(host: Host) -> None:
    one = host()
    made = take(one, Occasion(trigger="catch_up", slot=SLOT, attempt=3))
    [run] = one.services.ledger.runs()
    assert made.slot == run.slot == SLOT
    assert (run.trigger, run.attempt) == ("catch_up", 3)


def test_what_another_host_has_taken_is_not_taken_again(host: Host) -> None:
    one, two = host(), host()
    made = take(one)
    with pytest.raises(SkippedError, match=f"host testhost has taken the slot's backup already: {made.id}"):
        take(two)
    [run] = two.services.ledger.runs()
    assert (run.status, run.backup_id, run.slot) == ("skipped", made.id, SLOT)
    assert [row.backup.id for row in two.services.ledger.backups()] == [made.id]
    with pytest.raises(SkippedError, match="the slot has its backup already"):
        take(two, dataclasses.replace(OCCASION, attempt=2))
    take(two, Occasion(trigger="schedule", slot=SLOT + timedelta(seconds=1)))
    take(two, Occasion())


@pytest.mark.parametrize("days", [3, 40])
@pytest.mark.sampled(1)
def test_a_slot_of_long_ago_is_found_too(host: Host, days: int) -> None:
    one, two = host(), host()
    occasion = Occasion(trigger="catch_up", slot=SLOT - timedelta(days=days))
    made = take(one, occasion)
    with pytest.raises(SkippedError, match=made.id):
        take(two, occasion)


def test_the_backup_of_another_server_of_that_name_does_not_count(
    host: Host, second_cluster: Cluster
) -> None:
    one = host()
    two = host(url=second_cluster.conninfo.argv_dsn(), name="postgres")
    assert take(one).id != take(two).id


def test_a_backup_of_an_unknown_signer_does_not_count_and_is_said(host: Host) -> None:
    one, two = host(), host()
    made = take(one)
    own = dataclasses.replace(two.keys, trusted=())
    two.services = dataclasses.replace(two.services, keys=own)
    assert take(two).id != made.id
    assert "a backup that cannot be trusted does not count" in [event for event, _ in two.recorder.warnings]


@pytest.mark.extended
def test_a_backup_that_is_on_its_way_out_does_not_count(host: Host) -> None:
    one, two = host(), host()
    made = take(one)
    bury(one.services, one.services.store("disk"), made.id)
    assert take(two).id != made.id


def test_a_run_that_was_skipped_sweeps_nothing_of_anothers_backup(host: Host) -> None:
    one = host()
    theirs = "20261122T020000Z-0123abcd"
    key = layout.key("shop", theirs, "globals.sql.zst.age")
    one.services.store("disk").put(key, [b"on its way"])
    one.services.ledger.begin(
        Run(job="backup", target="shop", status="skipped", backup_id=theirs, started_at=SLOT, slot=SLOT)
    )
    sweep(one.services, one.target)
    assert one.services.store("disk").stat(key) is not None


def test_a_lost_attempt_of_a_slot_that_succeeded_later_is_closed_as_lost(host: Host) -> None:
    one = host()
    made = take(one)
    again = Run(
        job="backup", target="shop", slot=SLOT, attempt=2, backup_id=made.id, started_at=SLOT, host="testhost"
    )
    one.services.ledger.begin(again)
    sweep(one.services, one.target)
    assert [run.status for run in one.services.ledger.runs()] == ["lost", "succeeded"]


def test_a_slot_that_was_taken_while_our_dump_ran_is_not_taken_again(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The lock in PostgreSQL is that of one server; after a failover there is another."""

    @contextmanager
    def another_servers(*_: object) -> Iterator[Session]:
        yield Session()

    monkeypatch.setattr(backup_job, "_server_lock", another_servers)
    one, two = host(), host()
    two.services = dataclasses.replace(two.services, host="two")
    hooked = tmp_path / "hooked"
    hook = (
        "python3",
        "-c",
        "import os, sys; open(sys.argv[1], 'w').write(os.environ['HOOK_ERROR_CODE'])",
        str(hooked),
    )
    one.target = dataclasses.replace(one.target, hooks=Hooks(on_failure=hook))
    made: list[Backup] = []
    one.services = one.staged(lambda stage: made.append(take(two)) if stage == "parts_stored" else None)
    with pytest.raises(SkippedError, match="host two has taken the slot's backup already"):
        take(one)
    [run] = one.services.ledger.runs()
    assert (run.status, run.backup_id) == ("skipped", made[0].id)
    store = one.services.store("disk")
    assert {found.key.split("/")[1] for found in store.list("shop/")} == {made[0].id}
    assert hooked.read_text() == "skipped"


def test_who_is_about_to_commit_is_waited_for(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = host(), host()
    two.services = dataclasses.replace(two.services, host="two")
    with ExitStack() as stack:
        stack.enter_context(runner.target_lock(two.services, "shop"))
        store = two.services.store("disk")
        theirs = ExitStack()
        theirs.enter_context(fence.fenced(two.services, store, "shop", "backup"))
        stack.callback(theirs.close)
        waited: list[float] = []

        def wait(_: Stop, seconds: float) -> bool:
            waited.append(seconds)
            theirs.close()
            return False

        monkeypatch.setattr(fence, "_POLL_SECONDS", 10.25)
        original = Stop.wait
        monkeypatch.setattr(
            Stop, "wait", lambda self, seconds: (wait if seconds == 10.25 else original)(self, seconds)
        )
        made = take(one)
    assert waited == [10.25]
    assert one.services.ledger.backup(made.id) is not None
    assert [facts["why"] for event, facts in one.recorder.infos if event == "waiting for another host"]
