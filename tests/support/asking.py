"""The six questions of the oracle, and which of them the test that runs has asked: none is to be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

Question = Literal["restores", "kept", "agree", "secrets", "visible", "leaks"]
QUESTIONS: frozenset[Question] = frozenset(get_args(Question))
UNASKED = "unasked"  # the mark that says which questions a test does not ask, and why

_asked: set[Question] = set()


def asks(question: Question) -> None:
    """Note that the oracle was asked."""
    _asked.add(question)


@contextmanager
def noted() -> Iterator[set[Question]]:
    """Give what is asked from here on."""
    _asked.clear()
    yield _asked
