"""Writes what was measured as Markdown."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Measured

_MB = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All rounds of one contender. `ratios` are to its base in the same round; `stored` is in bytes."""

    name: str
    runs: Sequence[Measured]
    ratios: Sequence[float]
    stored: int | None


def table(results: Sequence[Result]) -> str:
    """Write the table: medians over the rounds, and the least and most of the ratios."""
    lines = [
        "| what | wall, ratio | least to most | wall s | client CPU s | stored MB | peak memory MB |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for each in results:
        stored = "" if each.stored is None else f"{each.stored / _MB:.0f}"
        lines.append(
            f"| {each.name} | {statistics.median(each.ratios):.2f} | {min(each.ratios):.2f} to {max(each.ratios):.2f}"
            f" | {statistics.median(run.seconds for run in each.runs):.1f}"
            f" | {statistics.median(run.cpu for run in each.runs):.1f} | {stored}"
            f" | {max(run.memory for run in each.runs) / _MB:.0f} |"
        )
    return "\n".join(lines)


def first_byte(seconds: Sequence[float]) -> str:
    """Say how long a small database waits."""
    return (
        f"Time to the first byte in the store, a small database: {statistics.median(seconds):.2f} s"
        f" ({min(seconds):.2f} to {max(seconds):.2f})."
    )


def judged(seconds: Sequence[float], backups: int) -> str:
    """Say how long retention takes to judge many backups."""
    return (
        f"CPU to judge {backups:,} backups: {statistics.median(seconds):.2f} s"
        f" ({min(seconds):.2f} to {max(seconds):.2f})."
    )


def machine(versions: Mapping[str, str]) -> str:
    """Describe where it ran, in one line."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{platform.system()} {platform.release()}, {os.cpu_count()} cores of {_processor()}, {memory:.0f} GiB;"
        f" Python {platform.python_version()}, {said}; load {os.getloadavg()[0]:.1f} at the start"
    )


def version(*argv: str) -> str:
    """Ask a program for its version: the first word with a digit in it."""
    try:
        text = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    except OSError:
        return "absent"
    words = [word.strip(",v*") for word in text.split() if word.strip(",v*")[:1].isdigit()]
    return words[0] if words else "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
