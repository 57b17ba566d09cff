"""The commands around the daemon: run it, pause and resume a target, and show what comes next."""

from __future__ import annotations

import gc
import signal
from typing import Annotated

import typer

from holdfast.cli.options import ConfigPath, Json, Quiet, Set, opened_app, parse_time
from holdfast.cli.options import common as options
from holdfast.model.errors import UsageError

Target = Annotated[str, typer.Argument(metavar="TARGET", help="Of the config.")]


def run(config: ConfigPath = None, overrides: Set = None, quiet: Quiet = False) -> None:
    """Be the daemon. Take backups by the schedules of the config, until told to end."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the daemon listens to it: it would end the process
    gc.disable()  # what is imported stays: to look through it for garbage is a tenth of the start
    from holdfast import daemon
    from holdfast.render.printing import Reporter

    gc.enable()
    daemon.run(config or options.config, overrides or [], reporter=Reporter(quiet=True), quiet=quiet)


def health(config: ConfigPath = None, overrides: Set = None, quiet: Quiet = False) -> None:
    """Ask the daemon of this host whether it is well. For the health check of a container."""
    from holdfast.app import read_config
    from holdfast.metrics.asking import ask_whether_well
    from holdfast.render import printing

    loaded = read_config(config or options.config, overrides or [])
    ask_whether_well(loaded.listen_address, tls=loaded.tls is not None)
    if not quiet:
        printing.line("ok")


def pause(
    target: Target,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Until then (UTC). Default: until resumed.")
    ] = None,
    config: ConfigPath = None,
    overrides: Set = None,
    quiet: Quiet = False,
) -> None:
    """Keep the daemon from beginning anything with a target. What runs goes on."""
    from holdfast.ledger import scheduling
    from holdfast.render import printing, words

    end = parse_time(until)
    with opened_app(config, overrides, quiet=quiet) as opened:
        [chosen] = opened.chosen([target])
        now = opened.services.clock.now()
        if end is not None and end <= now:
            raise UsageError(f"--until {until} is in the past", hint="`holdfast resume` ends a pause.")
        scheduling.pause(opened.services.ledger, chosen.name, now=now, until=end)
    if not quiet:
        printing.line(f"{target}: paused until {words.when(end) if end is not None else 'it is resumed'}")


def resume(target: Target, config: ConfigPath = None, overrides: Set = None, quiet: Quiet = False) -> None:
    """End the pause of a target. What came up meanwhile is not made up for."""
    from holdfast.ledger import scheduling
    from holdfast.render import printing

    with opened_app(config, overrides, quiet=quiet) as opened:
        [chosen] = opened.chosen([target])
        now = opened.services.clock.now()
        paused = scheduling.resume(opened.services.ledger, chosen.name, now=now)
    if not quiet:
        printing.line(f"{target}: {'resumed' if paused else 'was not paused'}")


def schedule(
    target: Annotated[str | None, typer.Argument(metavar="TARGET", help="Default: all.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=1000, help="How many runs.")] = 10,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show the next runs of everything, in local time and in UTC."""
    from holdfast.jobs.upcoming import upcoming
    from holdfast.render import daemon as render_daemon
    from holdfast.render import facts, printing

    with opened_app(config, overrides, quiet=quiet) as opened:
        values = upcoming(opened.services, opened.chosen([target] if target else []), count)
    if as_json:
        printing.facts([facts.upcoming(value) for value in values])
    else:
        render_daemon.upcoming(values)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    for command in (run, health, pause, resume, schedule):
        app.command()(command)
