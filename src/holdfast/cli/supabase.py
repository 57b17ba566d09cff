"""The commands about a project on Supabase: supabase backups, schedule, restore-pitr, and those of its files."""

from __future__ import annotations

import sys
from datetime import time
from pathlib import Path
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
    chosen_backup,
    opened_app,
    parse_time,
)
from holdfast.model.errors import CancelledError, UnsafeError, UsageError

if TYPE_CHECKING:
    from holdfast.jobs.supabase.platform_restore import Intent

# A new ledger is filled from the stores first, which none of this needs.
_SECONDS_FOR_STORES = 10.0
OneTarget = Annotated[str | None, typer.Argument(metavar="TARGET", help="Default: the only one.")]


def backups(
    target: OneTarget = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the backups that Supabase makes of a project by itself."""
    from holdfast.jobs.supabase import platform
    from holdfast.render import printing, supabase

    with opened_app(config, overrides, quiet=quiet, seconds=_SECONDS_FOR_STORES) as opened:
        chosen = opened.one_target(target)
        found = platform.backups(opened.services, chosen, opened.stop)
    if as_json:
        printing.facts(supabase.backups_facts(chosen.name, found))
    else:
        supabase.backups(found)
    if found.last_success is None:
        raise UnsafeError(
            f"Supabase has no backup of the project of target {chosen.name}",
            hint="Its plan decides whether there are any, and from when. Do not count on them: `holdfast backup`.",
        )


def schedule(
    target: OneTarget = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="HH:MM", help="From the next day on at this time (UTC).")
    ] = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell when Supabase makes its daily backup of a project, or have it made at another time."""
    from holdfast.jobs.supabase import platform
    from holdfast.render import printing, supabase

    at = _time_of_day(to)
    with opened_app(config, overrides, quiet=quiet, seconds=_SECONDS_FOR_STORES) as opened:
        chosen = opened.one_target(target)
        found = platform.schedule(chosen, opened.stop, at)
    if as_json:
        printing.facts(supabase.schedule_facts(chosen.name, found))
    elif not quiet:
        supabase.schedule(found, changed=at is not None)


def _time_of_day(text: str | None) -> time | None:
    if text is None:
        return None
    try:
        found = time.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is not None or found.microsecond:
        raise UsageError(f"{text!r} is not a time of day", hint="Write HH:MM in UTC, such as 04:30.")
    return found


def restore_pitr(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Whose project.")],
    at: Annotated[
        str,
        typer.Option("--at", metavar="TIME", help="The point in time (UTC), such as 2026-11-22T10:00:00Z."),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, and say what would be lost; change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the project's name.")] = False,
    limit: Annotated[
        float, typer.Option("--limit", metavar="HOURS", min=0.01, help="Follow it for so long.")
    ] = 4.0,
    config: ConfigPath = None,
    overrides: Set = None,
    quiet: Quiet = False,
) -> None:
    """Have Supabase restore a project to a point in time. What was written since then is lost."""
    from holdfast.jobs.supabase import platform_restore as job
    from holdfast.render import printing, supabase

    moment = parse_time(at)
    if moment is None or moment.timestamp() < 1:
        raise UsageError(f"{at!r} is not a time to restore to", hint="Write 2026-11-22T10:00:00Z.")
    with opened_app(config, overrides, quiet=quiet, seconds=_SECONDS_FOR_STORES) as opened:
        chosen = opened.one_target(target)
        intent = job.intend(opened.services, chosen, moment, opened.stop)
        if not (quiet and yes):
            supabase.intent(intent, chosen.name)
        if dry_run:
            return
        if not yes:
            _confirm(intent)
        pace = job.Pace(end=limit * 3600)
        tell = supabase.silence if quiet else supabase.status
        job.restore(opened.services, chosen, intent, opened.stop, pace=pace, tell=tell)
    if not quiet:
        printing.line(
            f"project {intent.project.name} was restored, and is healthy; try it before you rely on it"
        )


def _confirm(intent: Intent) -> None:
    """Ask for the project's name. Raise UsageError where nobody is there to answer, CancelledError for another."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("nothing is restored unasked", hint="Say --yes where nobody can answer.")
    said = str(typer.prompt("Type the project's name to restore it", default="", show_default=False))
    if not said or said != intent.project.name:
        raise CancelledError("that is not the project's name: nothing was changed")


def objects(
    target: OneTarget = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the snapshots of a project's files."""
    from holdfast.jobs.supabase import storage_restore as job
    from holdfast.render import printing, supabase

    with opened_app(config, overrides, quiet=quiet) as opened:
        found = job.snapshots(opened.services, opened.one_target(target))
    if as_json:
        printing.facts([supabase.snapshot_facts(each) for each in found])
    else:
        supabase.snapshots(found)


def save_objects(
    target: OneTarget = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Save the files in a project's buckets, now. What has not changed is not read again."""
    from holdfast.jobs.supabase import storage_save as job
    from holdfast.render import printing, supabase

    with opened_app(config, overrides, quiet=quiet) as opened:
        chosen = opened.one_target(target)
        saved = job.save(opened.writing_services(), chosen, opened.stop)
    if as_json:
        printing.facts(supabase.saved_facts(saved))
    elif not quiet:
        supabase.saved(saved)


def restore_objects(
    target: OneTarget = None,
    snapshot: Annotated[
        str, typer.Option("--snapshot", metavar="ID", help="A snapshot's id, or the beginning of one.")
    ] = "latest",
    bucket: Annotated[str | None, typer.Option("--bucket", metavar="NAME", help="This bucket only.")] = None,
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="TEXT", help="Files whose names begin so only.")
    ] = "",
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Into this directory, a folder a bucket.")
    ] = None,
    to_target: Annotated[
        str | None, typer.Option("--to-target", metavar="NAME", help="Into the project of this target.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there and differ.")
    ] = False,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring files of a snapshot back into the project's buckets, or elsewhere. Needs the identity."""
    from holdfast.jobs.supabase import storage_restore as job
    from holdfast.jobs.supabase.storage_access import bucket_files
    from holdfast.jobs.supabase.storage_folder import Folder
    from holdfast.render import printing, supabase

    if to is not None and to_target is not None:
        raise UsageError("--to and --to-target exclude each other")
    with opened_app(config, overrides, quiet=quiet) as opened:
        chosen = opened.one_target(target)
        found = job.choose(opened.services, chosen, snapshot)
        into = opened.one_target(to_target) if to_target is not None else chosen
        place = Folder(to) if to is not None else bucket_files(into, opened.stop)
        choice = job.Choice(bucket=bucket, prefix=prefix, overwrite=overwrite)
        done = job.restore(opened.services, chosen, found, place, choice, opened.stop)
    if as_json:
        printing.facts(supabase.brought_facts(done))
    elif not quiet:
        supabase.brought(done)
    if (error := job.complaint(done, choice)) is not None:
        raise error


def settings(
    word: BackupWord,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Into this new directory, bodies of functions too."),
    ] = None,
    target: TargetName = None,
    before: Before = None,
    store: StoreName = None,
    config: ConfigPath = None,
    overrides: Set = None,
    quiet: Quiet = False,
) -> None:
    """Get the settings of a project out of a backup: JSON, with secrets in it. Needs the identity."""
    from holdfast.jobs.supabase import platform_settings as job
    from holdfast.model.codec import to_json
    from holdfast.render import printing

    with opened_app(config, overrides, quiet=quiet) as opened:
        chosen = chosen_backup(opened, word, target=target, before=before, store=store)
        found = job.read(opened.services, chosen)
    if to is None:
        printing.facts(to_json(job.without_bodies(found)))
        return
    written = job.write(found, to)
    if not quiet:
        for path in written:
            printing.line(str(path))


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    group = typer.Typer(help="What Supabase keeps of a project by itself.", no_args_is_help=True)
    group.command()(backups)
    group.command()(schedule)
    group.command("restore-pitr")(restore_pitr)
    group.command()(objects)
    group.command()(settings)
    group.command("save-objects")(save_objects)
    group.command("restore-objects")(restore_objects)
    app.add_typer(group, name="supabase")
