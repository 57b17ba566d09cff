"""Reads of a database's dump only what some of its entries need."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from holdfast.jobs.reading import Opened, Ranged, plain_chunks, ranged
from holdfast.jobs.services import Services
from holdfast.model.backup import Part
from holdfast.model.errors import UsageError
from holdfast.postgres import cutting, tools
from holdfast.postgres.archive import TocReader
from holdfast.postgres.belonging import UPON, Belonging
from holdfast.postgres.entries import Entry, Toc
from holdfast.system.stop import Stop

OnBytes = Callable[[int], None]
_SEPARATE_ATTACH = 14  # since this major of pg_dump


@dataclass(frozen=True, slots=True, kw_only=True)
class PartArchive:
    """The archive of a part, whose table of contents was read."""

    services: Services = field(repr=False)
    opened: Opened = field(repr=False)
    part: Part
    toc: Toc = field(repr=False)
    index: Belonging = field(repr=False)
    ranged: Ranged | None = field(repr=False)

    def size(self, entries: tuple[Entry, ...]) -> int:
        """Give how many plain bytes `cut` reads for these entries."""
        if (pieces := self._pieces(entries)) is not None:
            ranges = cutting.data_ranges(entries, pieces.blocks, pieces.size)
            return self.toc.end + sum(end - start for start, end in ranges)
        return self.part.size if self.is_authentic_in_pieces else 2 * self.part.size

    @property
    def is_authentic_in_pieces(self) -> bool:
        """Whether bytes are known to be ours as they come: encrypted with a key that the signed manifest vouches for.

        Others are known to be ours at their end only.
        """
        return bool(self.part.recipients) and self.part.header_sha256 is not None

    def cut(self, entries: tuple[Entry, ...], stop: Stop, on_bytes: OnBytes) -> Generator[bytes, None, None]:
        """Give an archive of some entries and their data. Nobody has the whole before the last byte was checked.

        `on_bytes` is told of bytes as they are read.
        """
        if (pieces := self._pieces(entries)) is not None:

            def read(start: int, end: int) -> Iterator[bytes]:
                for chunk in pieces.read(start, end):
                    stop.check()
                    on_bytes(len(chunk))
                    yield chunk

            yield from cutting.held_back(
                cutting.cut_ranges(read, self.toc, entries, pieces.blocks, pieces.size)
            )
            return
        if not self.is_authentic_in_pieces:
            for _ in self._chunks(stop, on_bytes):  # before anything of it is executed
                pass
        with closing(self._chunks(stop, on_bytes)) as chunks:
            yield from cutting.held_back(cutting.cut(chunks, self.toc, entries))

    def head(self, entries: tuple[Entry, ...], stop: Stop) -> bytes:
        """Give an archive of some entries without data."""
        with closing(self._chunks(stop, lambda _: None)) as chunks:
            return cutting.cut_head(chunks, self.toc, entries)

    def _pieces(self, entries: Iterable[Entry]) -> Ranged | None:
        """Give the way to pieces of the part where it is known of all these entries where their data lies."""
        if self.ranged is None or any(e.dump_id not in self.ranged.blocks for e in entries if e.has_data):
            return None
        return self.ranged

    def _chunks(self, stop: Stop, on_bytes: OnBytes) -> Generator[bytes, None, None]:
        yield from _chunks(self.services, self.opened, self.part, stop, on_bytes)


def open_archive(
    services: Services, opened: Opened, part: Part, stop: Stop, *, encoding: str, copies: bool = False
) -> PartArchive:
    """Read the table of contents of a part. `encoding` is the database's, in which the dump has its names.

    `copies` keeps the COPY statements. Raise UsageError for an imported part of another format, IntegrityError when it
    is no archive, and as `plain_chunks`.
    """
    if part.format != "custom":
        raise UsageError(
            f"database {part.database!r} of this backup is not in the custom format, and cannot be taken apart",
            hint="It was imported as it was. Restore all of it into a new database (--as NEW_NAME) and take it there.",
        )
    reader = TocReader(opened.place.key(part.name), keep=_belongs_to_tables, copies=copies, relations=True)
    with closing(_chunks(services, opened, part, stop, lambda _: None)) as chunks:
        for chunk in chunks:
            reader.feed(chunk)
            if reader.done:
                break
    toc = reader.finish()
    toc = replace(toc, entries=tuple(in_words(toc.entries, encoding)))
    return PartArchive(
        services=services,
        opened=opened,
        part=part,
        toc=toc,
        index=Belonging(toc.entries, attaches=_attaches(toc)),
        ranged=ranged(opened.place, part, services.keys),
    )


def _belongs_to_tables(entry: Entry) -> bool:
    """Leave large objects out, with what is upon them: millions have an entry each."""
    if entry.desc.startswith("BLOB"):
        return entry.has_data
    return not (
        entry.desc in UPON and entry.namespace is None and (entry.tag or "").startswith("LARGE OBJECT ")
    )


def _attaches(toc: Toc) -> bool:
    """Whether pg_dump wrote an entry of its own for each partition that is attached."""
    try:
        return tools.major(tools.version_num(toc.header.dump_version or "")) >= _SEPARATE_ATTACH
    except ValueError:
        return True


def _chunks(
    services: Services, opened: Opened, part: Part, stop: Stop, on_bytes: OnBytes
) -> Generator[bytes, None, None]:
    for chunk in plain_chunks(opened.place, part, services.keys):
        stop.check()
        on_bytes(len(chunk))
        yield chunk


def in_words(entries: Sequence[Entry], encoding: str) -> Iterator[Entry]:
    """Read names in the encoding of their database, as `postgres.encoding` has the server give them."""
    codec = _codec(entries, encoding)
    for entry in entries:
        if codec == "utf-8":
            yield entry
        else:
            yield replace(
                entry,
                tag=_words(entry.tag, codec),
                namespace=_words(entry.namespace, codec),
                owner=_words(entry.owner, codec),
                copy=_words(entry.copy, codec),
                relation=_words(entry.relation, codec),
            )


def _codec(entries: Iterable[Entry], encoding: str) -> str:
    if encoding != "SQL_ASCII":
        try:
            return codecs.lookup(encoding.replace("WIN", "cp")).name
        except LookupError:
            return "utf-8"
    texts = (text for entry in entries for text in (entry.tag, entry.namespace, entry.owner) if text)
    return "utf-8" if all(map(_is_unicode, texts)) else "latin-1"


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\udc80" <= character <= "\udcff" for character in text)


def _words(text: str | None, codec: str) -> str | None:
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode(codec, "surrogateescape")
