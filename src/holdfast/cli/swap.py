"""The command that lets one database take another's place: swap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.options import ConfigPath, Json, Quiet, Set, common, destination, opened_app
from holdfast.model.errors import UsageError

if TYPE_CHECKING:
    from holdfast.app import App

# A new ledger is filled from the stores first, which a swap does not need.
_SECONDS_FOR_STORES = 10.0


def swap(
    live: Annotated[str, typer.Argument(metavar="LIVE", help="The database that leaves its name.")],
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The database that takes the name.")],
    to: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="On this server. Default: the target's.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", "-t", metavar="NAME", help="On the server of this target.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")
    ] = False,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Let one database take another's place, which is kept under a dated name."""
    from holdfast.jobs import swap as job
    from holdfast.render import printing
    from holdfast.render import swap as render_swap

    with opened_app(config, overrides, quiet=quiet, seconds=_SECONDS_FOR_STORES) as opened:
        chosen = target if to is not None else _target(opened, target)
        into = destination(opened, to, chosen or "")
        options = render_swap.server_options(config=config or common.config, to=to, target=chosen)
        if dry_run:
            planned = job.plan(opened.services, into, live, other)
            if as_json:
                printing.facts(render_swap.plan_facts(planned))
            else:
                render_swap.plan(planned)
            return
        report = job.swap(opened.services, into, live, other, opened.stop, target=chosen)
    if as_json:
        printing.facts(render_swap.facts(report, options))
    elif not quiet:
        render_swap.report(report, options)


def _target(opened: App, name: str | None) -> str:
    """Give the target that is named, or the only one there is."""
    if name is None and len(opened.targets) != 1:
        raise UsageError("which server?", hint="Name it: --target NAME or --to URL.")
    return opened.chosen([name] if name is not None else [])[0].name


def register(app: typer.Typer) -> None:
    """Add the command of this module to the program."""
    app.command()(swap)
