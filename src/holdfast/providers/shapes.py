"""Reads values out of an answer's JSON, and says where one is missing or of another kind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime


class ShapeError(ValueError):
    """The answer does not look as its description says; the message names the place."""


def parsed(body: bytes) -> Shape:
    """Parse the body of an answer. Raise ShapeError when it is not JSON."""
    try:
        return Shape(json.loads(body), "")
    except (ValueError, RecursionError) as error:
        raise ShapeError("it is not JSON") from error


@dataclass(frozen=True, slots=True)
class Shape:
    """A value, and where it stands. Each method raises ShapeError when the value is no such thing."""

    value: object
    where: str

    def at(self, name: str) -> Shape:
        """The member of that name; one that is missing is null."""
        if not isinstance(self.value, dict):
            raise self._other("an object")
        return Shape(self.value.get(name), f"{self.where}.{name}" if self.where else name)

    def items(self) -> tuple[Shape, ...]:
        """The members of an array."""
        if not isinstance(self.value, list):
            raise self._other("an array")
        return tuple(Shape(value, f"{self.where}[{at}]") for at, value in enumerate(self.value))

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str):
            raise self._other("a string")
        return self.value

    def whole(self) -> int:
        """A whole number."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self._other("a whole number")
        return self.value

    def truth(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self._other("true or false")
        return self.value

    def moment(self) -> datetime:
        """A time as text; one without a zone is in UTC."""
        try:
            found = datetime.fromisoformat(self.text())
            return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise self._other("a time") from error

    def unix(self) -> datetime:
        """A time in whole seconds since 1970."""
        try:
            return datetime.fromtimestamp(self.whole(), UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise self._other("a time") from error

    @property
    def there(self) -> bool:
        """Whether there is a value at all."""
        return self.value is not None

    def _other(self, wanted: str) -> ShapeError:
        said = "is missing" if self.value is None else f"is not {wanted}"
        return ShapeError(f"{self.where or 'the whole'} {said}")
