"""Finds, reads and checks the configuration: flags over environment over secret files over the TOML file.

Importing this is slow (pydantic): do so only where a config is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from holdfast.config import checks, notify, prepare, sources, stores
from holdfast.config.keys import known_keys
from holdfast.config.model import Config
from holdfast.config.sources import Keys, Layer, Problem, where_is
from holdfast.config.values import nearest
from holdfast.model.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["Config", "bare", "find", "load"]

_MOST_NAMED = 12  # keys in a message
_KINDS = {"stores": stores.KINDS, "notify": notify.KINDS}
_TEXTS = {  # by pydantic's type of error; others say it well enough themselves
    "missing": "it is missing",
    "bool_type": "true or false was expected",
    "bool_parsing": "true or false was expected",
    "int_type": "a whole number was expected",
    "int_parsing": "a whole number was expected",
    "string_type": "a text (in quotes) was expected",
    "union_tag_not_found": "a type or a url is missing",
    "model_type": "a table of keys was expected",
    "model_attributes_type": "a table of keys was expected",
    "dict_type": "a table of keys was expected",
    "tuple_type": "a list of texts was expected",
}


def find(path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Path | None:
    """Tell which config file is read, or None where there is none.

    It is `path`, else HOLDFAST_CONFIG, else the first that exists of ./holdfast.toml and /etc/holdfast/holdfast.toml.
    """
    environ = os.environ if environ is None else environ
    if path is not None:
        return path
    if named := environ.get(sources.CONFIG_VARIABLE):
        return Path(named)
    return next((name for name in sources.FILE_NAMES if name.exists()), None)


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Config:
    """Read and check the whole configuration.

    `environ` is this process's unless given; `overrides` are nested keys from the command line. Raise ConfigError that
    names every problem found, one a line, and repeats no secret.
    """
    environ = os.environ if environ is None else environ
    file = find(path, environ=environ)
    return _checked(_layers(file, environ, overrides or {}), file)


def bare(overrides: Mapping[str, object], *, environ: Mapping[str, str] | None = None) -> Config:
    """Make a configuration of nothing but nested keys: no file, no variable and no secret file is looked at.

    Raise ConfigError as `load` does.
    """
    environ = os.environ if environ is None else environ
    layers = [sources.from_flags(overrides), sources.from_machine(environ)]
    _prepare(layers, environ)
    return _checked(layers, None)


def _checked(layers: list[Layer], file: Path | None) -> Config:
    """Parse the layers and look for what cannot be meant; raise one ConfigError for all that is wrong."""
    problems = [problem for layer in layers for problem in layer.problems]
    config = None
    try:
        config = _parsed(layers)
    except ValidationError as error:
        problems += _described(
            error.errors(include_url=False, include_context=False, include_input=False), layers
        )
    if config is not None and not problems:
        problems += checks.contradictions(config, layers, file)
    if config is None or problems:
        raise _error(problems)
    return config


def _layers(file: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object]) -> list[Layer]:
    """Give the layers, the strongest first."""
    written = sources.from_file(file) if file is not None else None
    variables = sources.from_environment(environ, written)
    layers = [
        sources.from_flags(overrides),
        variables,
        sources.from_secret_files(environ, variables, written),
        *([] if written is None else [written]),
        sources.from_machine(environ),
    ]
    _prepare(layers, environ)
    return layers


def _prepare(layers: list[Layer], environ: Mapping[str, str]) -> None:
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    for layer in layers:
        prepare.prepare(layer, home)
    prepare.drop_hidden_stores(layers)


def _parsed(layers: list[Layer]) -> Config:
    merged: dict[str, object] = {}
    for layer in reversed(layers):
        _merge(merged, layer.data)
    return Config.model_validate(merged)


def _merge(into: dict[str, object], stronger: Mapping[str, object]) -> None:
    """Lay the keys of a stronger layer over what is there; sections are merged, values replaced."""
    for key, value in stronger.items():
        if isinstance(value, dict):
            below = into.get(key)
            into[key] = merged = dict(below) if isinstance(below, dict) else {}
            _merge(merged, value)
        else:
            into[key] = value


def _described(errors: list[ErrorDetails], layers: list[Layer]) -> Iterator[Problem]:
    """Put pydantic's errors into our words. It quotes values only in what is left out here."""
    for error in errors:
        place = tuple(str(piece) for piece in error["loc"] if piece != "[key]")
        has_type = place[0] in _KINDS and len(place) > 2  # noqa: PLR2004 - stores, name, type, key
        where = where_is(layers, (*place[:2], *place[3:]) if has_type else place)
        yield Problem(where=where, text=_text(error, place, where))


def _text(error: ErrorDetails, place: Keys, where: str) -> str:
    kind, said = error["type"], error["msg"]
    if kind == "extra_forbidden":
        return _unknown(place, where)
    if kind == "value_error":
        return said.removeprefix("Value error, ")
    if kind == "union_tag_invalid":
        return f"type is one of {', '.join(_KINDS[place[0]])}"
    if kind in _TEXTS:
        return _TEXTS[kind]
    text = said.replace("Input should be", "it has to be").replace("String should", "it should")
    return f"{text[:1].lower()}{text[1:]}"


def _unknown(place: Keys, where: str) -> str:
    *section, key = place
    known = known_keys(tuple(section))
    name = section[0] if section else ""
    if kinds := [kind for kind in _KINDS.get(name, ()) if key in known_keys((name, kind))]:
        return f"unknown key; it belongs to type {' or '.join(kinds)}"
    close = nearest(key, known)
    if close is None and len(known) > _MOST_NAMED:
        return "unknown key; config.example.toml shows all that there are"
    if close is None:
        return f"unknown key; known are {', '.join(known)}"
    if where.startswith(sources.PREFIX):
        close = f"{where[: len(where) - len(key)]}{close.upper()}"
    return f"unknown key; did you mean {close}?"


def _error(problems: list[Problem]) -> ConfigError:
    """One error for all of them, one line each."""
    lines = list(dict.fromkeys(map(str, problems)))
    hint = next((problem.hint for problem in problems if problem.hint), None)
    if len(lines) == 1:
        return ConfigError(lines[0], hint=hint)
    return ConfigError("\n".join([f"{len(lines)} problems in the config:", *lines]), hint=hint)
