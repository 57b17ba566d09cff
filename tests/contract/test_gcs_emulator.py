"""The contract on an emulator that others wrote; it ignores preconditions and pages, so test_gcs_store shows those."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from contract.store_contract import StoreContract
from holdfast.stores.base import Store
from holdfast.stores.gcs import GcsStore
from support import gcs_emulator

pytestmark = pytest.mark.extended


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with gcs_emulator.gcs_emulator() as found:
        yield found


class TestGcsStoreOnTheEmulator(StoreContract):
    edge = 256 * 1024
    many = 30
    atomic_sizes = ()

    @pytest.fixture
    def store(self, url: str, request: pytest.FixtureRequest) -> Store:
        prefix = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
        return GcsStore(gcs_emulator.settings(url, prefix=prefix, part_bytes=self.edge))
