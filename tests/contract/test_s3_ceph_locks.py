"""Object Lock on a real gateway, which enforces it and refuses to shorten a lock."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta

import pytest

from contract.lock_contract import BACKUP, LockContract
from holdfast.jobs.checks.stores import check_store
from holdfast.stores.base import Store
from holdfast.stores.locking import LockMode, locks_of
from holdfast.stores.s3 import S3Settings, S3Store
from support import ceph, locking, moto_server

pytestmark = [pytest.mark.extended, pytest.mark.timeout(600)]
PART = 5 * 1024**2


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ceph.ceph_gateway() as found:
        client = moto_server.raw_client(found, ceph.ACCESS_KEY, ceph.SECRET_KEY)
        client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
        client.create_bucket(Bucket="plain")
        yield found


def settings(url: str, prefix: str, mode: LockMode = "compliance", **changes: object) -> S3Settings:
    told = {
        "access_key_id": ceph.ACCESS_KEY,
        "secret_access_key": ceph.SECRET_KEY,
        "patience": 30.0,
        "deadline": 60.0,
        "read_timeout": 30.0,
        "part_bytes": PART,
        "bucket": "locked",
        "prefix": prefix,
        "lock": locking.rule(mode),
    }
    return moto_server.settings(url, **{**told, **changes})


class TestS3LocksOnCeph(LockContract):
    large = PART + 1

    @pytest.fixture
    def store(self, url: str, request: pytest.FixtureRequest) -> Store:
        return S3Store(settings(url, hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]))


@pytest.mark.fault("attack.lock")
def test_the_gateway_itself_refuses_to_shorten(url: str) -> None:
    store = S3Store(settings(url, "shorten"))
    store.put(BACKUP, [b"x"])
    locks = locks_of(store)
    assert locks is not None
    (version,) = locks.versions()
    until = locks.lock_of(version).until
    assert until is not None
    client = moto_server.raw_client(url, ceph.ACCESS_KEY, ceph.SECRET_KEY)
    with pytest.raises(Exception, match="AccessDenied"):
        client.put_object_retention(
            Bucket="locked",
            Key=f"shorten/{BACKUP}",
            VersionId=version.id,
            Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until - timedelta(seconds=5)},
        )


@pytest.mark.fault("attack.lock")
@pytest.mark.parametrize(("mode", "level"), [("governance", "warn"), ("compliance", "ok")])
def test_a_right_to_lift_locks_is_told(url: str, mode: LockMode, level: str) -> None:
    (*_, last) = check_store(S3Store(settings(url, mode, mode)))
    assert last.level == level, last


def test_a_bucket_without_locks_is_told_so(url: str) -> None:
    (*_, last) = check_store(S3Store(settings(url, "none", bucket="plain")))
    assert last.level == "fail"
    assert last.hint
