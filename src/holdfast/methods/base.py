"""The contract of a method: how a target becomes streams of bytes, and what is known of it afterwards."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.model.backup import PartFormat, Role, Server
from holdfast.model.catalog import Catalog
from holdfast.system.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One part to be stored.

    `chunks` ends normally only when the part is complete, and must be consumed before the next source is asked
    for. `size_hint` is a rough upper bound in bytes; `compressible` is False for what is compressed already.
    `note` is asked after the last chunk for what helps to read pieces of the part.
    """

    role: Role
    format: PartFormat
    stem: str
    database: str | None = None
    size_hint: int = 0
    compressible: bool = True
    chunks: Iterator[bytes] = field(repr=False)
    note: Callable[[], bytes] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the method learned: the server, the programs used, the databases captured and their catalog."""

    server: Server
    tools: Mapping[str, str]
    databases: tuple[str, ...]
    catalog: Catalog


class Method(Protocol):
    """One way of capturing a target."""

    @property
    def name(self) -> str:
        """The word in the manifest: `logical`."""
        ...

    def capture(self, stop: Stop) -> Generator[Source, None, None]:
        """Give the parts, one after the other.

        Asking for the next source checks the one before; an incomplete one raises SourceError or IntegrityError.
        Closing the generator ends whatever still runs.
        """
        ...

    @property
    def facts(self) -> Facts:
        """What was learned; only after `capture` has ended."""
        ...
