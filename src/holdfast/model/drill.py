"""A drill: the disaster plan done on a throwaway server, and how long that took."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from holdfast.model.comparison import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """A drill that came to its end.

    `seconds` are from its first step to the sixth, answers included, without making the throwaway server; `phases` are
    what the work of it took, that server too. `size` is what came back, in plain bytes as it was dumped.
    """

    target: str
    backup_id: str
    at: datetime
    seconds: float
    phases: tuple[Phase, ...]
    databases: int
    size: int
    isolation: str
