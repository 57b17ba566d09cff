"""Looks at the last bytes of a dump: whether they end it as pg_dump and pg_dumpall do, or break it off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdfast.model.errors import IntegrityError
from holdfast.postgres.archive import TocReader

# The custom format ends each table's rows and each large object with a block of length 0: a sign and four bytes.
LAST_BLOCK = bytes(5)
_LAST_COMMENT = b"-- PostgreSQL database cluster dump complete\n"
_COMMENT_BYTES = 1024


def ended(chunks: Iterable[bytes], reader: TocReader, name: str) -> Iterator[bytes]:
    """Pass an archive, which `reader` has watched, through. Raise IntegrityError when its last block is not there."""
    tail = b""
    for chunk in chunks:
        tail = (tail + chunk[-len(LAST_BLOCK) :])[-len(LAST_BLOCK) :]
        yield chunk
    if tail != LAST_BLOCK and any(entry.has_data for entry in reader.entries):
        raise IntegrityError(
            f"database {name}: pg_dump ended normally, but its archive ends inside the rows of a table",
            hint="Run its command by hand to see what it prints; the client may be broken.",
        )


def globals_ended(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Pass what pg_dumpall prints through. Raise IntegrityError when the comment that ends it is not there."""
    tail = b""
    for chunk in chunks:
        tail = (tail + chunk)[-_COMMENT_BYTES:]
        yield chunk
    if _LAST_COMMENT not in tail:
        raise IntegrityError(
            "pg_dumpall ended normally, but the roles and tablespaces that it printed are not whole",
            hint="Run its command by hand to see what it prints; the client may be broken.",
        )
