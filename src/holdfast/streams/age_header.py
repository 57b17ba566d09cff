"""The grammar of an age file's header (age-encryption.org/v1), read strictly and written canonically."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.model.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION_LINE = b"age-encryption.org/v1\n"
# Some 150 post-quantum recipients. The format knows no limit, but a reader has to hold the header in memory.
MAX_BYTES = 256 * 1024
_COLUMNS = 64
_STANZA = re.compile(rb"-> ([\x21-\x7e]+(?: [\x21-\x7e]+)*)\n((?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63})\n")
_END = re.compile(rb"--- ([A-Za-z0-9+/]{43})\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stanza:
    """The file key, wrapped for one recipient. `args` are those after the type."""

    type: str
    args: tuple[str, ...]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A parsed header: `mac` has to be the MAC of `signed`, its bytes up to and with the last `---`."""

    stanzas: tuple[Stanza, ...]
    signed: bytes
    mac: bytes


def end_of(data: bytes | bytearray) -> int | None:
    """Tell how many of the first bytes of a file are its header; None while they are not all there.

    Raise IntegrityError as soon as they cannot be the beginning of a header.
    """
    if data[: len(VERSION_LINE)] != VERSION_LINE[: len(data)]:
        raise IntegrityError("it is not an age file of version 1")
    mark = data.find(b"\n---")
    end = data.find(b"\n", mark + 1) + 1 if mark >= 0 else 0
    if (end or len(data)) > MAX_BYTES:
        raise IntegrityError(f"the header of the age file is larger than {MAX_BYTES} bytes")
    return end or None


def parse(data: bytes) -> Header:
    """Read a whole header. Raise IntegrityError for anything that the grammar does not know."""
    if not data.startswith(VERSION_LINE):
        raise IntegrityError("it is not an age file of version 1")
    stanzas: list[Stanza] = []
    at = len(VERSION_LINE)
    while match := _STANZA.match(data, at):
        name, *args = match[1].decode("ascii").split(" ")
        body = unbase64(match[2].replace(b"\n", b"").decode("ascii"))
        stanzas.append(Stanza(type=name, args=tuple(args), body=body))
        at = match.end()
    end = _END.fullmatch(data, at)
    if end is None or not stanzas:
        raise IntegrityError("the header of the age file is malformed")
    return Header(
        stanzas=tuple(stanzas), signed=data[: at + len(b"---")], mac=unbase64(end[1].decode("ascii"))
    )


def write(stanzas: Iterable[Stanza]) -> bytes:
    """Write a header up to and with its last `---`: what the MAC is computed over."""
    lines = []
    for stanza in stanzas:
        lines.append(" ".join(("->", stanza.type, *stanza.args)))
        body = to_base64(stanza.body)
        # A body whose last line is full is followed by an empty one.
        lines += [body[at : at + _COLUMNS] for at in range(0, len(body) + 1, _COLUMNS)]
    return VERSION_LINE + "".join(f"{line}\n" for line in lines).encode("ascii") + b"---"


def to_base64(data: bytes) -> str:
    """Write base64 without padding."""
    return base64.b64encode(data).decode("ascii").rstrip("=")


def unbase64(text: str) -> bytes:
    """Read base64 without padding. Raise IntegrityError unless it is what `to_base64` would have written."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise IntegrityError("the header of the age file has malformed base64") from error
    if to_base64(data) != text:
        raise IntegrityError("the header of the age file has base64 that is not canonical")
    return data
