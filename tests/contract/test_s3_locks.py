"""Object Lock on moto. It takes conditions and locks as Amazon does."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from contract.lock_contract import LockContract, keeps_a_backup_locked
from holdfast.jobs.checks.stores import check_store
from holdfast.stores.base import Store
from holdfast.stores.locking import LockMode, locks_of
from holdfast.stores.s3 import S3Store
from holdfast.stores.versioned import VersionedStore
from support import locking, moto_server


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server.moto_server() as found:
        moto_server.raw_client(found).create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
        yield found


@pytest.mark.extended
class TestS3Locks(LockContract):
    large = 5 * 1024**2 + 1

    @pytest.fixture
    def store(self, url: str, request: pytest.FixtureRequest) -> Store:
        prefix = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
        return S3Store(
            moto_server.settings(
                url, bucket="locked", prefix=prefix, part_bytes=5 * 1024**2, lock=locking.rule()
            )
        )


@pytest.mark.extended
def test_a_bucket_without_locks_is_told_so(url: str) -> None:
    store = S3Store(moto_server.settings(url, prefix="plain", lock=locking.rule()))
    (*_, last) = check_store(store)
    assert last.level == "fail"


@pytest.mark.parametrize(("mode", "level"), [("governance", "warn"), ("compliance", "ok")])
def test_a_right_to_lift_locks_is_told(url: str, mode: LockMode, level: str) -> None:
    store = S3Store(moto_server.settings(url, bucket="locked", prefix=mode, lock=locking.rule(mode)))
    (*_, last) = check_store(store)
    assert last.level == level, last


@pytest.mark.parametrize("mode", ["governance", "compliance"])
@pytest.mark.sampled(1)
def test_a_backup_is_locked_and_held_and_let_go(url: str, mode: LockMode, tmp_path: Path) -> None:
    store = S3Store(
        moto_server.settings(url, bucket="locked", prefix=f"kept-{mode}", lock=locking.rule(mode))
    )
    keeps_a_backup_locked(store, store.locks(), tmp_path)


def test_nothing_is_locked_without_a_rule(url: str) -> None:
    store = S3Store(moto_server.settings(url, bucket="locked", prefix="none"))
    locks = locks_of(store)
    assert locks is not None
    store.put("shop/20261122T020000Z-7f3a/manifest.json", [b"x"])
    (version,) = locks.versions()
    with pytest.raises(ValueError, match="no locks"):
        locks.lock(version, version.modified_at)
    locks.delete(version)


def test_other_bytes_of_the_same_size_have_another_sum_where_versions_are_suspended(url: str) -> None:
    """All objects that are put then have one id, and a later one takes the place of an earlier."""
    client = moto_server.raw_client(url)
    client.create_bucket(Bucket="suspended")
    for status in ("Enabled", "Suspended"):
        client.put_bucket_versioning(Bucket="suspended", VersioningConfiguration={"Status": status})
    inner = S3Store(moto_server.settings(url, bucket="suspended"))
    store = VersionedStore(inner, inner.locks(), Shown())
    sums = []
    for data in (b"good", b"evil"):
        store.put("shop/20261122T020000Z-7f3a/globals.sql.zst.age", [data])
        sums += [found.checksum for found in store.list("shop/")]
    assert len(sums) == len(set(sums)) == 2


class Shown:
    """Of no key there is anything to look past."""

    def of(self, key: str) -> str | None:
        return None if key else key

    def count(self, folder: str, *, written: Collection[str], there: Collection[str]) -> bool:
        raise AssertionError(folder, written, there)
