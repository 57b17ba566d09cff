"""The commands that take, show and verify backups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.options import (
    BackupWord,
    Before,
    ConfigPath,
    Json,
    Quiet,
    Set,
    StoreName,
    TargetName,
    opened_app,
    parse_time,
)
from holdfast.model.errors import (
    IntegrityError,
    KeyFileError,
    PartialError,
    StoreError,
    UnsafeError,
    UsageError,
)

if TYPE_CHECKING:
    from holdfast.app import App
    from holdfast.jobs.copies import CaughtUp

# A new ledger is filled from the stores first. Who asks what is known does not wait long for one that is away.
SECONDS_FOR_STORES = 10.0


def backup(
    targets: Annotated[list[str] | None, typer.Argument(metavar="TARGET", help="Default: all.")] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="TEXT", help="A word to keep with the backup.")
    ] = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take a backup of the targets, now."""
    from holdfast.jobs.backup import backup_all
    from holdfast.render import facts, printing

    with opened_app(config, overrides, quiet=quiet) as opened:
        chosen = opened.to_back_up(targets or [])
        taken, failed = backup_all(opened.writing_services(), chosen, opened.stop, labels=tuple(label or ()))
    if as_json:
        printing.facts([facts.taken(each) for each in taken])
    elif not quiet:
        for each in taken:
            printing.taken(each)
    for name, error in failed[:-1] if not taken else failed:
        printing.error(error, prefix=f"target {name}: ")
    if failed and not taken:
        raise failed[-1][1]
    if failed or any(each.failed_copies or each.unextended for each in taken):
        raise PartialError(
            f"{len(taken)} backups taken, {len(failed)} failed"
            + "".join(f"; the copy of {t.backup.id} to {s} failed" for t in taken for s, _ in t.failed_copies)
            + "".join(f"; the locks of {t.backup.id} were not extended" for t in taken if t.unextended)
        )


def copy(
    targets: Annotated[list[str] | None, typer.Argument(metavar="TARGET", help="Default: all.")] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="STORE", help="To this store only, encrypted anew.")
    ] = None,
    recipient: Annotated[
        list[str] | None, typer.Option("--recipient", metavar="RECIPIENT", help="With --to: to whom. Repeat.")
    ] = None,
    backup: Annotated[
        str | None, typer.Option("--backup", metavar="BACKUP", help="With --to: this one only. Default: all.")
    ] = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring the backups of the targets to all their stores: what a store that was away has missed."""
    from holdfast.render import facts, printing

    if (to is None) != (not recipient) or (backup is not None and to is None):
        raise UsageError("--to STORE and --recipient RECIPIENT go together, and --backup goes with them")
    with opened_app(config, overrides, quiet=quiet) as opened:
        if to is None:
            from holdfast.jobs.copies import catch_up

            chosen = opened.to_back_up(targets or [])
            done = {each.name: catch_up(opened.services, each, opened.stop) for each in chosen}
        else:
            done = _encrypted_anew(opened, targets or [], backup, to, recipient or [])
    if as_json:
        printing.facts([facts.caught_up(name, each) for name, each in done.items()])
    elif not quiet:
        for name, each in done.items():
            printing.caught_up(name, each)
    failed = [error for each in done.values() for _, _, error in each.failed]
    if failed and not any(each.copied for each in done.values()):
        raise failed[0]
    if failed:
        raise PartialError(
            f"{sum(len(each.copied) for each in done.values())} copies made, {len(failed)} failed"
        )


def _encrypted_anew(
    opened: App, targets: list[str], backup: str | None, to: str, recipients: list[str]
) -> dict[str, CaughtUp]:
    from holdfast.jobs.reencrypt import copy_to
    from holdfast.streams.age_keys import parse_recipient

    wanted = tuple(parse_recipient(text) for text in dict.fromkeys(recipients))
    asked: list[str | None] = [*targets] or [None]
    rows = [
        row
        for target in asked
        for row in opened.wanted(backup, every=backup is None, target=target, store=None)
    ]
    services = opened.writing_services()
    return {
        name: copy_to(
            services, name, [row for row in rows if row.backup.target == name], to, wanted, opened.stop
        )
        for name in dict.fromkeys(row.backup.target for row in rows)
    }


def list_backups(
    target: TargetName = None,
    every: Annotated[
        bool, typer.Option("--all", help="Those too that retention has hidden on their way out.")
    ] = False,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the backups, newest first."""
    from holdfast.render import facts, printing

    with opened_app(config, overrides, quiet=quiet, seconds=SECONDS_FOR_STORES) as opened:
        rows = opened.listed(target, hidden=every)
    if as_json:
        printing.facts([facts.row(row) for row in rows])
    else:
        printing.backups(rows)


