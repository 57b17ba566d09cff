"""The command that takes over the dumps of a script: import."""

from __future__ import annotations

from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.options import ConfigPath, Json, Quiet, Set, opened_app
from holdfast.model.errors import PartialError, UsageError
from holdfast.render.words import many

if TYPE_CHECKING:
    from holdfast.app import App
    from holdfast.stores.base import Store
    from holdfast.streams.openssl import Passphrase

_ITERATIONS = 10_000
_SHOWN = 3


def import_(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="A directory, or s3://bucket/prefix.")],
    pattern: Annotated[
        str,
        typer.Option(
            "--pattern", metavar="PATTERN", help="How the files are named: 'app_%Y%m%d_%H%M%S.dump*'."
        ),
    ],
    target: Annotated[
        str | None,
        typer.Option(
            "--target", "-t", metavar="NAME", help="As backups of this target. Default: the only one."
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option("--database", "-d", metavar="NAME", help="Of this database, where nothing else tells."),
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option("--passphrase-file", metavar="FILE", help="What openssl enc encrypted with."),
    ] = None,
    iterations: Annotated[
        int, typer.Option("--iterations", metavar="N", help="Those of openssl's -pbkdf2 -iter.")
    ] = _ITERATIONS,
    timezone: Annotated[
        str | None,
        typer.Option(
            "--timezone", metavar="ZONE", help="Of the times in the names. Default: daemon.timezone."
        ),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="TEXT", help="A word to keep with the backups.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Look at the files only; import nothing.")
    ] = False,
    config: ConfigPath = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take over the dumps of a script, as backups with their own dates. The files are left as they are."""
    from holdfast.jobs.import_files import ImportWish
    from holdfast.jobs.importing import import_dumps
    from holdfast.model.filenames import compile_pattern
    from holdfast.render import importing, printing

    passphrase = None if passphrase_file is None else _passphrase(passphrase_file, iterations)
    with opened_app(config, overrides, quiet=quiet) as opened:
        chosen = opened.one_target(target)
        try:
            compiled = compile_pattern(pattern, _zone(timezone or opened.config.daemon.timezone))
        except ValueError as error:
            raise UsageError(f"--pattern {pattern}: {error}") from error
        wish = ImportWish(
            origin=_origin(opened, place),
            pattern=compiled,
            database=database,
            passphrase=passphrase,
            labels=tuple(label or ()),
            dry_run=dry_run,
        )
        services = opened.services if dry_run else opened.writing_services()
        if passed := passed_over(Path(place)):
            services.reporter.warn(
                "files are passed over: links, or names with other than plain ASCII characters; rename them",
                count=len(passed),
                first=", ".join(passed[:_SHOWN]),
            )
        report = import_dumps(services, chosen, wish, opened.stop)
    if as_json:
        printing.facts(importing.facts(report))
    elif not quiet or report.count("broken"):
        importing.report(report)
    if report.count("broken") or report.failed_copies:
        raise PartialError(
            f"{many(report.count('broken'), 'file')} of {len(report.outcomes)} could not be imported"
            + "".join(f"; the copy of {each} failed" for each in report.failed_copies)
        )


def passed_over(folder: Path) -> list[str]:
    """Name what no store can name, or what is a link: it is not looked at, whatever the pattern. Of a directory only."""
    from holdfast.stores.base import check_key

    def unknown(path: Path) -> bool:
        try:
            check_key(str(path.relative_to(folder)))
        except ValueError:
            return not path.is_dir()
        return path.is_symlink()

    return [ascii(str(path.relative_to(folder)))[1:-1] for path in sorted(folder.rglob("*")) if unknown(path)]


def _origin(opened: App, place: str) -> Store:
    from holdfast.config.stores import open_place

    try:
        return open_place(place, opened.config.stores.values())
    except ValueError as error:
        raise UsageError(
            f"cannot read from {place}: {error}", hint="Give a directory, or s3://bucket/prefix."
        ) from error


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(f"--timezone {name}: there is no such time zone") from error


def _passphrase(path: Path, iterations: int) -> Passphrase:
    """Read the passphrase as openssl does with `-pass file:`: the first line."""
    from holdfast.config.sources import Problem, read_secret
    from holdfast.model.errors import KeyFileError
    from holdfast.streams.openssl import Passphrase
    from holdfast.system import logs

    if iterations < 1:
        raise UsageError(f"--iterations {iterations}: it takes at least one")
    problems: list[Problem] = []
    secret = read_secret(path, "--passphrase-file", problems)
    if secret is None:
        raise KeyFileError(f"--passphrase-file: {problems[0].text}")
    line = secret.split("\n", 1)[0]
    logs.register_secret(line)
    return Passphrase(secret=line.encode(), iterations=iterations)


def register(app: typer.Typer) -> None:
    """Add the command of this module to the program."""
    app.command("import")(import_)
