"""What `check` finds: one line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the check: how it is, of what, and what to do."""

    level: Level
    subject: str
    message: str
    hint: str | None = None
