"""The commands about the history of a target's schema: schema log, diff, show, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.options import (
    BackupWord,
    ConfigPath,
    DatabaseName,
    Json,
    Quiet,
    Set,
    TargetName,
    opened_app,
)

OneTarget = Annotated[str | None, typer.Argument(metavar="TARGET", help="Default: the only one.")]


def log(
    target: OneTarget = None,
    database: DatabaseName = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell when the schema of a target changed, and how. Needs the identity."""
    from holdfast.jobs.schema import history
    from holdfast.render import printing
    from holdfast.render import schema as render_schema

    with opened_app(config, overrides, quiet=quiet) as opened:
        name = opened.one_target(target).name
        versions = list(history(opened.services, name, opened.stop, database=database))
    if as_json:
        printing.facts(render_schema.facts(versions))
    else:
        render_schema.log(versions)


def diff(
    first: Annotated[
        str, typer.Argument(metavar="A", help="A backup: an id, the beginning of one, or `latest`.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    database: DatabaseName = None,
    target: TargetName = None,
    config: ConfigPath = None,
    overrides: Set = None,
    quiet: Quiet = False,
) -> None:
    """Show how the schema differs between two backups, as a unified diff. Needs the identity."""
    from holdfast.jobs.schema import schema_of
    from holdfast.model.schema import difference
    from holdfast.render import schema as render_schema

    with opened_app(config, overrides, quiet=quiet) as opened:
        rows = [opened.find(word, target=target, before=None, fresh=True) for word in (first, second)]
        old, new = (schema_of(opened.services, row, database) for row in rows)
    names = (f"{rows[0].backup.id} {old[0]}", f"{rows[1].backup.id} {new[0]}")
    render_schema.lines(difference(old[1], new[1], names=names))


def show(
    word: BackupWord,
    database: DatabaseName = None,
    target: TargetName = None,
    config: ConfigPath = None,
    overrides: Set = None,
    quiet: Quiet = False,
) -> None:
    """Print the schema of a database as a backup has it. Needs the identity."""
    from holdfast.jobs.schema import schema_of
    from holdfast.model.schema import schema_text
    from holdfast.render import schema as render_schema

    with opened_app(config, overrides, quiet=quiet) as opened:
        row = opened.find(word, target=target, before=None, fresh=True)
        _, objects = schema_of(opened.services, row, database)
    render_schema.lines(schema_text(objects))


def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files go.")],
    target: TargetName = None,
    database: DatabaseName = None,
    config: ConfigPath = None,
    overrides: Set = None,
    quiet: Quiet = False,
) -> None:
    """Write each version of the schema as a dated SQL file, for a version control of one's own. Needs the identity."""
    from holdfast.jobs.schema import export as job
    from holdfast.render import printing
    from holdfast.render.words import many

    with opened_app(config, overrides, quiet=quiet) as opened:
        name = opened.one_target(target).name
        written = job(opened.services, name, directory, opened.stop, database=database)
    if not quiet:
        for path in written:
            printing.line(str(path))
        printing.line(f"wrote {many(len(written), 'file')}")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    schema = typer.Typer(help="How the schema of a target has changed.", rich_markup_mode=None)
    for command in (log, diff, show, export):
        schema.command()(command)
    app.add_typer(schema, name="schema", no_args_is_help=True)
