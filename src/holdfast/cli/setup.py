"""The commands that set Holdfast up: init, keygen, check, and the demo."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.options import ConfigPath, Json, Quiet, Set, TargetName, common, opened_app
from holdfast.model.errors import ConfigError, Error, UsageError
from holdfast.render.words import many

if TYPE_CHECKING:
    from holdfast.model.script_reading import Reading

SIGNING_KEY = "holdfast-signing.key"
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The new identity file.")]


def keygen(
    output: Output,
    signing_key: Annotated[
        Path | None,
        typer.Option(
            "--signing-key",
            metavar="FILE",
            help="The new signing key. Default: holdfast-signing.key beside it.",
        ),
    ] = None,
    post_quantum: Annotated[
        bool, typer.Option("--post-quantum", help="Safe against quantum computers.")
    ] = False,
) -> None:
    """Make a key pair for encryption and one for signing. Nothing that exists is overwritten."""
    from holdfast.render import printing
    from holdfast.streams import age_keys, sign
    from holdfast.system.clock import SystemClock

    signing = signing_key or output.with_name(SIGNING_KEY)
    if output.resolve() == signing.resolve():
        raise UsageError("the identity and the signing key need two files")
    for path in (output, signing):
        if path.exists():
            raise UsageError(
                f"{path} exists", hint="Nothing is overwritten: choose another name, or move it away."
            )
    identity, key = age_keys.generate(post_quantum=post_quantum), sign.generate()
    sign.write_signing_key(signing, key)
    try:
        age_keys.write_identity_file(output, identity, key.public, SystemClock().now())
    except BaseException:
        signing.unlink()
        raise
    printing.line(identity.recipient.text)
    for text in (
        f"identity     {output}: opens the backups. Keep it away from the database host, and a copy on paper.",
        f"signing key  {signing}: stays on the database host (encryption.signing_key_file).",
        "recipient    the line above: put it into encryption.recipients.",
    ):
        print(text, file=sys.stderr)  # noqa: T201 - stdout holds the recipient alone, for scripts


def init(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The new config file.")
    ] = Path("holdfast.toml"),
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="The server, as a URL.")] = None,
    store: Annotated[
        str | None, typer.Option("--store", metavar="WHERE", help="s3://bucket/prefix, or a directory.")
    ] = None,
    recipient: Annotated[
        list[str] | None, typer.Option("--recipient", metavar="AGE1…", help="age1…, from keygen.")
    ] = None,
    from_script: Annotated[
        Path | None,
        typer.Option(
            "--from-script", metavar="FILE", help="Propose what a backup script does; it is read, not run."
        ),
    ] = None,
) -> None:
    """Write a commented config. On a terminal, ask a few questions first."""
    from dataclasses import replace

    from holdfast.postgres.conninfo import parse
    from holdfast.render import importing, printing
    from holdfast.starter import Answers, answers_of, put_in, starter_config
    from holdfast.streams.age_keys import parse_recipient

    if output.exists():
        raise ConfigError(f"{output} exists", hint="Edit it, or choose another name with -o.")
    parse(url)
    if store:
        _check_store(store)
    for text in recipient or ():
        parse_recipient(text)
    ask = sys.stdin.isatty() and sys.stdout.isatty()
    reading = None if from_script is None else _read_script(from_script)
    proposed = Answers(store="/var/backups/holdfast") if reading is None else answers_of(reading)
    first_url = "postgresql://postgres@localhost/postgres" if reading is None else proposed.url
    signing_key = output.with_name(SIGNING_KEY)
    answers = replace(
        proposed,
        url=url or _ask("PostgreSQL server (URL)", first_url, parse, ask=ask),
        store=store
        or _ask("Store (directory, or s3://bucket/prefix)", proposed.store, _check_store, ask=ask),
        recipients=tuple(recipient or ()) or _recipients(parse_recipient, ask=ask),
        signing_key_file=SIGNING_KEY if signing_key.exists() else None,
    )
    try:
        written = starter_config(answers).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            "the name of the server or the store has a byte that is not UTF-8, and a config has to be UTF-8",
            hint="Give the path relative to the config's directory, or rename it.",
        ) from error
    try:
        with output.open("xb") as file:
            output.chmod(0o600)  # a URL with a password may go in
            file.write(written)
    except OSError as error:
        raise ConfigError(f"cannot write {output}: {error.strerror}") from error
    if reading is not None and from_script is not None:
        importing.reading(reading, from_script, put_in(reading))
    printing.line(f"wrote {output}; `holdfast check --config {output}` says whether it works")
    if not answers.recipients:
        printing.line("but first put a recipient into it: `holdfast keygen -o identity.txt` prints one")


def _read_script(path: Path) -> Reading:
    from holdfast.model import cron_script

    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    reading = cron_script.read(text)
    if "\0" in text or not (reading.dumps or reading.schedule or "pg_dump" in text):
        raise UsageError(
            f"{path} is no script that dumps: there is no pg_dump in it",
            hint="Give the script that calls pg_dump, or leave --from-script out and answer the questions.",
        )
    return reading


def _check_store(text: str) -> None:
    """Raise ConfigError unless it says where a store is."""
    from holdfast.config.stores import from_url

    try:
        from_url(text)
    except ValueError as error:
        raise ConfigError(f"store {text}: {error}") from error


def _ask(question: str, default: str, check: Callable[[str], object] | None = None, *, ask: bool) -> str:
    """Ask until `check` finds nothing wrong; without a terminal give the default."""

    def checked(text: str) -> str:
        try:
            if check is not None and text:
                check(text)
        except Error as error:
            raise typer.BadParameter(". ".join(filter(None, (error.message, error.hint)))) from error
        return text

    if not ask:
        return default
    return str(typer.prompt(question, default=default, show_default=bool(default), value_proc=checked))


def _recipients(check: Callable[[str], object], *, ask: bool) -> tuple[str, ...]:
    text = _ask("Recipient (age1…, from `holdfast keygen`; empty: fill in later)", "", check, ask=ask)
    return (text,) if text else ()


def check(
    target: TargetName = None,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check the config, the keys, every store and every target. A line each: ok, warn or fail."""
    from itertools import chain

    from holdfast.config import loading as configuration
    from holdfast.jobs.checks.check import check as job
    from holdfast.jobs.checks.endpoint import check_endpoint
    from holdfast.jobs.checks.keys import check_config
    from holdfast.render import facts, printing

    with opened_app(config, overrides, quiet=quiet) as opened:
        found = job(
            opened.services,
            opened.chosen([target] if target else []),
            encrypted=opened.config.encryption.enabled,
        )
        file = check_config(configuration.find(config or common.config), opened.config.secrets())
        endpoint = check_endpoint(
            *opened.config.listen_address,
            tls=opened.config.tls is not None,
            login=opened.config.daemon.auth_user is not None,
        )
        findings = opened.stop.checked(chain(file, endpoint, found))
        if as_json:
            values = list(findings)
            printing.facts([facts.finding(value) for value in values])
            failed = sum(value.level == "fail" for value in values)
        else:
            failed = printing.findings(findings, quiet=quiet)
    if failed:
        raise ConfigError(f"{many(failed, 'check')} failed")


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave keys, config and backup behind.")] = False,
) -> None:
    """Show the main job on throwaway servers. Back up, list, verify, restore, compare."""
    from holdfast.demo.demo import run

    run(keep=keep)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    for command in (init, keygen, check, demo):
        app.command()(command)
