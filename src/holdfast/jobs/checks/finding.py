"""What `check` finds: one line each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from holdfast.model.errors import Error

Level = Literal["ok", "warn", "fail"]
_LOW_SPACE = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the check: how it is, of what, and what to do."""

    level: Level
    subject: str
    message: str
    hint: str | None = None


def guarded(subject: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Turn an error that ends a chain of checks into its last finding."""
    try:
        yield from findings
    except Error as error:
        message = error.message.removeprefix(f"{subject}: ")  # some say themselves of what they are
        yield Finding(level="fail", subject=subject, message=message, hint=error.hint)


def room(subject: str, where: str, free: int) -> Finding:
    """Tell how many bytes are free, and warn when they are few."""
    level: Level = "ok" if free >= _LOW_SPACE else "warn"
    return Finding(level=level, subject=subject, message=f"{where}: {free / 1e9:.1f} GB free")
