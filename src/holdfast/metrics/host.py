"""The metrics of the daemon itself: its scheduler, clock, config, ledger, disk, certificate and process."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from holdfast.metrics.text import NAN, Family, Filled, Sample
from holdfast.model.errors import Error
from holdfast.model.overview import LOSSES, Overview
from holdfast.streams import certificate

BUILD = Family(name="holdfast_build_info", help="1, with the version that runs.", labels=("version",))
LEDGER_UP = Family(
    name="holdfast_ledger_up",
    help="1 where the ledger could be read; where not, what is read from it is missing.",
)
LOSS = Family(
    name="holdfast_ledger_loss_timestamp_seconds",
    help="When the ledger was last found to have lost what it knew; 0 where it never was.",
    labels=("reason",),
)
REBUILT = Family(
    name="holdfast_ledger_rebuilt_timestamp_seconds",
    help="When the ledger was last rebuilt by holdfast catalog rebuild; 0 where it never was.",
)
TICK = Family(
    name="holdfast_scheduler_last_tick_timestamp_seconds",
    help="When the scheduler last showed that it lives, to the minute; 0 where none ever ran.",
)
CLOCK = Family(
    name="holdfast_clock_suspect", help="1 while the clock shows an earlier time than it did before, else 0."
)
RELOAD = Family(
    name="holdfast_config_reload_success",
    help="1 where the config was taken when it was last read, 0 where it was refused and the old one goes on.",
)
FREE = Family(name="holdfast_state_dir_free_bytes", help="Free space where the ledger lies.")
CERTIFICATE = Family(
    name="holdfast_certificate_expiry_timestamp_seconds",
    help="When the certificate of this endpoint expires; missing without TLS.",
)
MEMORY = Family(name="process_resident_memory_bytes", help="Resident memory size in bytes.")
CPU = Family(
    name="process_cpu_seconds_total", kind="counter", help="Total user and system CPU time spent in seconds."
)
FILES = Family(name="process_open_fds", help="Number of open file descriptors.")
FAMILIES = (BUILD, LEDGER_UP, LOSS, REBUILT, TICK, CLOCK, RELOAD, FREE, CERTIFICATE, MEMORY, CPU, FILES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the daemon stands in. `certificate` is that of the endpoint, where it speaks TLS."""

    version: str
    state_dir: Path
    certificate: Path | None = None


def families(surroundings: Surroundings, overview: Overview | None) -> Iterator[Filled]:
    """The families of this topic with their samples; `overview` is None where the ledger cannot be read."""
    yield BUILD, [((surroundings.version,), 1)]
    yield LEDGER_UP, _one(int(overview is not None))
    if overview is not None:
        daemon = overview.daemon
        yield LOSS, [((reason,), overview.losses.get(reason, 0.0)) for reason in LOSSES]
        yield REBUILT, _one(overview.rebuilt_at)
        yield TICK, _one(daemon.tick_at if daemon else 0.0)
        yield CLOCK, _one(int(daemon is not None and daemon.clock_suspect))
        yield RELOAD, _one(int(daemon is None or not daemon.reload_refused))
    yield FREE, _one(_free(surroundings.state_dir))
    if surroundings.certificate is not None:
        yield CERTIFICATE, _one(_expiry(surroundings.certificate))
    yield from _process()


def _one(value: float) -> list[Sample]:
    return [((), value)]


def _free(folder: Path) -> float:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return NAN


def _expiry(path: Path) -> float:
    try:
        return certificate.expiry(path).timestamp()
    except Error:
        return NAN


def _process() -> Iterator[Filled]:
    """What a process tells of itself, under the names that all programs use. Without /proc only a part of it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    own = Path("/proc/self")
    if own.exists():
        pages = int((own / "statm").read_text().split()[1])
        yield MEMORY, _one(pages * resource.getpagesize())
        yield FILES, _one(sum(1 for _ in (own / "fd").iterdir()))
    yield CPU, _one(used.ru_utime + used.ru_stime)
