"""Writes metrics in Prometheus' text format, version 0.0.4.

By hand, because it is a few lines, and a scrape with hundreds of targets has thousands of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NAN = float("nan")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\0": "\N{REPLACEMENT CHARACTER}"})

Sample = tuple[tuple[str, ...], float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # compared as what it is: quicker, see _series
class Family:
    """The definition of a metric. `help` is one line without backslashes."""

    name: str
    kind: Literal["gauge", "counter"] = "gauge"
    help: str
    labels: tuple[str, ...] = ()


Filled = tuple[Family, Iterable[Sample]]


def render(families: Iterable[Filled]) -> bytes:
    """The text of a scrape. A family without samples has its head all the same."""
    return "".join(_lines(families)).encode("utf-8", "backslashreplace")


def _lines(families: Iterable[Filled]) -> Iterator[str]:
    for family, samples in families:
        yield f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n"
        for values, value in samples:
            yield f"{_series(family, values)} {_number(value)}\n"


@lru_cache(maxsize=1 << 16)  # the same series come at every scrape
def _series(family: Family, values: tuple[str, ...]) -> str:
    if len(values) != len(family.labels):
        raise ValueError(f"{family.name} has the labels {family.labels}, not {len(values)} of them")
    pairs = ",".join(
        f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(family.labels, values, strict=True)
    )
    return f"{family.name}{{{pairs}}}" if pairs else family.name


def _number(value: float) -> str:
    if value != value:  # noqa: PLR0124 - the quick way to ask for NaN
        return "NaN"
    return repr(value)
