"""Writes the head of a pg_dump archive, so that a test can say what stands in it."""

from __future__ import annotations

from dataclasses import dataclass

INT_SIZE = 4
OFFSET_SIZE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    desc: str = "TABLE"
    tag: str = "t"
    oid: int = 16384
    table_oid: int = 1259
    section: int = 2
    namespace: str | None = "public"
    owner: str = "app"
    definition: str = "CREATE TABLE t ();\n"
    has_data: bool = False
    dependencies: tuple[int, ...] = ()


def number(value: int) -> bytes:
    return bytes([value < 0]) + abs(value).to_bytes(INT_SIZE, "little")


def text(value: str | None) -> bytes:
    if value is None:
        return number(-1)
    raw = value.encode("utf-8", "surrogateescape")
    return number(len(raw)) + raw


def head(minor: int = 14, *, count: int, compression: int = 0) -> bytes:
    level = bytes([compression]) if minor >= 15 else number(compression)
    time = b"".join(map(number, (1, 2, 3, 22, 10, 126, 0)))
    names = text("app") + text("15.18") + text("15.18 (Debian)")
    sizes = bytes([INT_SIZE, OFFSET_SIZE, 1])
    return b"PGDMP" + bytes([1, minor, 0]) + sizes + level + time + names + number(count)


def item(minor: int, dump_id: int, given: Item) -> bytes:
    pieces = [number(dump_id), number(given.has_data), text(str(given.table_oid)), text(str(given.oid))]
    pieces += [text(given.tag), text(given.desc), number(given.section), text(given.definition)]
    pieces += [text("DROP"), text(None), text(given.namespace), text("")]
    if minor >= 14:
        pieces.append(text("heap"))
    if minor >= 16:
        pieces.append(number(ord("r")))
    pieces += [text(given.owner), text("false"), *(text(str(d)) for d in given.dependencies), text(None)]
    pieces.append(bytes([1]) + bytes(OFFSET_SIZE))
    return b"".join(pieces)


def archive(*items: Item, minor: int = 14, compression: int = 0) -> bytes:
    body = b"".join(item(minor, index, given) for index, given in enumerate(items, start=1))
    return head(minor, count=len(items), compression=compression) + body
