"""The command that writes what a backup holds into files, without a server: export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.options import (
    BackupWord,
    Before,
    ConfigPath,
    DatabaseName,
    Json,
    Quiet,
    Set,
    StoreName,
    TargetName,
    chosen_backup,
    opened_app,
)
from holdfast.model.errors import UsageError

if TYPE_CHECKING:
    from holdfast.jobs.export import Form


def export(
    word: BackupWord,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A new file; for CSV a new directory, or FILE.csv. Default: stdout.",
        ),
    ] = None,
    database: DatabaseName = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORM", help="archive (pg_restore reads it), sql or csv.")
    ] = "archive",
    tables: Annotated[
        list[str] | None, typer.Option("--table", metavar="NAME", help="This table only; may be repeated.")
    ] = None,
    schemas: Annotated[
        list[str] | None, typer.Option("--schema", metavar="NAME", help="This schema only; may be repeated.")
    ] = None,
    target: TargetName = None,
    store: StoreName = None,
    before: Before = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a database of a backup, or tables of it, as a pg_dump archive, as SQL or as CSV."""
    from holdfast.jobs.export import Wish
    from holdfast.jobs.export import export as job
    from holdfast.render import facts, printing

    kind = _form(form)
    if output is None and as_json:
        raise UsageError("--json would mix with what is exported", hint="Give -o PATH.")
    if output is None and sys.stdout is None:  # some file that is opened later would get its number
        raise UsageError("stdout is closed", hint="Give -o PATH.")
    if output is None and sys.stdout.isatty() and kind == "archive":
        raise UsageError("an archive is not for a terminal", hint="Give -o FILE, or redirect the output.")
    wish = Wish(
        database=database,
        form=kind,
        output=output,
        tables=tuple(tables or ()),
        schemas=tuple(schemas or ()),
    )
    with opened_app(config, overrides, quiet=quiet) as opened:
        chosen = chosen_backup(opened, word, target=target, before=before, store=store)
        done = job(opened.services, chosen, wish, opened.stop)
    if as_json:
        printing.facts(facts.exported(done))


def _form(text: str) -> Form:
    forms: dict[str, Form] = {"archive": "archive", "sql": "sql", "csv": "csv"}
    if text not in forms:
        raise UsageError(f"no format {text!r}", hint="It is archive, sql or csv.")
    return forms[text]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command()(export)
