"""Microsoft's own emulator of Azure Blob Storage on loopback. It comes from npm: script/bootstrap --extended."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.stores.azure import AzureSettings

ACCOUNT = "throwaway"
KEY = "c2VjcmV0LW9mLWEtdGhyb3dhd2F5LWVtdWxhdG9y"
CONTAINER = "backups"
_PROGRAM = Path(__file__).parents[2] / ".cache/azurite/node_modules/.bin/azurite-blob"
_PATIENCE = 60.0


@contextmanager
def azurite() -> Iterator[str]:
    """Start the emulator with a container named `backups`; give its URL."""
    program = os.environ.get("TEST_AZURITE") or (str(_PROGRAM) if _PROGRAM.exists() else "")
    program = program or shutil.which("azurite-blob") or ""
    if not program:
        raise RuntimeError("azurite-blob not found: script/bootstrap --extended installs it with npm")
    with tempfile.TemporaryDirectory(prefix="azurite-") as home:
        port = _free_port()
        argv = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", home]
        argv += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        environment = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
        process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            _await(process, port)
            url = f"http://127.0.0.1:{port}/{ACCOUNT}"
            raw_client(url).create_container()
            yield url
        finally:
            process.kill()
            process.wait()


def raw_client(url: str):  # type: ignore[no-untyped-def]  # noqa: ANN201 - the library leaves it open
    """Make a client that goes round our store, to look at what lies there."""
    from azure.core.credentials import AzureNamedKeyCredential  # noqa: PLC0415 - slow to import
    from azure.storage.blob import ContainerClient  # noqa: PLC0415 - slow to import

    return ContainerClient(url, CONTAINER, credential=AzureNamedKeyCredential(ACCOUNT, KEY), retry_total=0)


def settings(url: str, **changes: object) -> AzureSettings:
    """Settings that reach the server, impatient enough for tests; `changes` override them."""
    base: dict[str, object] = {
        "name": "cloud",
        "account": ACCOUNT,
        "container": CONTAINER,
        "endpoint_url": url,
        "account_key": KEY,
        "patience": 3.0,
        "deadline": 5.0,
        "retry_pause": 0.02,
        "connect_timeout": 2.0,
        "read_timeout": 5.0,
    }
    return AzureSettings(**{**base, **changes})  # type: ignore[arg-type]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError("azurite-blob did not come up")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
