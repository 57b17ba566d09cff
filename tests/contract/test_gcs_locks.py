"""Object retention and holds on a small server of ours that speaks the documented protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from contract.lock_contract import LockContract
from holdfast.jobs.checks.stores import check_store
from holdfast.stores.base import Store
from holdfast.stores.gcs import GcsStore
from holdfast.stores.locking import LockMode
from support import gcs_emulator, locking
from support.gcs_server import GRAIN, Bucket, gcs_server
from support.proxy import Rule, answer, proxy_to


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with gcs_server() as found:
        found.versioned = found.retention = True
        yield found


class TestGcsLocks(LockContract):
    large = GRAIN + 1
    marks = False

    @pytest.fixture
    def store(self, bucket: Bucket, request: pytest.FixtureRequest) -> Store:
        prefix = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
        return GcsStore(
            gcs_emulator.settings(bucket.url, prefix=prefix, part_bytes=GRAIN, lock=locking.rule())
        )


def test_a_bucket_without_retention_is_told_so() -> None:
    with gcs_server() as plain:
        store = GcsStore(gcs_emulator.settings(plain.url, lock=locking.rule()))
        (*_, last) = check_store(store)
    assert last.level == "fail"
    assert "retention" in last.message


@pytest.mark.parametrize(("mode", "level"), [("governance", "warn"), ("compliance", "ok")])
def test_a_right_to_lift_locks_is_told(bucket: Bucket, mode: LockMode, level: str) -> None:
    store = GcsStore(gcs_emulator.settings(bucket.url, prefix=mode, lock=locking.rule(mode)))
    (*_, last) = check_store(store)
    assert last.level == level, last


@pytest.mark.fault("attack.lock")
def test_credentials_that_may_delete_nothing_prove_nothing(bucket: Bucket) -> None:
    with proxy_to(bucket.url) as proxy:
        store = GcsStore(gcs_emulator.settings(proxy.url, prefix="writer", lock=locking.rule()))
        proxy.rules.append(Rule(method="DELETE", contains="generation=", act=answer(403), times=None))
        (*_, last) = check_store(store)
    assert last.level == "ok", last
    assert "only a host that may can prove it" in last.message


def test_the_next_check_removes_the_probes_of_the_last(bucket: Bucket) -> None:
    store = GcsStore(gcs_emulator.settings(bucket.url, prefix="again", lock=locking.rule()))
    for _ in range(2):
        list(check_store(store))
        for one in bucket.objects:
            one.metadata.pop("retention", None)  # as if its minute were over
    assert len({one.name for one in bucket.objects if one.name.startswith("again/")}) == 1
