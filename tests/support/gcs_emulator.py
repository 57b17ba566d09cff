"""The GCS emulator on loopback, in threads of the tests' own process. It knows no preconditions, pages or retention."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from gcp_storage_emulator.server import create_server

from holdfast.stores.gcs import GcsSettings

BUCKET = "backups"


@contextmanager
def gcs_emulator() -> Iterator[str]:
    """Start the emulator with a bucket named `backups`; give its URL."""
    for name in ("api.object", "gcp_storage_emulator.server", "gcp_storage_emulator.storage"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=BUCKET)
    server.start()
    try:
        yield f"http://127.0.0.1:{server._api._httpd.server_address[1]}"
    finally:
        server.stop()


def settings(url: str, **changes: object) -> GcsSettings:
    """Settings that reach the server, impatient enough for tests; `changes` override them."""
    base: dict[str, object] = {
        "name": "cloud",
        "bucket": BUCKET,
        "endpoint_url": url,
        "anonymous": True,
        "patience": 3.0,
        "deadline": 5.0,
        "retry_pause": 0.02,
        "connect_timeout": 2.0,
        "read_timeout": 5.0,
    }
    return GcsSettings(**{**base, **changes})  # type: ignore[arg-type]
