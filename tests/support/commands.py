"""The commands of the program and their options, as the parser knows them."""

from __future__ import annotations

from functools import cache
from typing import Any

import typer.main

from holdfast.cli.program import program


@cache
def commands() -> dict[str, set[str]]:
    """Give every command and its options, as the parser knows them."""
    found: dict[str, set[str]] = {}

    def walk(command: Any, name: str) -> None:  # noqa: ANN401 - typer's own classes are private
        children = getattr(command, "commands", None)
        for child, below in (children or {}).items():
            walk(below, f"{name} {child}".strip())
        if not children:
            options = (param for param in command.params if param.param_type_name == "option")
            found[name] = {text for param in options for text in (*param.opts, *param.secondary_opts)}

    walk(typer.main.get_command(program()), "")
    return found
