"""The commands that bring data back: restore and export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from holdfast.cli_options import (
    BackupWord,
    Before,
    ConfigPath,
    DatabaseName,
    Json,
    Quiet,
    Set,
    StoreName,
    TargetName,
    opened_app,
    parse_time,
)
from holdfast.model.errors import UsageError

if TYPE_CHECKING:
    from holdfast.app import App
    from holdfast.jobs.reading import Opened


def restore(
    word: BackupWord,
    to: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="Into this server. Default: the target's own.")
    ] = None,
    database: DatabaseName = None,
    rename: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Under this name.")] = None,
    tablespace_map: Annotated[
        list[str] | None, typer.Option("--tablespace-map", metavar="OLD=PATH", help="Put a tablespace there.")
    ] = None,
    roles: Annotated[
        bool | None,
        typer.Option(
            "--roles/--no-roles", help="Apply roles and tablespaces. Default: when everything is restored."
        ),
    ] = None,
    target: TargetName = None,
    store: StoreName = None,
    before: Before = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Restore a backup, into a server where nothing is overwritten."""
    from holdfast import facts, render
    from holdfast.jobs.restore import Wish
    from holdfast.jobs.restore import restore as job

    with opened_app(config, overrides, quiet=quiet) as opened:
        chosen = _chosen(opened, word, target, before, store)
        wish = Wish(
            into=opened.destination(to, chosen.backup.target),
            database=database,
            rename=rename,
            tablespaces=dict(_pair(text, "--tablespace-map") for text in tablespace_map or ()),
            roles=roles,
        )
        report = job(opened.services, chosen, wish, opened.stop)
    if as_json:
        render.facts(facts.report(report))
    elif not quiet:
        render.report(report)


def export(
    word: BackupWord,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A new file. Default: stdout.")
    ] = None,
    database: DatabaseName = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORM", help="archive (pg_restore reads it) or sql.")
    ] = "archive",
    target: TargetName = None,
    store: StoreName = None,
    before: Before = None,
    config: ConfigPath = None,
    overrides: Set = None,
    quiet: Quiet = False,
) -> None:
    """Write one database of a backup as a plain pg_dump archive or as SQL."""
    from holdfast.jobs.export import export as job

    if form not in ("archive", "sql"):
        raise UsageError(f"no format {form!r}", hint="It is archive or sql.")
    if output is None and sys.stdout.isatty() and form == "archive":
        raise UsageError("an archive is not for a terminal", hint="Give -o FILE, or redirect the output.")
    kind: Literal["archive", "sql"] = "sql" if form == "sql" else "archive"
    with opened_app(config, overrides, quiet=quiet) as opened:
        chosen = _chosen(opened, word, target, before, store)
        job(opened.services, chosen, opened.stop, database=database, form=kind, output=output)


def _chosen(opened: App, word: str, target: str | None, before: str | None, store: str | None) -> Opened:
    from holdfast.jobs.find import open_best

    row = opened.find(word, target=target, before=parse_time(before), fresh=True)
    return open_best(opened.services, row, store)


def _pair(text: str, option: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise UsageError(f"{option} {text}: write OLD=PATH")
    return old, new


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    for command in (restore, export):
        app.command()(command)
