"""The commands that let backups go and keep them: prune, pin, unpin, undelete, anomaly."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli.options import (
    BackupWord,
    ConfigPath,
    Json,
    Quiet,
    Set,
    TargetName,
    opened_app,
    parse_time,
)
from holdfast.model.errors import ConfigError, UsageError

Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Why; kept with the backup, in the clear.")]


def prune(
    target: TargetName = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would become of each backup, and why; change nothing.")
    ] = False,
    allow: Annotated[
        int, typer.Option("--allow", metavar="N", min=0, help="Let this one run take up to N backups away.")
    ] = 0,
    accept_clock: Annotated[
        bool, typer.Option("--accept-clock", help="The clock is right, though it jumped.")
    ] = False,
    explain: Annotated[
        str | None, typer.Option("--explain", metavar="DATE", help="Say what would be kept on a later day.")
    ] = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take away the backups that no rule keeps. First they are hidden, after the grace removed."""
    from holdfast.jobs import prune as job
    from holdfast.jobs.prune_future import future
    from holdfast.render import printing, retention

    with opened_app(config, overrides, quiet=quiet) as opened:
        targets = opened.chosen([target] if target is not None else [])
        if not targets:
            raise ConfigError(
                "no targets: there are no rules to prune by", hint="Add a section [targets.NAME]."
            )
        day = parse_time(explain)
        if day is not None:
            futures = [found for each in targets for found in future(opened.services, each, day)]
            if as_json:
                printing.facts([retention.future_facts(each) for each in futures])
            else:
                retention.futures(futures)
            return
        wish = job.Wish(dry_run=dry_run, allow=allow, accept_clock=accept_clock)
        results = [
            result for each in targets for result in job.prune(opened.services, each, opened.stop, wish=wish)
        ]
    if as_json:
        printing.facts([retention.pruned_facts(each) for each in results])
    elif not quiet:
        retention.pruned(results, dry_run=dry_run)
    job.complain(results)


def pin(
    word: BackupWord,
    why: Why,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Until then (UTC). Default: for good.")
    ] = None,
    target: TargetName = None,
    config: ConfigPath = None,
    overrides: Set = None,
    quiet: Quiet = False,
) -> None:
    """Keep a backup whatever the rules say. It takes no other backup's place."""
    from holdfast.jobs import keeping
    from holdfast.render import printing

    with opened_app(config, overrides, quiet=quiet) as opened:
        row = opened.find(word, target=target, before=None, fresh=True)
        stores = keeping.pin(opened.services, row, why=_said(why), until=parse_time(until))
    if not quiet:
        printing.line(f"pinned {row.backup.id} in {', '.join(stores)}")


def unpin(
    word: BackupWord,
    why: Why = "let go",
    target: TargetName = None,
    config: ConfigPath = None,
    overrides: Set = None,
    quiet: Quiet = False,
) -> None:
    """Let a pinned backup go as the rules say."""
    from holdfast.jobs import keeping
    from holdfast.render import printing

    with opened_app(config, overrides, quiet=quiet) as opened:
        row = opened.find(word, target=target, before=None, fresh=True)
        stores = keeping.unpin(opened.services, row, why=_said(why))
    if not quiet:
        printing.line(f"let {row.backup.id} go in {', '.join(stores)}")


def undelete(
    word: BackupWord,
    target: TargetName = None,
    config: ConfigPath = None,
    overrides: Set = None,
    quiet: Quiet = False,
) -> None:
    """Bring a backup back that retention has hidden. It works until the grace is over."""
    from holdfast.jobs import keeping
    from holdfast.render import printing

    with opened_app(config, overrides, quiet=quiet) as opened:
        row = opened.find(word, target=target, before=None, fresh=True)
        stores = keeping.undelete(opened.services, row)
    if not quiet:
        printing.line(
            f"{row.backup.id} is back in {', '.join(stores)}; pin it, or the next prune hides it again"
        )


def anomaly_list(
    target: TargetName = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List what is unusual about backups and was not acknowledged. Until then nothing is removed."""
    from holdfast.jobs.unusual import unusual
    from holdfast.render import printing, retention

    with opened_app(config, overrides, quiet=quiet) as opened:
        names = [each.name for each in opened.chosen([target] if target is not None else [])]
        found = [
            each
            for name in names
            for each in unusual(opened.services, name, opened.services.ledger.backups(name))
        ]
    if as_json:
        printing.facts([retention.unusual_facts(each) for each in found])
    else:
        retention.unusual(found)


def anomaly_ack(
    word: BackupWord,
    why: Why,
    target: TargetName = None,
    config: ConfigPath = None,
    overrides: Set = None,
    quiet: Quiet = False,
) -> None:
    """Say that what is unusual up to this backup is meant. It is what later backups are judged by."""
    from holdfast.jobs import keeping
    from holdfast.render import printing

    with opened_app(config, overrides, quiet=quiet) as opened:
        row = opened.find(word, target=target, before=None, fresh=True)
        stores = keeping.acknowledge(opened.services, row, why=_said(why))
    if not quiet:
        printing.line(f"acknowledged {row.backup.id} in {', '.join(stores)}")


def _said(why: str) -> str:
    if not why.strip():
        raise UsageError("--why is empty", hint="Say it for whoever wonders in a year.")
    return why.strip()


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    for command in (prune, pin, unpin, undelete):
        app.command()(command)
    anomaly = typer.Typer(help="What is unusual about backups.", rich_markup_mode=None)
    anomaly.command("list")(anomaly_list)
    anomaly.command("ack")(anomaly_ack)
    app.add_typer(anomaly, name="anomaly", no_args_is_help=True)
