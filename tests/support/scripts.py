"""Dumps as other people's scripts leave them behind: of every kind, compressed and encrypted in every usual way."""

from __future__ import annotations

import gzip
import subprocess
from datetime import UTC
from pathlib import Path
from typing import Any

from holdfast.jobs.import_files import ImportWish
from holdfast.model.filenames import compile_pattern
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.stores.local import LocalStore
from holdfast.streams.openssl import Passphrase
from support.postgres import run_tool, toolset

PASSPHRASE = "correct horse"


def dumped(cluster: Cluster, database: Conninfo, *options: str) -> bytes:
    """Dump a database, as a script does."""
    return run_tool(toolset(cluster), "pg_dump", database, *options)


def globals_of(cluster: Cluster) -> bytes:
    """Dump the roles and tablespaces."""
    return run_tool(toolset(cluster), "pg_dumpall", cluster.conninfo, "--globals-only")


def encrypted(data: bytes, *options: str) -> bytes:
    """Encrypt with the real openssl."""
    argv = ["openssl", "enc", "-aes-256-cbc", "-salt", "-pass", f"pass:{PASSPHRASE}", *options]
    return subprocess.run(argv, input=data, capture_output=True, check=True).stdout


def zipped(data: bytes) -> bytes:
    """Compress as gzip does."""
    return gzip.compress(data, 1)


def wish(folder: Path, pattern: str, **more: Any) -> ImportWish:  # noqa: ANN401 - what a wish takes
    """Ask for the files of a folder."""
    return ImportWish(
        origin=LocalStore("files", folder),
        pattern=compile_pattern(pattern, UTC),
        passphrase=Passphrase(secret=PASSPHRASE.encode()),
        **more,
    )
