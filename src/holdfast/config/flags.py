"""Reads the flags that override keys of the config: `--set section.key=value`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy

from holdfast.model.errors import UsageError


def nested(texts: Sequence[str], base: Mapping[str, object] | None = None) -> dict[str, object]:
    """Lay `section.key=value` flags over nested keys; a value is TOML, or else plain text. Raise UsageError."""
    found: dict[str, object] = deepcopy(dict(base or {}))
    for text in texts:
        dotted, equals, value = text.partition("=")
        if not equals or not dotted:
            raise UsageError(
                f"--set {text}: write KEY=VALUE", hint="For example --set daemon.state_dir=/var/lib/x."
            )
        here = found
        *sections, last = dotted.split(".")
        for section in sections:
            below = here.setdefault(section, {})
            if not isinstance(below, dict):
                raise UsageError(f"--set {text}: {section} is a value, not a section")
            here = below
        here[last] = _value(value)
    return found


def _value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
