"""The contract on Microsoft's own emulator, which checks signatures and digests."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import pytest

from contract.store_contract import SourceBrokeError, StoreContract, broken_after, data_of
from holdfast.stores.azure import AzureStore
from holdfast.stores.base import RefusedError, Store
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


@pytest.mark.parametrize(("size", "vouched"), [(0, True), (1, True), (BLOCK, False), (3 * BLOCK + 1, False)])
def test_the_emulator_vouches_for_what_came_in_one_request(url: str, size: int, *, vouched: bool) -> None:
    """Of a block it does not tell the MD5, as Azure does."""
    store = AzureStore(azurite.settings(url, prefix=f"vouch/{size}", block_bytes=BLOCK))
    assert store.put("k", [data_of(size)]) is vouched


def test_a_source_that_breaks_makes_no_blob(url: str) -> None:
    with pytest.raises(SourceBrokeError):
        AzureStore(azurite.settings(url, prefix="broken", block_bytes=BLOCK)).put(
            "k", broken_after([data_of(BLOCK)] * 3)
        )
    client = azurite.raw_client(url)
    assert list(client.list_blobs(name_starts_with="broken")) == []


def test_other_programs_find_the_md5_of_the_whole(url: str) -> None:
    data = data_of(3 * BLOCK + 1)
    AzureStore(azurite.settings(url, prefix="md5", block_bytes=BLOCK)).put("k", [data])
    found = azurite.raw_client(url).get_blob_client("md5/k").get_blob_properties()
    assert bytes(found.content_settings.content_md5) == hashlib.md5(data, usedforsecurity=False).digest()


def test_the_tier_goes_with_every_object(url: str) -> None:
    store = AzureStore(azurite.settings(url, prefix="tier", block_bytes=BLOCK, access_tier="Cool"))
    store.put("small", [b"x"])
    store.put("large", [data_of(2 * BLOCK)])
    for key in ("small", "large"):
        found = azurite.raw_client(url).get_blob_client(f"tier/{key}").get_blob_properties()
        assert found.blob_tier == "Cool"


def test_conditions_are_seen_to_be_honoured(url: str) -> None:
    store = AzureStore(azurite.settings(url, prefix="conditions"))
    store.put("probe", [b"x"])
    assert store.conditions("probe") == "honoured"


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"account_key": "d3Jvbmc="}, "AuthorizationFailure|AuthenticationFailed", "account_key|login"),
        ({"container": "nowhere"}, "ContainerNotFound", "container"),
        ({"account_key": None, "sas_token": "sv=2024-01-01&sp=r&sig=eA=="}, "Auth", "sas_token|login"),
    ],
)
def test_a_real_refusal_is_told_with_what_to_do(
    url: str, changes: dict[str, object], message: str, hint: str
) -> None:
    with pytest.raises(RefusedError, match=message) as caught:
        list(AzureStore(azurite.settings(url, **changes)).list())
    assert re.search(hint, caught.value.hint or ""), caught.value
