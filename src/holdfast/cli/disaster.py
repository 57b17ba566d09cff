"""The command that walks through a disaster plan, in earnest or as a drill: disaster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.options import ConfigPath, Quiet, Set, common, destination, opened_app
from holdfast.model.errors import UsageError

if TYPE_CHECKING:
    from holdfast.cli.walk import Walk
    from holdfast.jobs.reading import Opened
    from holdfast.jobs.runner import Meter
    from holdfast.methods.pg_restore import Options


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
        bool,
        typer.Option(
            "--no-compare",
            help="Count rows, and compare no more; do not look at what was written since the backup.",
        ),
    ] = False,
    drill: Annotated[
        bool, typer.Option("--drill", help="Do it all on a throwaway server, without the hooks, and time it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigPath = None,
    overrides: Set = None,
    quiet: Quiet = False,
) -> None:
    """Walk through the plan: identify, stop, assess and choose, restore, verify, resume, watch."""
    from holdfast.cli import asking
    from holdfast.cli import walk as cli_walk
    from holdfast.jobs import disaster as job
    from holdfast.jobs.restore import Wish
    from holdfast.methods.pg_restore import Options
    from holdfast.methods.proving import Stopwatch
    from holdfast.render import swap

    there = asking.somebody_is_there()
    if drill and to is not None:
        raise UsageError("--drill has a server of its own", hint="Leave --to out.")
    if not (yes or drill or there):
        raise UsageError("there is nobody to ask", hint="Say --yes to take every step unasked.")
    with opened_app(config, overrides, quiet=quiet) as opened:
        (chosen_target,) = opened.chosen([target])
        into = None if drill else destination(opened, to, target)
        name = f"{target}-drill" if drill else target
        with job.protocol(opened.services, name) as protocol:
            walk = cli_walk.Walk(
                opened=opened,
                target=chosen_target,
                protocol=protocol,
                watch=Stopwatch(opened.services.clock),
                asks=there and not yes,
                drill=drill,
                quiet=(quiet or common.quiet) and not (there and not yes),
                stop=opened.stop,
                server=swap.server_options(config=config or common.config, to=to, target=target),
            )
            began = opened.services.clock.monotonic()
            kind = "a drill of the disaster plan" if drill else "the disaster plan"
            walk.say(f"{kind} for {target}; what is done is written into {protocol.path}")
            with cli_walk.told_what_is_stopped(walk):
                well_at = cli_walk.identify(walk, before)
                cli_walk.stop_services(walk)
                chosen = cli_walk.choose(walk, well_at, backup)
                names = cli_walk.databases(walk, chosen, database)
                options = Options(jobs=jobs)
                if into is None:
                    _drill(walk, chosen, names, options, began, thorough=not no_compare)
                    return
                wish = Wish(into=into, options=options, thorough=not no_compare)
                done = cli_walk.restore(walk, chosen, wish, names)
                cli_walk.verify(walk, chosen, wish.into, done)
                cli_walk.resume_services(walk, chosen.backup.id)
                cli_walk.watch(walk, done)


def _drill(
    walk: Walk, chosen: Opened, names: list[str], options: Options, began: float, *, thorough: bool
) -> None:
    """Take the steps from the fourth on where nothing can be broken, as a run of its own, and keep how long it took."""
    from holdfast.cli import walk as cli_walk
    from holdfast.jobs import drill as job
    from holdfast.jobs import runner
    from holdfast.jobs.restore import Wish
    from holdfast.jobs.restore_test import limited

    services, plan = walk.opened.services, walk.target.restore_test

    def body(meter: Meter) -> None:
        walk.say("   a throwaway server is made, with stand-ins for the damaged databases")
        with (
            limited(plan, walk.opened.stop, "drill") as walk.stop,
            job.ground(services, chosen, plan, names, walk.watch, walk.stop) as ground,
        ):
            walk.say(f"   it is {ground.isolation}")
            wish = Wish(into=ground.into, options=options, thorough=thorough)
            done = cli_walk.restore(walk, chosen, wish, names, meter)
            for each in done:
                job.require_swapped(ground.into, each)
            cli_walk.verify(walk, chosen, ground.into, done)
            cli_walk.resume_services(walk, chosen.backup.id)
            seconds = services.clock.monotonic() - began
            cli_walk.watch(walk, done)
        kept = job.keep(services, chosen, ground, walk.watch, seconds=seconds, names=names)
        cli_walk.tell_drill(walk, kept)

    runner.execute(services, job.run(services, chosen), body)


def register(app: typer.Typer) -> None:
    """Add the command of this module to the program."""
    app.command()(disaster)
