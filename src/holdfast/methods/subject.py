"""What a restore test compares: one restored database, and the archive that it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from holdfast.model.catalog import Database, LeftOut
from holdfast.postgres.archive import TocReader
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.entries import Entry, Toc
from holdfast.postgres.relation_names import Name
from holdfast.postgres.statement_names import filled_by, unquoted
from holdfast.postgres.tools import Toolset

LABEL = "holdfast compare"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A database that was restored into a scratch server, where we are superuser.

    `archive` opens, each time anew, the archive as pg_restore was given it: bytes of pg_dump's custom format, whole.
    What the restore test kept out of it on purpose (subscriptions, event triggers, what fills a materialised view over
    foreign tables) is not in it, and is named in `left_out`: the kind in pg_dump's words in lower case, the name with
    its schema. `found` is what the backup's catalog says of the database. `clients` are those that restored it.
    `tablespaces` says whether it was restored into the tablespaces that it was in.
    """

    archive: Callable[[], Iterator[bytes]] = field(repr=False)
    found: Database
    where: Conninfo
    clients: Toolset
    left_out: tuple[LeftOut, ...] = ()
    tablespaces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fills:
    """How an archive brings its rows.

    `of` tells for each table that COPY fills which tables' rows those are: with --load-via-partition-root the
    partitions of a root. `quoted` says that all names are in quotes.
    """

    of: Mapping[Name, tuple[Name, ...]]
    through_roots: bool
    quoted: bool


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


def fills(toc: Toc, codec: str) -> Fills:
    """Find out how the rows come; names are read in `codec`."""
    found: dict[Name, list[Name]] = {}
    quoted: set[bool] = set()
    for entry in toc.entries:
        target = filled_by(entry.copy or "") if entry.desc == "TABLE DATA" else None
        if target is not None:
            quoted.add(target.startswith('"') and '."' in target)
            leaf = (words(entry.namespace or "", codec), words(entry.tag or "", codec))
            found.setdefault(unquoted(words(target, codec)), []).append(leaf)
    return Fills(
        of={root: tuple(leaves) for root, leaves in found.items()},
        through_roots=any(leaves != [root] for root, leaves in found.items()),
        quoted=quoted == {True},
    )


def words(text: str, codec: str) -> str:
    """Read a text of an archive in the encoding that it was dumped in."""
    if text.isascii() or codec == "utf-8":
        return text
    return text.encode("utf-8", "surrogateescape").decode(codec, "surrogateescape")


def close(chunks: Iterator[bytes]) -> None:
    """Let go of a stream that was not read to its end."""
    end = getattr(chunks, "close", None)
    if end is not None:
        end()


def _wanted(entry: Entry) -> bool:
    """Leave large objects out, with what is upon them: millions have an entry each."""
    return not entry.desc.startswith("BLOB") and not (entry.tag or "").startswith("LARGE OBJECT ")
