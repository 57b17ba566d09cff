"""The command that tries whether notifications arrive."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli.options import ConfigPath, Json, Quiet, Set
from holdfast.cli.options import common as options
from holdfast.model.errors import ConfigError, NotFoundError, NotifyError
from holdfast.render.words import many


def notify_test(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A channel. Default: all.")] = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Send a test message through the channels, or through one. A line each: ok or fail."""
    import socket

    from holdfast.app import read_config
    from holdfast.jobs.notifying import try_out
    from holdfast.render import facts, printing
    from holdfast.system import logs
    from holdfast.system.clock import SystemClock

    loaded = read_config(config or options.config, overrides or [])
    logs.configure(format=loaded.daemon.log_format, level=loaded.daemon.log_level, quiet=quiet)
    channels = {each.channel.name: each.channel for each in loaded.subscriptions()}
    if not channels:
        raise ConfigError("no channels: nobody is told of anything", hint="Add a section [notify.NAME].")
    if name is not None and name not in channels:
        raise NotFoundError(f"no channel {name!r}", hint=f"The config has {', '.join(channels)}.")
    chosen = channels.values() if name is None else [channels[name]]
    findings = try_out(chosen, socket.gethostname(), SystemClock())
    if as_json:
        values = list(findings)
        printing.facts([facts.finding(value) for value in values])
        failed = sum(value.level == "fail" for value in values)
    else:
        failed = printing.findings(findings, quiet=quiet)
    if failed:
        raise NotifyError(f"{many(failed, 'channel')} failed")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    notify = typer.Typer(help="The channels that tell people what happens.", rich_markup_mode=None)
    notify.command("test")(notify_test)
    app.add_typer(notify, name="notify", no_args_is_help=True)
