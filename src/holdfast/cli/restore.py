"""The command that brings data back into a server: restore."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, get_args

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
    backup_before_migration,
    chosen_backup,
    common,
    destination,
    opened_app,
    pair,
)
from holdfast.model.errors import UsageError

if TYPE_CHECKING:
    from holdfast.app import App
    from holdfast.jobs.reading import Opened
    from holdfast.jobs.restore import Wish
    from holdfast.methods.pg_restore import Section

Names = list[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Output:
    """How the command prints."""

    as_json: bool
    quiet: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    """What was asked for instead of whole databases."""

    tables: tuple[str, ...]
    schemas: tuple[str, ...]
    rename: tuple[str, ...]
    into_schema: str | None

    @property
    def wanted(self) -> bool:
        """Whether anything was."""
        return bool(self.tables or self.schemas or self.rename or self.into_schema is not None)


def restore(
    word: BackupWord,
    to: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="Into this server. Default: the target's own.")
    ] = None,
    database: DatabaseName = None,
    rename: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Under this name; with --table: into this database."),
    ] = None,
    table: Annotated[
        Names, typer.Option("--table", metavar="NAME", help="This table only; may be repeated.")
    ] = None,
    schema: Annotated[
        Names, typer.Option("--schema", metavar="NAME", help="This schema only; may be repeated.")
    ] = None,
    rename_table: Annotated[
        Names, typer.Option("--rename-table", metavar="OLD=NEW", help="This table, beside the live one.")
    ] = None,
    into_schema: Annotated[
        str | None, typer.Option("--into-schema", metavar="NAME", help="The tables into this schema.")
    ] = None,
    swap: Annotated[
        bool,
        typer.Option("--swap", help="Restore beside the live database, compare, and let them change places."),
    ] = False,
    no_compare: Annotated[
        bool, typer.Option("--no-compare", help="With --swap: do not look at what was written since.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")
    ] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", help="Sessions that restore at once.")
    ] = 1,
    clean: Annotated[
        bool, typer.Option("--clean", help="Replace what is there, in one transaction.")
    ] = False,
    no_owner: Annotated[
        bool, typer.Option("--no-owner", help="Everything belongs to the role that restores.")
    ] = False,
    no_privileges: Annotated[bool, typer.Option("--no-privileges", help="Without grants.")] = False,
    role: Annotated[
        str | None, typer.Option("--role", metavar="NAME", help="Restore as this role (SET ROLE).")
    ] = None,
    section: Annotated[
        Names,
        typer.Option("--section", metavar="NAME", help="pre-data, data or post-data; may be repeated."),
    ] = None,
    no_analyze: Annotated[
        bool, typer.Option("--no-analyze", help="Without statistics for the planner at the end.")
    ] = False,
    tablespace_map: Annotated[
        Names, typer.Option("--tablespace-map", metavar="OLD=PATH", help="Put a tablespace there.")
    ] = None,
    roles: Annotated[
        bool | None,
        typer.Option(
            "--roles/--no-roles", help="Apply roles and tablespaces. Default: when everything is restored."
        ),
    ] = None,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Of a Supabase project: without what needs the platform."),
    ] = False,
    before_migration: Annotated[
        str | None,
        typer.Option(
            "--before-migration",
            metavar="VERSION",
            help="With `latest`: the last backup before this migration was applied.",
        ),
    ] = None,
    target: TargetName = None,
    store: StoreName = None,
    before: Before = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Restore a backup, or some of it, into a server where nothing is overwritten unasked."""
    from holdfast.jobs.restore import Wish
    from holdfast.methods.pg_restore import Options

    options = Options(
        jobs=jobs,
        sections=_sections(section or ()),
        clean=clean,
        no_owner=no_owner,
        no_privileges=no_privileges,
        role=role,
        analyze=not no_analyze,
    )
    some = _Tables(
        tables=tuple(table or ()),
        schemas=tuple(schema or ()),
        rename=tuple(rename_table or ()),
        into_schema=into_schema,
    )
    output = _Output(as_json=as_json, quiet=quiet)
    _refuse(some, swap=swap, no_compare=no_compare, roles=roles, tablespace_map=tablespace_map)
    with opened_app(config, overrides, quiet=quiet) as opened:
        if before_migration is not None:
            chosen = backup_before_migration(opened, word, before_migration, target=target, store=store)
        else:
            chosen = chosen_backup(opened, word, target=target, before=before, store=store)
        wish = Wish(
            into=destination(opened, to, chosen.backup.target),
            database=database,
            rename=rename,
            tablespaces=dict(pair(text, "--tablespace-map", "PATH") for text in tablespace_map or ()),
            roles=roles,
            options=options,
            plain=plain,
        )
        if some.wanted:
            return _restore_tables(opened, chosen, wish, some, output, dry_run=dry_run)
        if swap:
            from holdfast.render import swap as render_swap

            way = render_swap.server_options(
                config=config or common.config, to=to, target=chosen.backup.target
            )
            return _restore_swapped(
                opened, chosen, wish, way, output, compare=not no_compare, dry_run=dry_run
            )
        return _restore_databases(opened, chosen, wish, output, dry_run=dry_run)


