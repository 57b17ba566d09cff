"""Reads the table of contents at the head of a pg_dump archive (custom format) while the archive streams by.

The format is that of PostgreSQL's pg_backup_archiver.c and pg_backup_custom.c, versions 1.12 to 1.16, which is what
pg_dump 9.0 to 18 writes. Nothing is kept that nobody asked for; nothing is allocated on the word of a length.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator

from holdfast.model.errors import IntegrityError
from holdfast.postgres import statement_names
from holdfast.postgres.entries import (
    Entry,
    Header,
    Section,
    Toc,
)

_MAGIC = b"PGDMP"
_OLDEST, _NEWEST = 12, 16
_WITH_ACCESS_METHOD, _WITH_ALGORITHM, _WITH_RELKIND = 14, 15, 16
_CUSTOM, _TAR = 1, 3
_ALGORITHMS = ("none", "gzip", "lz4", "zstd")
_SECTIONS: dict[int, Section] = {1: "none", 2: "pre-data", 3: "data", 4: "post-data"}
_OFFSET_FLAGS = (1, 2, 3)
_INT_SIZES = (4, 8)
_MAX_INT = 2**31 - 1
_MAX_OID = 2**32 - 1
_MAX_OFFSET_SIZE = 8
_MAX_SKIPPED = 2**30  # PostgreSQL allocates no more than 1 GiB for a string
_MAX_KEPT = 2**24  # a tag holds a function's argument types; a name is 63 bytes
_MAX_ENTRIES = 50_000_000

_Step = Generator[int, None, None]


class UnsupportedArchiveError(IntegrityError):
    """An archive of a version that this program does not know."""


class TocReader:
    """Takes an archive in chunks of any size; `header` and `entries` fill as it goes, until it is `done`.

    `keep` chooses the entries that are kept: a million large objects have an entry each. `copies` keeps the COPY
    statements, `relations` which relation an entry is on, `definitions` those that it chooses by kind and tag.
    With `tar` it is the table of contents of a tar archive. Raise IntegrityError, naming `where`, as soon as it cannot
    be an archive.
    """

    def __init__(
        self,
        where: str = "the dump",
        *,
        keep: Callable[[Entry], bool] | None = None,
        copies: bool = False,
        relations: bool = False,
        definitions: Callable[[str, str | None], bool] | None = None,
        tar: bool = False,
    ) -> None:
        self.done = False
        self.header: Header | None = None
        self.entries: list[Entry] = []
        self._where = where
        self._keep = keep
        self._copies = copies
        self._relations = relations
        self._definitions = definitions
        self._tar = tar
        self._buffer = bytearray()
        self._at = 0
        self._gone = 0  # bytes of the archive before the buffer
        self._int_size = 0
        self._offset_size = 0
        self._minor = 0
        self._names: dict[bytes | None, str | None] = {}
        self._parser = self._parse()
        self._needed = next(self._parser)

    def feed(self, chunk: bytes) -> None:
        """Read on; bytes after the table of contents are ignored."""
        if self.done:
            return
        self._buffer += chunk
        if len(self._buffer) < self._needed:
            return
        try:
            self._needed = self._parser.send(None)
        except StopIteration:
            self._gone += self._at
            self._at = 0
            self._buffer.clear()
            self._names.clear()
        else:
            del self._buffer[: self._at]
            self._gone += self._at
            self._at = 0

    @property
    def position(self) -> int:
        """How many bytes of the archive were read: once it is `done`, where the data begins."""
        return self._gone + self._at

    def finish(self) -> Toc:
        """Give the whole. Raise IntegrityError when the archive ended too early."""
        if not self.done or self.header is None:
            raise self._bad("it ends inside its table of contents")
        return Toc(header=self.header, entries=self.entries, end=self.position)

    # The parser is one coroutine: it yields the number of bytes that it needs from where it is.

    def _parse(self) -> _Step:
        yield from self._read_head()
        count = yield from self._int()
        if not 0 <= count <= _MAX_ENTRIES:
            raise self._bad(f"it claims {count} entries")
        for _ in range(count):
            entry = yield from self._entry()
            if self._keep is None or self._keep(entry):
                self.entries.append(entry)
        self.done = True

    def _read_head(self) -> _Step:
        if (yield from self._take(len(_MAGIC))) != _MAGIC:
            raise self._bad()
        major, self._minor, _ = yield from self._take(3)
        version = f"{major}.{self._minor}"
        if major != 1 or not _OLDEST <= self._minor <= _NEWEST:
            raise UnsupportedArchiveError(
                f"{self._where}: an archive of version {version}, and 1.{_OLDEST} to 1.{_NEWEST} are known",
                hint="Use a release of Holdfast that knows this version of PostgreSQL.",
            )
        self._int_size, self._offset_size, kind = yield from self._take(3)
        if (
            self._int_size not in _INT_SIZES
            or not 1 <= self._offset_size <= _MAX_OFFSET_SIZE
            or kind != (_TAR if self._tar else _CUSTOM)
        ):
            raise self._bad("it is of another format or damaged")
        compression = yield from self._compression()
        for _ in range(7):
            yield from self._int()  # the time of the dump, in the zone of whoever made it
        self.header = Header(
            version=version,
            compression=compression,
            database=(yield from self._text()),
            server_version=(yield from self._text()),
            dump_version=(yield from self._text()),
            int_size=self._int_size,
            offset_size=self._offset_size,
            end=self.position,
        )

    def _compression(self) -> Generator[int, None, str]:
        if self._minor < _WITH_ALGORITHM:
            return "gzip" if (yield from self._int()) else "none"  # a level; -1 is zlib's default
        (algorithm,) = yield from self._take(1)
        if algorithm >= len(_ALGORITHMS):
            raise self._bad(f"its compression {algorithm} is unknown")
        return _ALGORITHMS[algorithm]

    def _entry(self) -> Generator[int, None, Entry]:
        start = self.position
        dump_id = yield from self._int()
        if dump_id <= 0:
            raise self._bad(f"an entry has the number {dump_id}")
        has_data = (yield from self._int()) != 0
        table_oid, oid = (yield from self._number()), (yield from self._number())
        tag, desc = _decoded((yield from self._bytes())), (yield from self._text())
        section = _SECTIONS.get((yield from self._int()))
        if desc is None or section is None or table_oid is None or oid is None:
            raise self._bad(f"entry {dump_id} is damaged")
        told = self._relations and desc in statement_names.READ
        defined = self._definitions is not None and self._definitions(desc, tag)
        definition = yield from self._kept(wanted=told or defined)
        before = self.position
        drop = yield from self._kept(wanted=self._relations and desc in statement_names.BY_DROP)
        behind = self.position
        copy = yield from self._kept(wanted=has_data and self._copies)
        namespace = yield from self._text()
        yield from self._skip_text()  # tablespace
        if self._minor >= _WITH_ACCESS_METHOD:
            yield from self._skip_text()
        if self._minor >= _WITH_RELKIND:
            yield from self._int()
        named = self.position
        owner = yield from self._text()
        owned = (named, self.position)
        yield from self._skip_text()  # WITH OIDS, of old
        dependencies = yield from self._dependencies()
        file: str | None = None
        if self._tar:
            file = yield from self._text()
        else:
            yield from self._skip_offset()
        return Entry(
            dump_id=dump_id,
            table_oid=table_oid,
            oid=oid,
            tag=tag,
            desc=desc,
            section=section,
            namespace=namespace,
            owner=owner,
            has_data=has_data,
            dependencies=dependencies,
            start=start,
            end=self.position,
            copy=copy,
            relation=statement_names.relation_of(desc, definition if told else None, drop),
            exclusion=statement_names.exclusion(definition if told else None),
            definition=definition if defined else None,
            file=file,
            drop=(before, behind),
            owned=owned,
        )

    def _kept(self, *, wanted: bool) -> Generator[int, None, str | None]:
        """Read a statement that is wanted; one of a length that nobody reads is passed over."""
        length = yield from self._length(_MAX_SKIPPED)
        if not wanted or not 0 <= length <= _MAX_KEPT:
            yield from self._skip(length)
            return None
        return _decoded((yield from self._take(length)))

    def _dependencies(self) -> Generator[int, None, tuple[int, ...]]:
        found: list[int] = []
        while (number := (yield from self._number())) is not None:
            found.append(number)
        return tuple(found)

    def _skip_offset(self) -> _Step:
        flag, *_ = yield from self._take(1 + self._offset_size)
        if flag not in _OFFSET_FLAGS:
            raise self._bad(f"a data offset has the flag {flag}")

    def _take(self, count: int) -> Generator[int, None, bytes]:
        if len(self._buffer) - self._at < count:
            yield count
        start, self._at = self._at, self._at + count
        return bytes(self._buffer[start : self._at])

    def _int(self) -> Generator[int, None, int]:
        raw = yield from self._take(1 + self._int_size)
        value = int.from_bytes(raw[1:], "little")
        if value > _MAX_INT:
            raise self._bad(f"it holds the number {value}")
        return -value if raw[0] else value

    def _length(self, limit: int) -> Generator[int, None, int]:
        length = yield from self._int()
        if length > limit:
            raise self._bad(f"it claims a text of {length} bytes")
        return length

    def _bytes(self) -> Generator[int, None, bytes | None]:
        length = yield from self._length(_MAX_KEPT)
        return None if length < 0 else (yield from self._take(length))

    def _text(self) -> Generator[int, None, str | None]:
        raw = yield from self._bytes()
        if raw not in self._names:  # tags aside, most names occur again and again
            self._names[raw] = _decoded(raw)
        return self._names[raw]

    def _number(self) -> Generator[int, None, int | None]:
        raw = yield from self._bytes()
        if raw is None:
            return None
        if not raw.isdigit() or len(raw) > len(str(_MAX_OID)) or int(raw) > _MAX_OID:
            raise self._bad(f"{raw[:20]!r} is not a number")
        return int(raw)

    def _skip_text(self) -> _Step:
        yield from self._skip((yield from self._length(_MAX_SKIPPED)))

    def _skip(self, length: int) -> _Step:
        left = length
        while left > (here := len(self._buffer) - self._at):
            left -= here
            self._at += here
            yield 1
        self._at += max(left, 0)

    def _bad(self, what: str | None = None) -> IntegrityError:
        detail = f": {what}" if what else ""
        return IntegrityError(
            f"{self._where}: not a custom-format archive of pg_dump{detail}",
            hint="The dump is damaged or of another kind: take another backup, and restore from an older one.",
        )


def _decoded(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("utf-8", "surrogateescape")


def watch(chunks: Iterable[bytes], reader: TocReader) -> Iterator[bytes]:
    """Pass an archive through, unchanged, while `reader` reads its table of contents.

    Raise IntegrityError as soon as it cannot be one, or when it ends inside the table.
    """
    source = iter(chunks)
    for chunk in source:
        reader.feed(chunk)
        yield chunk
        if reader.done:
            break
    reader.finish()
    yield from source


def read_toc(chunks: Iterable[bytes], *, where: str = "the dump") -> Toc:
    """Read the table of contents, pulling no more chunks than it spans. Raise IntegrityError, naming `where`."""
    reader = TocReader(where)
    for chunk in chunks:
        reader.feed(chunk)
        if reader.done:
            break
    return reader.finish()
