"""The command that walks through a disaster plan: disaster."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli_options import ConfigPath, Quiet, Set, common, opened_app, parse_time
from holdfast.model.errors import CancelledError, NotFoundError, UsageError

if TYPE_CHECKING:
    from holdfast.app import App
    from holdfast.jobs.disaster import BroughtBack, Choice, Protocol
    from holdfast.jobs.hooks import Event
    from holdfast.jobs.reading import Opened
    from holdfast.jobs.restore import Wish
    from holdfast.model.target import Target


_EVERYWHERE = "postgres"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """One walk through the plan: with whom, for which target, and where it is written down."""

    opened: App
    target: Target
    protocol: Protocol
    asks: bool
    server: tuple[str, ...]  # the options that lead a later command to it

    def say(self, text: str = "") -> None:
        """Tell the operator and the protocol."""
        from holdfast import render
        from holdfast.system import logs

        render.line(logs.redacted(text))  # it may be what a program said
        if text:
            self.protocol.note(text)

    def step(self, number: int, title: str) -> None:
        """Begin a step."""
        self.opened.stop.check()
        self.say()
        self.say(f"{number}. {title}")

    def ask(self, question: str) -> None:
        """Go on after a yes only. Raise CancelledError after a no."""
        self.protocol.note(f"asked: {question}")
        if self.asks and not typer.confirm(f"   {question}"):
            self.protocol.note("answered: no")
            raise CancelledError(
                "the walk was ended here", hint=f"What was done stands in {self.protocol.path}."
            )
        self.protocol.note("answered: yes" if self.asks else "not asked (--yes)")


def disaster(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Whose databases are damaged or lost.")],
    database: Annotated[
        list[str] | None,
        typer.Option(
            "--database", "-d", metavar="NAME", help="This one; may be repeated. Default: all of the backup."
        ),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option("--before", metavar="TIME", help="When all was still well (UTC). Default: asked."),
    ] = None,
    backup: Annotated[
        str | None,
        typer.Option("--backup", metavar="ID", help="This backup. Default: the newest proven one of then."),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="On this server. Default: the target's own.")
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", help="Sessions that restore at once.")
    ] = 1,
    no_compare: Annotated[
        bool, typer.Option("--no-compare", help="Do not look at what was written since the backup.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigPath = None,
    overrides: Set = None,
    quiet: Quiet = False,
) -> None:
    """Walk through the plan: identify, stop, assess and choose, restore, verify, resume, watch."""
    from holdfast import render_swap
    from holdfast.jobs import disaster as job
    from holdfast.jobs.restore import Wish
    from holdfast.methods.pg_restore import Options

    asks = not yes
    if asks and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("nobody can answer here", hint="Say --yes to take every step unasked.")
    with opened_app(config, overrides, quiet=quiet) as opened:
        (chosen_target,) = opened.chosen([target])
        with job.protocol(opened.services, target) as protocol:
            server = render_swap.server_options(config=config or common.config, to=to, target=target)
            walk = _Walk(opened=opened, target=chosen_target, protocol=protocol, asks=asks, server=server)
            walk.say(f"the disaster plan for {target}; what is done is written into {protocol.path}")
            well_at = _identify(walk, before)
            _services(walk, 2, "stop_services", backup_id=None)
            chosen = _choose(walk, well_at, backup)
            wish = Wish(into=opened.destination(to, target), options=Options(jobs=jobs))
            done = _restore(walk, chosen, wish, _databases(walk, chosen, database), compare=not no_compare)
            _verify(walk, done)
            _services(walk, 6, "resume_services", backup_id=chosen.backup.id)
            _watch(walk, done)


def _identify(walk: _Walk, before: str | None) -> datetime:
    from holdfast import render_status
    from holdfast.jobs.status import status

    walk.step(1, "Identify the failure")
    render_status.status(status(walk.opened.services, [walk.target]))
    if before is None and walk.asks:
        before = typer.prompt(
            "   When was all still well? (UTC; empty: until now)", default="", show_default=False
        )
    now = walk.opened.services.clock.now()
    well_at = (parse_time(before) if before else None) or now
    if well_at > now:
        raise UsageError(f"{before} is in the future", hint="Give the time when all was still well.")
    walk.say(f"   all was well until {well_at:%Y-%m-%d %H:%M:%SZ}")
    return well_at


def _services(walk: _Walk, number: int, event: Event, *, backup_id: str | None) -> None:
    from holdfast.jobs import hooks

    verb = "Stop" if event == "stop_services" else "Resume"
    walk.step(number, f"{verb} the services")
    argv = getattr(walk.target.hooks, event)
    if not argv:
        walk.say(f"   no hook is configured (targets.{walk.target.name}.hooks.{event}): do it by hand now")
        walk.ask("Is it done?")
        return
    walk.say(f"   the hook is: {' '.join(argv)}")
    walk.ask("Run it?")
    hooks.services_of_others(walk.opened.services, walk.target, event, backup_id, walk.opened.stop)
    walk.say("   it ran")


def _choose(walk: _Walk, well_at: datetime, backup: str | None) -> Opened:
    from holdfast.jobs import disaster as job
    from holdfast.jobs.find import find, open_best
    from holdfast.words import duration

    walk.step(3, "Assess, and choose the backup")
    services, name = walk.opened.services, walk.target.name
    if backup is not None:
        choice = job.Choice(row=find(services, backup, target=name), newer=())
    else:
        choice = job.choose(services, name, well_at)
    _tell_choice(walk, choice)
    lost = choice.lost_seconds(well_at)
    walk.say(f"   lost would be what was written in the {duration(lost)} between it and the damage")
    walk.ask("Go back to this backup?")
    return open_best(services, choice.row)


def _tell_choice(walk: _Walk, choice: Choice) -> None:
    from holdfast.words import size

    made = choice.row.backup
    walk.say(f"   {made.id}: {choice.row.proof}, {size(made.size)}, databases {', '.join(made.databases)}")
    if choice.newer:
        ids = ", ".join(f"{row.backup.id} ({row.proof})" for row in choice.newer[:5])
        walk.say(f"   newer, and known less well: {ids}; choose with --backup ID")
    if choice.row.proof != "proven":
        walk.say("   it was never restored in a test: look well at what comes back")


def _databases(walk: _Walk, chosen: Opened, wanted: list[str] | None) -> list[str]:
    """Give the databases to bring back: those that are named, else all but the one that every server has."""
    held = chosen.backup.databases
    for name in wanted or ():
        if name not in held:
            raise NotFoundError(
                f"backup {chosen.backup.id} holds no database {name!r}", hint=f"It holds {', '.join(held)}."
            )
    if wanted:
        return list(dict.fromkeys(wanted))
    if _EVERYWHERE in held:
        walk.say(f"   {_EVERYWHERE} stays as it is: name it with --database where it matters")
    return [name for name in held if name != _EVERYWHERE]


def _restore(
    walk: _Walk, chosen: Opened, wish: Wish, databases: list[str], *, compare: bool
) -> list[BroughtBack]:
    from dataclasses import replace

    from holdfast.jobs import disaster as job
    from holdfast.words import duration

    walk.step(4, "Restore")
    there = job.present(wish.into)
    for name in databases:
        how = (
            "beside the damaged one, which it then replaces"
            if name in there
            else "anew: it is not there any more"
        )
        walk.say(f"   {name}: {how}")
    walk.ask("Begin?")
    done: list[BroughtBack] = []
    for name in databases:
        walk.opened.stop.check()
        try:
            result = job.bring_back(
                walk.opened.services,
                chosen,
                replace(wish, database=name),
                walk.opened.stop,
                live=name in there,
                compare=compare,
            )
        except BaseException as error:
            _tell_half(walk, name, done, error)
            raise
        done.append(result)
        walk.say(f"   {name}: back after {duration(result.seconds)}")
    return done


def _tell_half(walk: _Walk, name: str, done: list[BroughtBack], error: BaseException) -> None:
    """Say how things stand when a database could not be brought back."""
    walk.say(f"   {name}: FAILED: {error}")
    walk.say(
        f"   back so far: {', '.join(each.database for each in done) or 'none'}; the services are still stopped"
    )
    _ways_back(walk, done)


def _ways_back(walk: _Walk, done: list[BroughtBack]) -> None:
    from holdfast import render_swap

    for each in done:
        if each.swapped is not None:
            walk.say(f"   {each.database}: the damaged one is kept as {each.swapped.kept}")
            walk.say(f"   the way back: {render_swap.way_back(each.swapped, walk.server)}")


def _verify(walk: _Walk, done: list[BroughtBack]) -> None:
    from holdfast.words import many

    walk.step(5, "Verify")
    for each in done:
        for restored in each.restored.databases:
            rows = (
                "rows not counted"
                if restored.rows is None
                else f"{many(restored.rows, 'row')}, as in the backup"
            )
            walk.say(f"   {each.database}: {many(restored.tables, 'table')}, {rows}")
    walk.ask("Did you look into it, and is it what you need?")


def _watch(walk: _Walk, done: list[BroughtBack]) -> None:
    from holdfast.words import duration

    walk.step(7, "Watch")
    _ways_back(walk, done)
    walk.say(f"   take a backup of the new state: holdfast backup {walk.target.name}")
    walk.say(
        f"   restoring took {duration(sum(each.seconds for each in done))}; the protocol is {walk.protocol.path}"
    )


def register(app: typer.Typer) -> None:
    """Add the command of this module to the program."""
    app.command()(disaster)
