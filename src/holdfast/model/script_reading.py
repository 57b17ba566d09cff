"""What was understood of a backup script, and what was not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Reading:
    """What was understood, each with the line that it comes from (0: from several), and what was not."""

    server: dict[str, str] = field(default_factory=dict)  # host, port, username, and parameters of libpq
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
    iterations: str | None = None
    encryption: list[str] = field(default_factory=list)
    profile: str | None = None
    dumps: int = 0
    notes: list[tuple[int, str]] = field(default_factory=list)
    missed: list[tuple[int, str]] = field(default_factory=list)

    @property
    def host(self) -> str | None:
        """The server's host, where the script says it."""
        return self.server.get("host")

    @property
    def port(self) -> str | None:
        """The server's port, where the script says it."""
        return self.server.get("port")

    @property
    def user(self) -> str | None:
        """The role that dumps, where the script says it."""
        return self.server.get("username")

    def understood(self) -> Iterator[tuple[str, str]]:
        """What to show: a word for each, and what the script says."""
        every = "all" if self.every_database else ", ".join(self.databases)
        kept = None if self.days is None else f"{self.days} {'day' if self.days == 1 else 'days'}"
        last = f"the newest {self.keep_last}" if self.keep_last is not None else None
        for what, value in (
            ("host", self.host),
            ("port", self.port),
            ("user", self.user),
            *((k, v) for k, v in self.server.items() if k not in {"host", "port", "username"}),
            ("databases", every),
            *((name, ", ".join(found)) for name, found in self.selection.items()),
            ("directory", self.directory),
            ("bucket", self.bucket),
            ("endpoint", self.endpoint),
            ("kept", kept or last),
            ("profile", self.profile),
            ("encryption", ", ".join(dict.fromkeys(self.encryption))),
            ("schedule", self.schedule),
            ("file names", self.pattern),
        ):
            if value:
                yield what, value
