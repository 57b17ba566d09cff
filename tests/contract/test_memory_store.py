from __future__ import annotations

import pytest

from contract.store_contract import StoreContract
from holdfast.stores.base import Store
from support.memory_store import MemoryStore


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()
