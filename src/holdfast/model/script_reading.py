"""What was understood of a backup script, and what was not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Reading:
    """What was understood, each with the line that it comes from (0: from several), and what was not."""

    host: str | None = None
    port: str | None = None
    user: str | None = None
    databases: list[str] = field(default_factory=list)
    every_database: bool = False
    selection: dict[str, list[str]] = field(default_factory=dict)
    directory: str | None = None
    bucket: str | None = None
    endpoint: str | None = None
    days: int | None = None
    keep_last: int | None = None
    schedule: str | None = None
    pattern: str | None = None
    passphrase_file: str | None = None
    encryption: str | None = None
    notes: list[tuple[int, str]] = field(default_factory=list)
    missed: list[tuple[int, str]] = field(default_factory=list)

    def understood(self) -> Iterator[tuple[str, str]]:
        """What to show: a word for each, and what the script says."""
        every = "all" if self.every_database else ", ".join(self.databases)
        kept = f"{self.days} days" if self.days is not None else None
        last = f"the newest {self.keep_last}" if self.keep_last is not None else None
        for what, value in (
            ("host", self.host),
            ("port", self.port),
            ("user", self.user),
            ("databases", every),
            *((name, ", ".join(found)) for name, found in self.selection.items()),
            ("directory", self.directory),
            ("bucket", self.bucket),
            ("endpoint", self.endpoint),
            ("kept", kept or last),
            ("encryption", self.encryption),
            ("schedule", self.schedule),
            ("file names", self.pattern),
        ):
            if value:
                yield what, value
