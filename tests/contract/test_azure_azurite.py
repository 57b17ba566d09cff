"""The contract on Microsoft's own emulator, which checks signatures and digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from contract.store_contract import StoreContract
from holdfast.stores.azure import AzureStore
from holdfast.stores.base import Store
from support import azurite

pytestmark = [pytest.mark.extended, pytest.mark.timeout(600)]
BLOCK = 256 * 1024


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with azurite.azurite() as found:
        yield found


class TestAzureStoreOnAzurite(StoreContract):
    edge = BLOCK
    many = 1005

    @pytest.fixture
    def store(self, url: str, request: pytest.FixtureRequest) -> Store:
        prefix = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
        return AzureStore(azurite.settings(url, prefix=prefix, block_bytes=self.edge))
