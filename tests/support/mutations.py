"""Bytes that are nearly right: documents that somebody, or a disk, has changed a little."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from hypothesis import strategies as st

# What breaks parsers that were written in a hurry.
_TOKENS = (
    b"\0", b"\xff\xff\xff\xff", b"\x80", b"\r\n", b"\n\n", b"%", b"$(", b"${", b"`", b'"', b"'", b"[[", b"{{", b"\\", b"=",
    b"-1", b"0", b"9" * 400, b"1e999", b"NaN", b"null", b"[" * 3000, b"../", b"\xed\xa0\x80", b"\xef\xbb\xbf", b" " * 300,
)  # fmt: skip
_VALUES: tuple[object, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    10**400,
    1.5,
    "",
    "x" * 70000,
    "\ud800",
    "../..",
    [],
    {},
    [[]],
    {"x": {"y": []}},
)


def mutated(samples: tuple[bytes, ...], seed: int) -> bytes:
    """Change one of the samples in one to four ways; those of JSON also by their values. A seed always gives the same."""
    chance = random.Random(seed)
    data = chance.choice(samples)
    for _ in range(chance.randint(1, 4)):
        kinds = _WAYS if data[:1] != b"{" else (*_WAYS, *[_another_value] * len(_WAYS))
        data = chance.choice(kinds)(data, samples, chance)
    return data


def _flip(data: bytes, _: tuple[bytes, ...], chance: random.Random) -> bytes:
    if not data:
        return data
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def _cut(data: bytes, _: tuple[bytes, ...], chance: random.Random) -> bytes:
    return data[: chance.randint(0, len(data))]


def _left_out(data: bytes, _: tuple[bytes, ...], chance: random.Random) -> bytes:
    start = chance.randint(0, len(data))
    return data[:start] + data[start + chance.choice((1, 2, 8, 64, 1000)) :]


def _twice(data: bytes, _: tuple[bytes, ...], chance: random.Random) -> bytes:
    start = chance.randint(0, len(data))
    end = start + chance.choice((1, 2, 8, 64, 1000))
    return data[:end] + data[start:]


def _inserted(data: bytes, _: tuple[bytes, ...], chance: random.Random) -> bytes:
    at = chance.randint(0, len(data))
    return data[:at] + chance.choice(_TOKENS) + data[at + chance.choice((0, 0, 1, 4)) :]


def _noise(data: bytes, _: tuple[bytes, ...], chance: random.Random) -> bytes:
    at, length = chance.randint(0, len(data)), chance.choice((1, 4, 16))
    return data[:at] + chance.randbytes(length) + data[at + length :]


def _spliced(data: bytes, samples: tuple[bytes, ...], chance: random.Random) -> bytes:
    other = chance.choice(samples)
    return data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]


def _another_value(data: bytes, _: tuple[bytes, ...], chance: random.Random) -> bytes:
    """Another value in a place of a JSON document, or none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return data
    places: list[tuple[dict[str, object] | list[object], str | int]] = []

    def visit(node: object) -> None:
        if isinstance(node, dict | list):
            for key, inner in list(node.items() if isinstance(node, dict) else enumerate(node)):
                places.append((node, key))
                visit(inner)

    visit(value)
    if places:
        node, key = chance.choice(places)
        if chance.random() < 0.2:
            del node[key]  # type: ignore[arg-type] # the key is one of this node
        else:
            node[key] = chance.choice(_VALUES)  # type: ignore[index]
    return json.dumps(value).encode()


_WAYS: tuple[Callable[[bytes, tuple[bytes, ...], random.Random], bytes], ...] = (
    _flip, _cut, _left_out, _twice, _inserted, _noise, _spliced,
)  # fmt: skip


def nearly(samples: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Documents that are nearly one of the samples."""
    return st.integers(0, 2**48).map(lambda seed: mutated(samples, seed))


def anything(samples: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Any bytes, texts too, and some that begin as a sample does."""
    heads = st.sampled_from([sample[:length] for sample in samples for length in (5, 21, 60)])
    return st.one_of(
        st.binary(max_size=400),
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.tuples(heads, st.binary(max_size=200)).map(b"".join),
    )
