"""Shows the commands by what one wants to do, each with one whole line: what `holdfast --help` prints."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from typer.core import TyperCommand, TyperGroup

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Begin": {
        "init": "Write a first config.",
        "keygen": "Make the keys: one pair to encrypt, one to sign.",
        "check": "Try all that a backup needs.",
        "demo": "Watch it all on throwaway servers.",
    },
    "Back up": {
        "backup": "Take a backup now.",
        "run": "Be the daemon: all by the schedules of the config.",
        "pause": "Begin nothing with a target for a while.",
        "resume": "End the pause.",
        "copy": "Bring the backups to all their stores.",
        "import": "Take over the dumps of a script.",
    },
    "Look": {
        "status": "Am I safe?",
        "list": "List the backups, newest first.",
        "show": "Show all that is known of one backup.",
        "schedule": "Show what runs next.",
        "schema": "How the schema has changed.",
        "anomaly": "What is unusual, and that somebody has looked.",
        "health": "Ask the daemon whether it is well.",
    },
    "Prove": {
        "verify": "Read every stored byte again and authenticate it.",
        "restore-test": "Restore into a throwaway server and compare every row.",
        "proof": "Show the signed proofs of that.",
        "repair": "Mend a damaged copy from a whole one.",
        "keys": "Which key opens what, and which may go.",
    },
    "Restore": {
        "restore": "Restore a server, a database, or some tables.",
        "recover": "Restore on an empty machine: the bucket and the key will do.",
        "swap": "Let one database take another's place, and back.",
        "export": "Write a database or tables to a file, without a server.",
        "disaster": "Walk through the plan for the worst day, or drill it.",
        "kit": "Write the page to keep with the key.",
    },
    "Keep": {
        "prune": "Take away what no rule keeps.",
        "pin": "Keep a backup whatever the rules say.",
        "unpin": "End that.",
        "undelete": "Bring back what retention has hidden.",
        "catalog": "Read the stores into the ledger anew.",
    },
    "Besides": {
        "notify": "Try the channels that tell people.",
        "supabase": "What Supabase itself keeps of a project.",
    },
}


_TYPE = re.compile(r" <(?:list\[)?(?:str|path|file|directory)\]?>\Z")
_WIDTH = max(len(name) for commands in SECTIONS.values() for name in commands)


class _Formatter(Protocol):
    """What is used of the formatter of typer's parser, which typer keeps to itself."""

    def section(self, name: str) -> AbstractContextManager[None]: ...

    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None: ...


class ByPurpose(TyperGroup):
    """The program's commands, in sections."""

    def format_commands(self, ctx: object, formatter: _Formatter) -> None:  # noqa: ARG002 - typer's signature
        """Write the sections. A program that was made for one command only shows its own help, never this."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{_WIDTH}}", text) for name, text in commands.items()])


class PlainCommand(TyperCommand):
    """A command whose help names what is given, without the types that Python has for it."""

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer keeps their types to itself
        """Write arguments and options."""
        super().format_options(ctx, _Untyped(formatter))  # type: ignore[arg-type]  # it has what is used of one


class _Untyped:
    """A formatter that leaves out types."""

    def __init__(self, formatter: _Formatter) -> None:
        self._formatter = formatter

    def section(self, name: str) -> AbstractContextManager[None]:
        return self._formatter.section(name)

    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None:
        self._formatter.write_dl([(_TYPE.sub("", name), text) for name, text in rows])
