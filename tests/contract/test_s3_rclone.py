"""The contract on rclone's S3 server, which checks signatures, keeps no metadata of its own, and ignores conditions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from contract.store_contract import StoreContract
from holdfast.jobs.checks.stores import check_store
from holdfast.stores.base import Store
from holdfast.stores.s3 import S3Settings, S3Store
from support import moto_server, rclone

pytestmark = [pytest.mark.extended, pytest.mark.timeout(600)]
PART = 5 * 1024**2


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with rclone.rclone_server() as found:
        yield found


def settings(url: str, **changes: object) -> S3Settings:
    keys = {"access_key_id": rclone.ACCESS_KEY, "secret_access_key": rclone.SECRET_KEY, "part_bytes": PART}
    return moto_server.settings(url, **{**keys, "read_timeout": 30.0, "patience": 10.0, **changes})


class TestS3StoreOnRclone(StoreContract):
    edge = PART
    many = 1005
    atomic_sizes = ()  # it ignores If-None-Match: `check` warns of that

    @pytest.fixture
    def store(self, url: str, request: pytest.FixtureRequest) -> Store:
        prefix = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
        return S3Store(settings(url, prefix=prefix))


@pytest.mark.fault("store.services")
def test_check_notices_that_conditions_are_ignored(url: str) -> None:
    store = S3Store(settings(url, prefix="check"))
    found = [(finding.level, finding.message) for finding in check_store(store)]
    assert [level for level, _ in found] == ["ok", "warn"], found
    assert "no conditional put" in found[1][1]
    assert list(store.list()) == []
