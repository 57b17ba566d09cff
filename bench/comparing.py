"""Compares a restored database with a dump of its original once, in a process of its own, and tells what that took."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from holdfast.methods.identity import Subject, compare_database
from holdfast.model.target import Selection
from holdfast.postgres import catalog, conninfo, tools
from holdfast.postgres.snapshot import exported_snapshot
from holdfast.system.stop import Stop

_PIECE = 1024 * 1024


def main(argv: Sequence[str]) -> None:
    """Print JSON: whether it is the same, seconds by phase, CPU seconds of this process and of its children, memory."""
    dump, original, restored = argv
    source = conninfo.parse(original)
    with exported_snapshot(source, application_name="bench", lock_wait_timeout=10) as snap:
        version = snap.connection.info.server_version
        found = catalog.read_database(
            snap.connection, Selection(), name=source.database or "", version_num=version
        )
    subject = Subject(
        archive=partial(_chunks, Path(dump)),
        found=found,
        where=conninfo.parse(restored),
        clients=tools.choose(tools.find_toolsets(), version),
    )
    before, began = time.process_time(), time.perf_counter()
    done = compare_database(subject, stop=Stop())
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        json.dumps(
            {
                "same": not any(each.kind != "property" for each in done.differences),
                "seconds": time.perf_counter() - began,
                "phases": {phase.name: phase.seconds for phase in done.phases},
                "rows": done.rows,
                "cpu": time.process_time() - before,
                "programs": children.ru_utime + children.ru_stime,
                "memory": _peak(),
            }
        )
    )


def _peak() -> int:
    """Give the most memory that this process had, in bytes; ru_maxrss would count that of who started it, too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


if __name__ == "__main__":
    main(sys.argv[1:])
