"""Immutability and legal holds on a small server of ours that speaks the documented protocol; Azurite has none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from contract.lock_contract import LockContract
from holdfast.jobs.checks.stores import check_store
from holdfast.stores.azure import AzureStore
from holdfast.stores.base import Store
from holdfast.stores.locking import LockMode
from support import azurite, locking
from support.azure_server import Container, azure_server

BLOCK = 256 * 1024


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    with azure_server() as found:
        found.versioned = found.immutable = True
        yield found


@pytest.mark.extended
class TestAzureLocks(LockContract):
    large = BLOCK + 1
    marks = False

    @pytest.fixture
    def store(self, container: Container, request: pytest.FixtureRequest) -> Store:
        prefix = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
        return AzureStore(
            azurite.settings(container.url, prefix=prefix, block_bytes=BLOCK, lock=locking.rule())
        )


def test_a_container_without_immutability_is_told_so() -> None:
    with azure_server() as plain:
        plain.versioned = True
        store = AzureStore(azurite.settings(plain.url, lock=locking.rule()))
        (*_, last) = check_store(store)
    assert last.level == "fail"


@pytest.mark.parametrize(("mode", "level"), [("governance", "warn"), ("compliance", "ok")])
def test_a_right_to_lift_locks_is_told(container: Container, mode: LockMode, level: str) -> None:
    store = AzureStore(azurite.settings(container.url, prefix=mode, lock=locking.rule(mode)))
    (*_, last) = check_store(store)
    assert last.level == level, last
