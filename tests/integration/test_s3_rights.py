"""The policies of docs/how-to/s3-permissions.md, enforced by a real gateway: what a writer, a pruner and a restorer can and cannot."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from holdfast.jobs import past
from holdfast.jobs.backup import backup
from holdfast.jobs.catalog import rebuild
from holdfast.jobs.checks.stores import check_store
from holdfast.jobs.copies import catch_up
from holdfast.jobs.find import open_best
from holdfast.jobs.prune import Pruned, Wish, complain, prune
from holdfast.jobs.repair import repair
from holdfast.jobs.restore import Wish as Restoring
from holdfast.jobs.restore import restore
from holdfast.jobs.services import Keys
from holdfast.jobs.verify import verify
from holdfast.ledger.ledger import BackupRow
from holdfast.model.errors import Error
from holdfast.model.lease import Terms
from holdfast.model.retention import Policy
from holdfast.model.target import Rules
from holdfast.postgres.scratch import Cluster
from holdfast.stores.base import RefusedError, Store
from holdfast.stores.locking import LockedError, locks_of
from holdfast.stores.s3 import S3Store
from support import ceph, locking, moto_server
from support.memory_store import MemoryStore
from support.restoring import create, databases, drop
from support.shelved import shelved
from support.world import World, world

pytestmark = [pytest.mark.extended, pytest.mark.timeout(900)]
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "s3-permissions.md"
BUCKET, PREFIX = "acme-backups", "postgres"
ROLES = ("writer", "pruner", "restorer")
DATABASE = "rights"
OURS = "shop/20261122T020000Z-7f3a/globals.sql.zst.age"


def policy(role: str) -> list[dict[str, object]]:
    """Read the statements of a role from the page, for the user of that name."""
    section = PAGE.read_text().split(f"\n## A {role}\n")[1].split("\n## ")[0]
    found = re.search(r"```json\n(.*?)```", section, re.DOTALL)
    assert found is not None
    statements: list[dict[str, object]] = json.loads(found[1])["Statement"]
    user = {"AWS": [f"arn:aws:iam:::user/{role}"]}
    return [{**each, "Sid": f"{role}{each['Sid']}", "Principal": user} for each in statements]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ceph.ceph_gateway(*ROLES) as found:
        owner = moto_server.raw_client(found, ceph.ACCESS_KEY, ceph.SECRET_KEY)
        owner.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        told = {"Version": "2012-10-17", "Statement": [each for role in ROLES for each in policy(role)]}
        owner.put_object(Bucket=BUCKET, Key="others/x", Body=b"not ours")
        owner.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(told))
        yield found


def store(url: str, role: str, **changes: object) -> S3Store:
    access, secret = ceph.keys_of(role)
    told: dict[str, object] = {
        "access_key_id": access,
        "secret_access_key": secret,
        "patience": 30.0,
        "deadline": 60.0,
        "read_timeout": 30.0,
        "part_bytes": 5 * 1024**2,
        "bucket": BUCKET,
        "prefix": PREFIX,
    }
    return S3Store(moto_server.settings(url, **{**told, **changes}))


@dataclass(slots=True, kw_only=True)
class Hosts:
    """A host of each role. The writer holds no identity, the restorer nothing else."""

    writer: World
    pruner: World
    restorer: World


@pytest.fixture
def hosts(url: str, cluster: Cluster, tmp_path: Path) -> Iterator[Hosts]:
    create(cluster, DATABASE, "CREATE TABLE t AS SELECT g FROM generate_series(1, 1000) g")
    dsn = cluster.conninfo.argv_dsn()
    with (
        world(
            tmp_path / "writer", dsn, stores={"cloud": store(url, "writer")}, databases=(DATABASE,)
        ) as writer,
        world(tmp_path / "pruner", dsn, stores={"cloud": store(url, "pruner")}) as pruner,
        world(tmp_path / "restorer", dsn, stores={"cloud": store(url, "restorer")}) as restorer,
    ):
        keys = writer.keys
        _be(writer, store(url, "writer"), replace(keys, identities=()))
        _be(pruner, store(url, "pruner"), replace(keys, identities=(), recipients=()))
        pruner.services = replace(pruner.services, leases={"cloud": Terms(pruner=pruner.services.host)})
        _be(restorer, store(url, "restorer"), replace(keys, signing=None, recipients=()))
        yield Hosts(writer=writer, pruner=pruner, restorer=restorer)
    drop(cluster, DATABASE)


def _be(made: World, opened: Store, keys: Keys) -> None:
    services = made.services
    stores = past.seen_past({"cloud": opened}, keys, services.ledger, services.clock)
    made.services = replace(services, keys=keys, stores=stores)


def rows(made: World) -> list[BackupRow]:
    rebuild(made.services, quick=True, forget=False)
    return made.services.ledger.backups("shop")


def brought_back(made: World, row: BackupRow, cluster: Cluster) -> bool:
    name = f"{DATABASE} back"
    wish = Restoring(into=cluster.conninfo, database=DATABASE, rename=name)
    try:
        restore(made.services, open_best(made.services, row), wish, made.stop)
        return name in databases(cluster)
    finally:
        drop(cluster, name)


@pytest.mark.fault("attack.delete")
def test_each_takes_its_part_of_a_backups_life(hosts: Hosts, cluster: Cluster, url: str) -> None:
    writer, pruner, restorer = hosts.writer, hosts.pruner, hosts.restorer
    first = backup(writer.services, writer.target, writer.stop).backup
    second = backup(writer.services, writer.target, writer.stop).backup
    assert not writer.recorder.warnings
    assert [row.backup.id for row in rows(writer)] == [second.id, first.id]
    assert [each.error for row in rows(writer) for each in verify(writer.services, row, writer.stop)] == [
        None
    ] * 2

    # The writer's own credentials, in other hands: it writes over everything, and can remove nothing.
    raw = moto_server.raw_client(url, *ceph.keys_of("writer"))
    for found in raw.list_objects_v2(Bucket=BUCKET, Prefix=f"{PREFIX}/")["Contents"]:
        raw.put_object(Bucket=BUCKET, Key=found["Key"], Body=b"pay us")
        for version in ({}, {"VersionId": found.get("VersionId", "null")}):
            with pytest.raises(Exception, match="AccessDenied"):
                raw.delete_object(Bucket=BUCKET, Key=found["Key"], **version)

    found = rows(restorer)
    assert [row.backup.id for row in found] == [second.id, first.id]
    assert all("written over" in str(row.copies[0].covered) for row in found)
    assert brought_back(restorer, found[1], cluster)
    for change in (
        lambda: restorer.services.store("cloud").put("shop/x", [b"x"]),
        lambda: restorer.services.store("cloud").delete(f"shop/{second.id}/manifest.json"),
    ):
        with pytest.raises(RefusedError):
            change()

    (newest,) = (row for row in rows(pruner) if row.backup.id == second.id)
    (mended,) = repair(pruner.services, newest, pruner.stop)
    assert (mended.error, len(mended.uncovered) > 3) == (None, True)
    assert [row.copies[0].covered is None for row in rows(restorer)] == [True, False]

    keep_one = Rules(
        policy=Policy(keep_last=1, daily=0, weekly=0, monthly=0, yearly=0, minimum=1), grace=timedelta(0)
    )
    target = replace(pruner.target, retention=keep_one)
    results: list[Pruned] = []
    for _ in range(2):
        results += prune(pruner.services, target, pruner.stop, wish=Wish())
        complain(results)
        time.sleep(1.1)
    assert [each.hidden for each in results] == [(first.id,), ()]
    assert [each.removed for each in results] == [(), (first.id,)]
    owner = moto_server.raw_client(url, ceph.ACCESS_KEY, ceph.SECRET_KEY)
    left = owner.list_object_versions(Bucket=BUCKET, Prefix=f"{PREFIX}/shop/{first.id}/")
    assert {each["Key"].rpartition("/")[2] for each in left.get("Versions", ())} == {
        "tombstone.json",
        "tombstone.json.minisig",
    }
    assert [row.backup.id for row in rows(restorer) if row.good] == [second.id]


def test_a_writer_locks_what_it_wrote(hosts: Hosts, url: str) -> None:
    writer, rule = hosts.writer, locking.rule("governance")
    _be(writer, store(url, "writer", lock=rule), writer.keys)
    taken = backup(writer.services, writer.target, writer.stop)
    assert not writer.recorder.warnings
    locks = locks_of(store(url, "writer", lock=rule))
    assert locks is not None
    found = [locks.lock_of(each) for each in locks.versions(f"shop/{taken.backup.id}/")]
    assert len(found) > 3
    assert {each.mode for each in found} == {"governance"}


def test_a_writer_clears_away_uploads_that_a_kill_left(url: str) -> None:
    raw = moto_server.raw_client(url, *ceph.keys_of("writer"))
    raw.create_multipart_upload(Bucket=BUCKET, Key=f"{PREFIX}/shop/x")
    assert store(url, "writer").abort_stale("shop/", datetime.now(UTC) + timedelta(hours=1)) == 1
    owner = moto_server.raw_client(url, ceph.ACCESS_KEY, ceph.SECRET_KEY)
    assert "Uploads" not in owner.list_multipart_uploads(Bucket=BUCKET)


def test_a_writer_copies_to_the_bucket(hosts: Hosts) -> None:
    writer = hosts.writer
    main = MemoryStore("main")
    services = replace(writer.services, stores={"main": main, **writer.services.stores})
    made = shelved(services, main, "20261122T020000Z-cccc")
    rebuild(services)
    done = catch_up(services, replace(writer.target, stores=("main", "cloud")), writer.stop)
    assert (made.id, "cloud") in [(backup_id, name) for backup_id, name, *_ in done.copied]
    assert not writer.recorder.warnings


def test_what_a_failed_backup_of_a_writer_left_is_told_and_goes_with_the_pruner(
    hosts: Hosts, url: str
) -> None:
    writer = hosts.writer

    def fail(stage: str) -> None:
        if stage == "manifest":
            raise Error("the host fell over")

    services = replace(writer.services, stage=fail)
    with pytest.raises(Error, match="fell over"):
        backup(services, writer.target, writer.stop)
    assert not writer.recorder.warnings
    assert [text for text, _ in writer.recorder.infos if "left for who prunes" in text]
    (run,) = writer.services.ledger.runs("shop", "backup", limit=1)
    assert run.backup_id is not None
    raw = moto_server.raw_client(url, ceph.ACCESS_KEY, ceph.SECRET_KEY)
    left = raw.list_objects_v2(Bucket=BUCKET, Prefix=f"{PREFIX}/shop/{run.backup_id}/")
    assert left["KeyCount"] >= 2
    backup(writer.services, writer.target, writer.stop)  # the next one sweeps, and is not kept from its work
    assert not writer.recorder.warnings
    bucket = hosts.pruner.services.store("cloud")
    for found in left["Contents"]:
        bucket.delete(found["Key"].removeprefix(f"{PREFIX}/"))
    versions = raw.list_object_versions(Bucket=BUCKET, Prefix=f"{PREFIX}/shop/{run.backup_id}/")
    assert not versions.get("Versions")


@pytest.mark.parametrize("role", ROLES)
def test_check_says_what_each_may(url: str, role: str) -> None:
    found = check_store(store(url, role))
    if role == "restorer":
        assert [(each.level, "write" in each.message) for each in found] == [("fail", True)]
        return
    levels = [(each.level, each.message.partition(": ")[2]) for each in found]
    assert ("fail" in {level for level, _ in levels}) is False, levels
    assert ("deleting is refused, as is right" in levels[0][1]) is (role == "writer")


@pytest.mark.fault("attack.lock")
def test_nobody_lifts_or_shortens_a_lock(url: str) -> None:
    rule = locking.rule("governance")
    store(url, "writer", lock=rule).put(OURS, [b"locked"])
    for role in ("writer", "pruner"):
        locks = locks_of(store(url, role, lock=rule))
        assert locks is not None
        (version,) = (each for each in locks.versions(OURS) if each.key == OURS)
        until = locks.lock_of(version).until
        assert until is not None
        for bypass in (False, True):
            with pytest.raises(LockedError):
                locks.delete(version, bypass=bypass)
        raw = moto_server.raw_client(url, *ceph.keys_of(role))
        for more in ({}, {"BypassGovernanceRetention": True}):
            with pytest.raises(Exception, match="AccessDenied"):
                raw.put_object_retention(
                    Bucket=BUCKET,
                    Key=f"{PREFIX}/{OURS}",
                    VersionId=version.id,
                    Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until - timedelta(seconds=9)},
                    **more,
                )
        assert locks.lock_of(version).until == until


@pytest.mark.parametrize("role", ROLES)
def test_nobody_reaches_beyond_the_prefix(url: str, role: str) -> None:
    raw: Any = moto_server.raw_client(url, *ceph.keys_of(role))
    other = {"Bucket": BUCKET, "Key": "others/x"}
    for method, told in (
        ("put_object", {**other, "Body": b"x"}),
        ("get_object", other),
        ("delete_object", other),
        ("put_bucket_policy", {"Bucket": BUCKET, "Policy": "{}"}),
        ("put_bucket_versioning", {"Bucket": BUCKET, "VersioningConfiguration": {"Status": "Suspended"}}),
    ):
        with pytest.raises(Exception, match="AccessDenied"):
            getattr(raw, method)(**told)
