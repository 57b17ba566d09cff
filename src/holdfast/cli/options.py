"""What the commands share: their options, and how they open the app."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.model.errors import UsageError

if TYPE_CHECKING:
    from holdfast.app import App
    from holdfast.jobs.reading import Opened
    from holdfast.postgres.conninfo import Conninfo

_PAIR = re.compile(r'(?P<old>("[^"]*"|[^"=])+)=(?P<new>.+)', re.DOTALL)  # at the first = outside of quotes

ConfigPath = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="The config file (or HOLDFAST_CONFIG).")
]
Json = Annotated[bool, typer.Option("--json", help="Print facts as JSON.")]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Say only what went wrong.", callback=lambda value: value or common.quiet
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a config key: daemon.state_dir=/x."),
]
TargetName = Annotated[
    str | None, typer.Option("--target", "-t", metavar="NAME", help="Of this target only.")
]
StoreName = Annotated[str | None, typer.Option("--store", metavar="NAME", help="In this store only.")]
Before = Annotated[
    str | None, typer.Option("--before", metavar="TIME", help="With `latest`: begun before this time (UTC).")
]
BackupWord = Annotated[
    str, typer.Argument(metavar="BACKUP", help="An id, a unique prefix of one, or `latest`.")
]
DatabaseName = Annotated[
    str | None, typer.Option("--database", "-d", metavar="NAME", help="This database only.")
]


def new_file(path: Path | None) -> None:
    """Raise UsageError where a file that is to be written is there already."""
    if path is not None and path.exists():
        raise UsageError(
            f"{path} exists", hint="Nothing is overwritten: choose another name, or move it away."
        )


@dataclass(slots=True)
class Common:
    """Options given before the command; those after it win."""

    config: Path | None = None
    quiet: bool = False


common = Common()


@contextmanager
def opened_app(
    config: Path | None, overrides: list[str] | None, *, quiet: bool, seconds: float | None = None
) -> Iterator[App]:
    """Open the app for a command; one that only tells what is known says how many `seconds` it waits for stores."""
    from holdfast.app import open_app
    from holdfast.render.printing import Reporter

    path = config or common.config
    with open_app(
        path, overrides or [], reporter=Reporter(quiet=quiet), quiet=quiet, seconds=seconds
    ) as opened:
        yield opened


def parse_time(text: str | None) -> datetime | None:
    """Read what the operator typed as a time; one without a zone is UTC. Raise UsageError."""
    if text is None:
        return None
    try:
        value = datetime.fromisoformat(text)
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is not a time", hint="Write 2026-11-22 or 2026-11-22T02:00:00Z."
        ) from None


def pair(text: str, option: str, value: str) -> tuple[str, str]:
    """Read `OLD=NEW` of an option, OLD in double quotes where it holds a `=`. Raise UsageError."""
    found = _PAIR.fullmatch(text)
    if found is None:
        raise UsageError(f"{option} {text}: write OLD={value}")
    return found["old"], found["new"]


def chosen_backup(
    opened: App, word: str, *, target: str | None, before: str | None, store: str | None
) -> Opened:
    """Find the backup that the operator means, in its best copy; look through the stores first."""
    from holdfast.jobs.find import open_best

    row = opened.find(word, target=target, before=parse_time(before), fresh=True, whole=store is None)
    return open_best(opened.services, row, store)


def backup_before_migration(
    opened: App, word: str, version: str, *, target: str | None, store: str | None
) -> Opened:
    """Find the last backup before a migration was applied; the word has to be `latest`."""
    from holdfast.jobs.find import LATEST, open_best
    from holdfast.jobs.schema import before_migration

    if word != LATEST:
        raise UsageError("--before-migration goes with `latest`, not with an id")
    newest = opened.find(word, target=target, before=None, fresh=True)
    row = before_migration(opened.services, version, newest.backup.target, opened.stop)
    return open_best(opened.services, row, store)


def destination(opened: App, url: str | None, target: str) -> Conninfo:
    """Tell where to restore: the server of `url`, else the target's own. Raise UsageError where there is neither."""
    from holdfast.jobs.supabase import project_address
    from holdfast.postgres import conninfo
    from holdfast.system import logs

    if url is None:
        own = next((each for each in opened.targets if each.name == target), None)
        if own is None:
            raise UsageError(
                f"target {target} is not in the config", hint="Say where to restore with --to URL."
            )
        return project_address.address(own, opened.stop)
    if not url.strip():  # libpq would take it for the server of this machine
        raise UsageError("--to is empty", hint="Give the URL of the server to restore into.")
    where = conninfo.parse(url)
    if where.password:
        logs.register_secret(where.password)
    return where
