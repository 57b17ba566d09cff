from __future__ import annotations

import pytest

from contract.lock_contract import LockContract
from contract.store_contract import StoreContract
from holdfast.stores.base import Store
from support import locking
from support.locked_store import LockedStore


class TestLockedStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return LockedStore(rule=None)


class TestMemoryLocks(LockContract):
    @pytest.fixture
    def store(self) -> Store:
        return LockedStore(rule=locking.rule())
