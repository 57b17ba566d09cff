"""The commands that prove backups, show the proof, and mend what is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    new_file,
    opened_app,
    parse_time,
)
from holdfast.model.errors import IntegrityError, StoreError, UsageError


def restore_test(
    target: Annotated[str | None, typer.Argument(metavar="TARGET", help="Default: the only one.")] = None,
    backup: Annotated[
        str | None,
        typer.Option("--backup", metavar="BACKUP", help="An id, a prefix of one. Default: the latest."),
    ] = None,
    database: DatabaseName = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Restore a backup into a scratch cluster and prove that it is the same."""
    from holdfast.jobs import restore_test as job
    from holdfast.jobs.find import LATEST, open_best
    from holdfast.render import printing, prove

    with opened_app(config, overrides, quiet=quiet) as opened:
        row = opened.find(backup or LATEST, target=target, before=None, fresh=True, whole=True)
        plan = opened.testing(row.backup.target)
        services = opened.writing_services()
        result = job.run_one(services, open_best(services, row), plan, opened.stop, database=database)
    if as_json:
        printing.facts(prove.result_facts(result))
    elif not quiet:
        prove.result(result)
    job.require_pass(result)


def proof_show(
    word: BackupWord,
    target: TargetName = None,
    before: Before = None,
    html: Annotated[bool, typer.Option("--html", help="One HTML page that needs nothing else.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Into this new file. Default: stdout."),
    ] = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show the newest proof of a backup: what was restored, compared and checked."""
    from holdfast.jobs import proofs
    from holdfast.model import document
    from holdfast.render import printing, prove
    from holdfast.streams import private_file

    if as_json and (html or output is not None):
        raise UsageError("--json does not go with --html or --output")
    new_file(output)
    with opened_app(config, overrides, quiet=quiet) as opened:
        row = opened.find(word, target=target, before=parse_time(before), fresh=True)
        shown = proofs.show(opened.services, row)
    if as_json:
        printing.facts(prove.shown_facts(shown))
        return
    made = prove.document(shown)
    text = document.as_html(made) if html else document.as_text(made)
    if output is not None:
        private_file.write_new(output, text)
        return
    for line in text.splitlines():
        printing.line(line)


def repair(
    word: BackupWord,
    target: TargetName = None,
    before: Before = None,
    store: StoreName = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Mend the damaged copies of a backup from a whole one in another store."""
    from holdfast.jobs.repair import repair as job
    from holdfast.render import printing, prove

    with opened_app(config, overrides, quiet=quiet) as opened:
        row = opened.find(word, target=target, before=parse_time(before), fresh=True)
        done = job(opened.services, row, opened.stop, store=store)
    if as_json:
        printing.facts([prove.repaired_facts(each) for each in done])
    elif not quiet or any(each.error for each in done):
        prove.repaired(done)
    if errors := [each.error for each in done if each.error is not None]:
        kind = StoreError if all(isinstance(error, StoreError) for error in errors) else IntegrityError
        raise kind(f"{len(errors)} of {len(done)} copies could not be mended")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("restore-test")(restore_test)
    app.command()(repair)
    proof = typer.Typer(help="The proofs of restore tests.", rich_markup_mode=None)
    proof.command("show")(proof_show)
    app.add_typer(proof, name="proof", no_args_is_help=True)