def show(
    word: BackupWord,
    target: TargetName = None,
    before: Before = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show all that is known of one backup, and what it covers."""
    from holdfast.jobs.show import coverage_of
    from holdfast.ledger import locks, marks
    from holdfast.render import facts, printing, retention

    with opened_app(config, overrides, quiet=quiet) as opened:
        row = opened.find(word, target=target, before=parse_time(before))
        coverage = coverage_of(opened.services, row)
        marked = marks.of_backup(opened.services.ledger, row.backup.id)
        locked = locks.of_backup(opened.services.ledger, row.backup.id)
    if as_json:
        printing.facts(facts.detail(row, coverage, marked, locked))
    else:
        printing.detail(row, coverage)
        retention.locks(locked)
        retention.marks(row, marked)


def status(
    config: ConfigPath = None, overrides: Set = None, as_json: Json = False, quiet: Quiet = False
) -> None:
    """Tell whether each target is safe. The last good backup, where it lies, and what failed last."""
    from holdfast.jobs.status import status as job
    from holdfast.render import facts, printing
    from holdfast.render import status as render_status

    with opened_app(config, overrides, quiet=quiet, seconds=SECONDS_FOR_STORES) as opened:
        values = job(opened.services, opened.targets)
    if as_json:
        printing.facts([facts.target_status(value) for value in values])
    else:
        render_status.status(values)
    if not values:
        raise UnsafeError(
            "nothing is backed up: the config has no target, and no backup is known",
            hint="Add a section [targets.NAME], or set HOLDFAST_URL; a variable that is empty counts as none.",
        )
    if unsafe := [value.target for value in values if value.problems]:
        raise UnsafeError(
            f"{len(unsafe)} of {len(values)} targets {'is' if len(unsafe) == 1 else 'are'} not safe:"
            f" {', '.join(unsafe)}"
        )


def verify(
    word: Annotated[str | None, typer.Argument(metavar="BACKUP", help="Default: the latest.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every backup.")] = False,
    target: TargetName = None,
    store: StoreName = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read every stored byte again and authenticate it. With an identity, open it to the end."""
    from holdfast.jobs.verify import verify as job
    from holdfast.render import facts, printing

    if every and word is not None:
        raise UsageError("give a backup or --all, not both")
    with opened_app(config, overrides, quiet=quiet) as opened:
        rows = opened.wanted(word, every=every, target=target, store=store)
        results = [result for row in rows for result in job(opened.services, row, opened.stop, store=store)]
    if as_json:
        printing.facts([facts.verified(result) for result in results])
    elif not quiet or any(result.error for result in results):
        printing.verified(results)
    errors = [result.error for result in results if result.error is not None]
    if errors:
        alike = (k for k in (KeyFileError, StoreError) if all(isinstance(error, k) for error in errors))
        kind = next(alike, IntegrityError)
        raise kind(f"{len(errors)} of {len(results)} copies failed")


def catalog_rebuild(
    store: StoreName = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Rebuild the ledger from the manifests of the stores."""
    from holdfast.jobs.catalog import rebuild
    from holdfast.render import facts, printing

    with opened_app(config, overrides, quiet=quiet) as opened:
        result = rebuild(opened.services, store=store)
    if as_json:
        printing.facts(facts.rebuilt(result))
    elif not quiet or result.problems:
        printing.rebuilt(result)
    if not result.stores and result.problems:
        raise PartialError("no store could be read")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    for command in (backup, copy, show, status, verify):
        app.command()(command)
    app.command("list")(list_backups)
    catalog = typer.Typer(help="The ledger's memory of what the stores hold.", rich_markup_mode=None)
    catalog.command("rebuild")(catalog_rebuild)
    app.add_typer(catalog, name="catalog", no_args_is_help=True)
