"""The command that writes down what a recovery needs: kit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from holdfast.cli.options import ConfigPath, Quiet, Set, new_file, opened_app
from holdfast.model.errors import KeyFileError

_SECONDS_FOR_STORES = 10.0
Form = Literal["text", "html"]


def kit(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Into this new file. Default: stdout."),
    ] = None,
    form: Annotated[
        Form | None, typer.Option("--format", help="Default: html for a file of that kind, else text.")
    ] = None,
    with_identity: Annotated[
        bool,
        typer.Option("--with-identity", help="The private keys too. Whoever reads it then has the data."),
    ] = False,
    config: ConfigPath = None,
    overrides: Set = None,
    quiet: Quiet = False,
) -> None:
    """Write the recovery kit: where the backups are, which keys open them, the commands, and a runbook."""
    from holdfast.config.recovery import by_hand
    from holdfast.jobs import kit as job
    from holdfast.model import document
    from holdfast.render import kit as render_kit
    from holdfast.render import printing
    from holdfast.streams import private_file

    new_file(output)
    with opened_app(config, overrides, quiet=quiet, seconds=_SECONDS_FOR_STORES) as opened:
        if with_identity and not opened.services.keys.identities:
            raise KeyFileError(
                "this host has no identity to write down",
                hint="Run this where encryption.identity_file is set, or leave --with-identity out.",
            )
        stores = {name: by_hand(settings) for name, settings in opened.config.stores.items()}
        gathered = job.gather(opened.services, opened.targets, stores, with_secrets=with_identity)
    html = form == "html" or (form is None and output is not None and output.suffix in {".html", ".htm"})
    made = render_kit.document(gathered)
    text = document.as_html(made) if html else document.as_text(made)
    if output is None:
        for line in text.splitlines():
            printing.line(line)
        return
    private_file.write_new(output, text)
    if not quiet:
        printing.line(
            f"{output} holds the recovery kit{' WITH the identity' * with_identity}; keep it away from here"
        )


def register(app: typer.Typer) -> None:
    """Add the command of this module to the program."""
    app.command()(kit)