def _restore_databases(opened: App, chosen: Opened, wish: Wish, output: _Output, *, dry_run: bool) -> int:
    from holdfast.jobs import restore as job
    from holdfast.jobs import restore_plan
    from holdfast.render import printing
    from holdfast.render import restore as render_restore

    if dry_run:
        planned = restore_plan.plan(opened.services, chosen, wish, opened.stop)
        if output.as_json:
            printing.facts(render_restore.plan_facts(planned))
        else:
            render_restore.plan(planned)
        return UsageError.exit_code if planned.problems else 0
    report = job.restore(opened.services, chosen, wish, opened.stop)
    if output.as_json:
        printing.facts(render_restore.facts(report))
    elif not output.quiet:
        render_restore.report(report)
    return 0


def _restore_tables(
    opened: App, chosen: Opened, wish: Wish, some: _Tables, output: _Output, *, dry_run: bool
) -> int:
    from holdfast.jobs.restore_tables import TablesWish, restore_tables
    from holdfast.render import printing
    from holdfast.render import restore as render_restore

    report = restore_tables(
        opened.services,
        chosen,
        TablesWish(
            into=wish.into,
            database=wish.database,
            into_database=wish.rename,
            tables=some.tables,
            schemas=some.schemas,
            rename=dict(pair(text, "--rename-table", "NEW") for text in some.rename),
            into_schema=some.into_schema,
            options=wish.options,
            dry_run=dry_run,
        ),
        opened.stop,
    )
    if output.as_json:
        printing.facts(render_restore.tables_facts(report))
    elif dry_run or not output.quiet:
        render_restore.tables(report)
    return 0


def _restore_swapped(
    opened: App,
    chosen: Opened,
    wish: Wish,
    way: Sequence[str],
    output: _Output,
    *,
    compare: bool,
    dry_run: bool,
) -> int:
    from holdfast.jobs import swap as job
    from holdfast.render import printing
    from holdfast.render import restore as render_restore
    from holdfast.render import swap as render_swap

    if dry_run:
        planned = job.plan_restore(opened.services, chosen, wish)
        if output.as_json:
            printing.facts(render_swap.plan_facts(planned))
        else:
            render_swap.plan(planned)
        return 0
    report = job.restore_swapped(opened.services, chosen, wish, opened.stop, compare=compare)
    if output.as_json:
        restored = report.restored
        printing.facts(
            render_swap.facts(report, way)
            | {"restored": render_restore.facts(restored) if restored is not None else None}
        )
    elif not output.quiet:
        if report.restored is not None:
            render_restore.report(report.restored)
        render_swap.report(report, way)
    opened.stop.check()  # told to stop after the swap, it told the way back first
    return 0


def _refuse(
    some: _Tables, *, swap: bool, no_compare: bool, roles: bool | None, tablespace_map: Sequence[str] | None
) -> None:
    """Raise UsageError for options that do not go together."""
    if swap and some.wanted:
        raise UsageError(
            "--swap replaces a whole database, and --table and --schema restore some of it",
            hint="Choose one of the two.",
        )
    if no_compare and not swap:
        raise UsageError("--no-compare goes with --swap")
    if some.wanted and (roles or tablespace_map):
        raise UsageError(
            "--roles and --tablespace-map go with whole databases",
            hint="Create the roles and tablespaces that the tables need first.",
        )


def _sections(words: Sequence[str]) -> tuple[Section, ...]:
    from holdfast.methods.pg_restore import Section

    known = get_args(Section)
    for word in words:
        if word not in known:
            raise UsageError(f"no section {word!r}", hint=f"It is {', '.join(known)}.")
    return tuple(section for section in known if section in words)


def register(app: typer.Typer) -> None:
    """Add the command of this module to the program."""
    app.command()(restore)
