"""What a restore test compares: one restored database, and the archive that it came from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from holdfast.methods.pg_restore import OVERRIDES
from holdfast.model.catalog import Database, LeftOut
from holdfast.postgres import server
from holdfast.postgres.archive import TocReader
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.entries import Entry, Toc
from holdfast.postgres.needing_quotes import needs_quotes
from holdfast.postgres.stand_ins import NOTHING, StoodIn
from holdfast.postgres.tools import Toolset

LABEL = "holdfast compare"
_NAME = re.compile(r'"(?:[^"]|"")*"|[^\s".,()]+')


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A database that was restored into a scratch server, where we are superuser.

    `archive` opens, each time anew, the archive as pg_restore was given it: bytes of pg_dump's custom format, whole.
    What the restore test kept out of it on purpose (subscriptions, event triggers, what fills a materialised view over
    foreign tables) is not in it, and is named in `left_out`: the kind in pg_dump's words in lower case, the name with
    its schema. Where the archive lies in a file, `file` is its descriptor, and programs read it themselves.
    `found` is what the backup's catalog says of the database. `clients` are those that restored it. `tablespaces` says
    whether it was restored into the tablespaces that it was in, `owners` whether with its owners and privileges.
    `stood_in` is what was made before it was restored, in place of what is not to be had there.
    """

    archive: Callable[[], Iterator[bytes]] = field(repr=False)
    file: int | None = None
    found: Database
    where: Conninfo
    clients: Toolset
    left_out: tuple[LeftOut, ...] = ()
    tablespaces: bool = False
    owners: bool = True
    stood_in: StoodIn = NOTHING

    @property
    def of_data(self) -> tuple[str, ...]:
        """The options of pg_dump and pg_restore that leave out of the rows what was not restored."""
        return () if self.owners else ("--no-owner", "--no-privileges")

    @property
    def of_definitions(self) -> tuple[str, ...]:
        """The same, of the definitions."""
        return self.of_data if self.tablespaces else (*self.of_data, "--no-tablespaces")


@contextmanager
def session(where: Conninfo) -> Iterator[server.Connection]:
    """Connect to a scratch server, whatever is set for the database or the role there. Raise SourceError."""
    with closing(server.connect(where, application_name=LABEL)) as connection:
        server.pin(connection, server.ENDLESS | OVERRIDES)
        yield connection


def read_toc(subject: Subject) -> Toc:
    """Read the table of contents, large objects aside. Raise IntegrityError, or what opening the archive raises."""
    reader = TocReader(f"the dump of database {subject.found.name}", keep=_wanted, copies=True)
    chunks = subject.archive()
    try:
        for chunk in chunks:
            reader.feed(chunk)
            if reader.done:
                break
    finally:
        close(chunks)
    return reader.finish()


def names_are_quoted(toc: Toc) -> bool:
    """Whether the dump was made with --quote-all-identifiers.

    Then every name in a COPY statement is in quotes, and not each needs them, as those of a database of `"Camels"` may.
    """
    copies = [entry.copy for entry in toc.entries if entry.desc == "TABLE DATA" and entry.copy]
    names = [
        name for copy in copies for name in _NAME.findall(copy.removeprefix("COPY ").rpartition(" FROM ")[0])
    ]
    return all(name.startswith('"') for name in names) and not all(needs_quotes(name[1:-1]) for name in names)


def close(chunks: Iterator[bytes]) -> None:
    """Let go of a stream that was not read to its end."""
    end = getattr(chunks, "close", None)
    if end is not None:
        end()


def _wanted(entry: Entry) -> bool:
    """Leave large objects out, with what is upon them: millions have an entry each."""
    return not entry.desc.startswith("BLOB") and not (entry.tag or "").startswith("LARGE OBJECT ")
