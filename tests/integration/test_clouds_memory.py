"""How much memory a long upload and download to a cloud take. The servers are ours, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = [pytest.mark.extended, pytest.mark.timeout(600)]
TESTS = Path(__file__).parents[1]
MIB = 1024 * 1024
SERVE = """
import sys
from support.{kind}_server import {kind}_server
with {kind}_server() as served:
    print(served.url, flush=True)
    sys.stdin.read()
"""
STORES = {
    "gcs": "from support.gcs_emulator import settings\nfrom holdfast.stores.gcs import GcsStore as Store",
    "azure": "from support.azurite import settings\nfrom holdfast.stores.azure import AzureStore as Store",
}
MEASURE = """
import sys, time
{store}
store = Store(settings(sys.argv[1], prefix="memory", deadline=120.0, read_timeout=60.0))
store.stat("warm")
def peak():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))) // 1024
idle = peak()
block = bytes(1024 * 1024)
began = time.monotonic()
assert store.put("big", (block for _ in range(300)), absent=True)
wrote = time.monotonic() - began
assert sum(len(chunk) for chunk in store.get("big")) == 300 * len(block)
print(idle, peak(), round(300 / wrote))
"""


@contextmanager
def served(kind: str) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE.format(kind=kind)],
        cwd=TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("kind", ["gcs", "azure"])
def test_300_mib_take_few_blocks_of_memory(kind: str) -> None:
    with served(kind) as url:
        done = subprocess.run(
            [sys.executable, "-c", MEASURE.format(store=STORES[kind]), url],
            cwd=TESTS,
            capture_output=True,
            text=True,
            check=True,
        )
    idle, peak, _ = map(int, done.stdout.split())
    assert peak - idle < 64, done.stdout
    assert peak < 160, done.stdout
