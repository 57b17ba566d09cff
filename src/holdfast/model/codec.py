"""Turns the frozen types of the model into JSON values and back, strictly, by their type hints.

Supported: dataclasses, str, int, float, bool, None, datetime (aware, written in UTC as RFC 3339), tuples of one
type, mappings from str, Literal, unions with None, and object for any JSON value as it is. Unknown fields are ignored, so that a later program of the
same format version may add some; a missing field without a default, or a value of the wrong type, is a ValueError
that names the field's path.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def time_text(value: datetime) -> str:
    """RFC 3339 in UTC, with a fraction only where there is one."""
    if value.tzinfo is None:
        raise ValueError("a time without a zone")
    text = value.astimezone(UTC).isoformat(timespec="microseconds" if value.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Read what `time_text` wrote, or any RFC 3339 time with a zone."""
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise ValueError(f"a time without a zone: {text}")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"a time out of range: {text}") from error


def to_json(value: object) -> Json:
    """Give the JSON value of a model value."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return time_text(value)
        case Mapping():
            return {str(key): to_json(item) for key, item in value.items()}
        case tuple() | list():
            return [to_json(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(f"no JSON form for {type(value).__name__}")


def from_json(kind: type[T], value: object, path: str = "") -> T:
    """Build a `kind` from a JSON value. Raise ValueError, naming the field, for anything that does not fit."""
    result: T = _decode(kind, value, path or kind.__name__)
    return result


@lru_cache(maxsize=64)
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _decode(hint: Any, value: object, path: str) -> Any:  # noqa: ANN401 - the hint decides the type
    origin = get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return _decode_dataclass(hint, value, path)
    if origin in (Union, types.UnionType):
        return _decode_union(get_args(hint), value, path)
    if origin is Literal:
        if value not in get_args(hint):
            raise ValueError(f"{path}: {value!r} is not one of {', '.join(map(repr, get_args(hint)))}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{path}: a list was expected")
        item_hint = get_args(hint)[0]
        return tuple(_decode(item_hint, item, f"{path}[{index}]") for index, item in enumerate(value))
    if origin is Mapping or origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{path}: an object was expected")
        item_hint = get_args(hint)[1]
        return {str(key): _decode(item_hint, item, f"{path}.{key}") for key, item in value.items()}
    return _decode_scalar(hint, value, path)


def _decode_dataclass(kind: Any, value: object, path: str) -> Any:  # noqa: ANN401 - the hint decides the type
    if not isinstance(value, dict):
        raise ValueError(f"{path}: an object was expected")  # noqa: TRY004 - the document is wrong, not the caller
    hints = _hints(kind)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            fields[field.name] = _decode(hints[field.name], value[field.name], f"{path}.{field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{path}: {field.name} is missing")
    return kind(**fields)


def _decode_union(options: tuple[Any, ...], value: object, path: str) -> Any:  # noqa: ANN401 - as above
    if value is None and types.NoneType in options:
        return None
    real = [option for option in options if option is not types.NoneType]
    failure: ValueError | None = None
    for option in real:
        try:
            return _decode(option, value, path)
        except ValueError as error:
            failure = error
    raise failure or ValueError(f"{path}: nothing fits")


def _decode_scalar(hint: Any, value: object, path: str) -> Any:  # noqa: ANN401 - as above
    if hint is datetime:
        if not isinstance(value, str):
            raise ValueError(f"{path}: a time was expected")
        try:
            return parse_time(value)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    if hint is object:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise ValueError(f"{path}: the number is out of range") from error
    if hint in (str, int, float, bool) and type(value) is hint:
        return value
    raise ValueError(f"{path}: {getattr(hint, '__name__', hint)} was expected, not {type(value).__name__}")
