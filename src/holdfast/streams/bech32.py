"""Bech32 as age writes its keys: BIP 173 without its limit on length."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUE = {letter: value for value, letter in enumerate(_ALPHABET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM = 6


def encode(prefix: str, data: bytes) -> str:
    """Write `data` behind `prefix`, all lowercase."""
    values = list(_regroup(data, 8, 5))
    sums = _polymod([*_expand(prefix), *values, *[0] * _CHECKSUM]) ^ 1
    tail = [(sums >> 5 * (_CHECKSUM - 1 - place)) & 31 for place in range(_CHECKSUM)]
    return prefix + "1" + "".join(_ALPHABET[value] for value in [*values, *tail])


def decode(text: str) -> tuple[str, bytes]:
    """Read what `encode` wrote: its prefix, in the case that it came in, and its data.

    Raise ValueError, without a word of the content, for mixed case, a strange character, a wrong checksum or
    bits left over.
    """
    if text not in (text.lower(), text.upper()):
        raise ValueError("upper and lower case are mixed")
    prefix, separator, rest = text.rpartition("1")
    if not separator or not prefix or len(rest) < _CHECKSUM:
        raise ValueError("it is too short")
    if not all("!" <= letter <= "~" for letter in prefix) or not set(rest.lower()) <= _VALUE.keys():
        raise ValueError("it has a character that no key has")
    values = [_VALUE[letter] for letter in rest.lower()]
    if _polymod([*_expand(prefix.lower()), *values]) != 1:
        raise ValueError("its checksum is wrong, so it was mistyped or cut off")
    return prefix, _bytes_of(values[:-_CHECKSUM])


def _polymod(values: Iterable[int]) -> int:
    state = 1
    for value in values:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            state ^= generator if (top >> bit) & 1 else 0
    return state


def _expand(prefix: str) -> list[int]:
    return [*(ord(letter) >> 5 for letter in prefix), 0, *(ord(letter) & 31 for letter in prefix)]


def _regroup(values: Iterable[int], width: int, into: int) -> Iterator[int]:
    """Regroup bits, the last group filled up with zeros."""
    held = bits = 0
    for value in values:
        held, bits = (held << width | value) & 0xFFF, bits + width
        while bits >= into:
            bits -= into
            yield held >> bits & (1 << into) - 1
    if bits:
        yield held << (into - bits) & (1 << into) - 1


def _bytes_of(values: list[int]) -> bytes:
    size, spare = divmod(len(values) * 5, 8)
    regrouped = bytes(_regroup(values, 5, 8))
    if spare >= 5 or any(regrouped[size:]):  # noqa: PLR2004 - the width of a group: a whole one is left over
        raise ValueError("it has bits left over")
    return regrouped[:size]
