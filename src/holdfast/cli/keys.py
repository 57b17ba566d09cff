"""The command that tells which key opens what, and proves it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.options import ConfigPath, Json, Quiet, Set, opened_app

if TYPE_CHECKING:
    from holdfast.jobs.services import Services
    from holdfast.ledger.canaries import Tried


def keys(
    identity: Annotated[
        Path | None,
        typer.Option("--identity", metavar="FILE", help="An identity file besides the config's."),
    ] = None,
    prove: Annotated[
        bool, typer.Option("--prove", help="Open the oldest and the newest backup with each identity, now.")
    ] = False,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell which identity opens which backups, and when one may go."""
    from holdfast.jobs import canary, runner
    from holdfast.jobs.keyring import keyring
    from holdfast.render import keys as render_keys
    from holdfast.render import printing

    with opened_app(config, overrides, quiet=quiet) as opened:
        services = opened.services if identity is None else _with(opened.services, identity)
        tried: list[Tried] = []
        for target in dict.fromkeys(row.backup.target for row in opened.listed(None)) if prove else ():
            try:
                tried += canary.canary(services, target, opened.stop)
            except runner.SkippedError as nothing:
                services.reporter.info("nothing to open", target=target, reason=str(nothing))
        found = keyring(services, opened.targets)
        now = services.clock.now()
    if as_json:
        printing.facts(render_keys.facts(found))
    elif not quiet:
        render_keys.keys(found, now)
    canary.complain(tried)


def _with(services: Services, path: Path) -> Services:
    """Have another identity file at hand, too; the signers that it names are trusted."""
    import dataclasses

    from holdfast.streams.age_keys import read_identity_file

    file, known = read_identity_file(path), services.keys
    return dataclasses.replace(
        services,
        keys=dataclasses.replace(
            known,
            identities=tuple(dict.fromkeys((*known.identities, *file.identities))),
            trusted=tuple(dict.fromkeys((*known.trusted, *file.signers))),
            named=tuple(dict.fromkeys((*known.named, *file.signers))),
        ),
    )


def register(app: typer.Typer) -> None:
    """Add the command of this module to the program."""
    app.command()(keys)
