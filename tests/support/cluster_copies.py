"""Data directories for throwaway clusters: copies of one that initdb made, each with a system identifier of its own.

initdb takes longer than all the rest of a cluster's start. What Holdfast itself starts is made by initdb all the same.
"""

from __future__ import annotations

import secrets
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from holdfast.postgres import scratch, scratch_home
from holdfast.postgres.scratch_home import Account
from holdfast.system import proc
from holdfast.system.stop import Stop

_HOME = Path("/tmp")  # noqa: S108 - what is made there is private; and no test looks there for what it left
_made: dict[tuple[Path, Account], Path] = {}
_homes = ExitStack()


@contextmanager
def copied() -> Iterator[None]:
    """Have the cluster that is started in the `with` begin as a copy."""
    initdb = scratch.initdb

    def copy(programs: Path, data: Path, account: Account, stop: Stop) -> None:
        reset = programs / "pg_resetwal"
        if not reset.exists():
            initdb(programs, data, account, stop)
            return
        if (programs, account) not in _made:
            first = _homes.enter_context(scratch_home.home(_HOME, account)) / "data"
            initdb(programs, first, account, stop)
            _made[programs, account] = first
        subprocess.run(["/bin/cp", "-a", _made[programs, account], data], check=True)
        with (data / "global" / "pg_control").open("r+b") as control:  # begins with the identifier
            control.write(struct.pack("=Q", secrets.randbits(62)))
        # It takes on what is in that file although the sum of it is wrong, and writes both sum and log anew.
        proc.output_of(scratch.command_of(account, data, str(reset), "--force", str(data)), stop, seconds=60)

    with mock.patch.object(scratch, "initdb", copy):
        yield


def forget() -> None:
    """Remove what the copies were made of."""
    _made.clear()
    _homes.close()
