"""The contract, and what moto cannot show, on a real gateway that checks signatures and keeps time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from contract.store_contract import SourceBrokeError, StoreContract, broken_after, data_of
from holdfast.jobs.checks.stores import check_store
from holdfast.stores.base import RefusedError, Store
from holdfast.stores.s3 import S3Settings, S3Store
from support import ceph, moto_server

pytestmark = [pytest.mark.extended, pytest.mark.timeout(600)]
PART = 5 * 1024**2


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ceph.ceph_gateway() as found:
        moto_server.raw_client(found, ceph.ACCESS_KEY, ceph.SECRET_KEY).create_bucket(Bucket="backups")
        yield found


def settings(url: str, **changes: object) -> S3Settings:
    keys = {
        "access_key_id": ceph.ACCESS_KEY,
        "secret_access_key": ceph.SECRET_KEY,
        "patience": 30.0,
        "deadline": 60.0,
    }
    return moto_server.settings(url, **{**keys, "read_timeout": 30.0, "part_bytes": PART, **changes})


class TestS3StoreOnCeph(StoreContract):
    edge = PART
    many = 1005
    atomic_sizes = (0,)  # the gateway of Ceph 16 ignores the condition when it joins parts

    @pytest.fixture
    def store(self, url: str, request: pytest.FixtureRequest) -> Store:
        prefix = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
        return S3Store(settings(url, prefix=prefix))


@pytest.mark.fault("store.services")
def test_vouches_for_small_and_large_objects(url: str) -> None:
    store = S3Store(settings(url, prefix="vouch"))
    assert store.put("small", [b"x"]) is True
    assert store.put("large", [data_of(2 * PART + 1)]) is True


def test_check_tells_that_the_condition_holds_for_small_objects_only(url: str) -> None:
    store = S3Store(settings(url, prefix="check"))
    found = [(finding.level, finding.message) for finding in check_store(store)]
    assert found[0][0] == "ok"
    assert len(found) == 1 or "small objects only" in found[1][1]  # newer gateways guard both
    assert list(store.list()) == []


@pytest.mark.fault("store.uploads")
def test_sweeps_unfinished_uploads_by_their_age(url: str) -> None:
    client = moto_server.raw_client(url, ceph.ACCESS_KEY, ceph.SECRET_KEY)
    client.create_multipart_upload(Bucket="backups", Key="stale/a")
    store = S3Store(settings(url, prefix="stale"))
    now = datetime.now(UTC)
    assert store.abort_stale("", now - timedelta(hours=1)) == 0
    assert store.abort_stale("", now + timedelta(hours=1)) == 1
    assert "Uploads" not in client.list_multipart_uploads(Bucket="backups", Prefix="stale/")


def test_a_source_that_breaks_leaves_no_unfinished_upload(url: str) -> None:
    with suppress(SourceBrokeError):
        S3Store(settings(url, prefix="broken")).put("a", broken_after([data_of(PART)] * 3))
    client = moto_server.raw_client(url, ceph.ACCESS_KEY, ceph.SECRET_KEY)
    assert "Uploads" not in client.list_multipart_uploads(Bucket="backups", Prefix="broken/")


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"secret_access_key": "wrong"}, "SignatureDoesNotMatch", "secret access key"),
        ({"access_key_id": "AKIDUNKNOWN"}, "InvalidAccessKeyId", "access key"),
        ({"bucket": "nowhere"}, "NoSuchBucket", "bucket"),
    ],
)
def test_a_real_refusal_is_told_with_what_to_do(
    url: str, changes: dict[str, object], message: str, hint: str
) -> None:
    with pytest.raises(RefusedError, match=message) as caught:
        list(S3Store(settings(url, **changes)).list())
    assert hint in (caught.value.hint or "")
