"""Looks through the dumps that a script left behind: which there are, of when, what is in them, and which are broken."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

from holdfast.jobs.services import Services
from holdfast.methods import foreign_dump
from holdfast.methods.foreign_dump import Found
from holdfast.model.errors import Error, IntegrityError, KeyFileError, NotFoundError, StoreError, UsageError
from holdfast.model.filenames import Named, Pattern
from holdfast.model.target import Target
from holdfast.stores.base import Store, Stored
from holdfast.streams.chunks import Tally, tally
from holdfast.streams.openssl import Passphrase
from holdfast.streams.unwrap import unwrapped
from holdfast.system.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportWish:
    """What the operator asked for: the place of the files, their names, and what opens them.

    `database` is the one in dumps that do not tell; `labels` go on every backup.
    """

    origin: Store
    pattern: Pattern
    database: str | None = None
    passphrase: Passphrase | None = field(default=None, repr=False)
    labels: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """A file that was read to its end and is whole: of when it is, and the plain bytes in it."""

    name: str
    at: datetime
    database: str | None
    found: Found
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A file that is not taken over, and why."""

    name: str
    at: datetime
    error: Error


def look(services: Services, target: Target, wish: ImportWish, stop: Stop) -> Iterator[Dump | Broken]:
    """Read every file of the pattern, oldest name first. Raise NotFoundError where there is none, StoreError."""
    chosen = [
        (stored, named)
        for stored in wish.origin.list()
        if (named := _named(wish.pattern, stored.key)) is not None
    ]
    if not chosen:
        raise NotFoundError(
            f"{wish.origin.location}: no file is named like {wish.pattern.text!r}",
            hint="* stands for anything, %Y %m %d %H %M %S for the time, {database} for the database.",
        )
    for stored, named in sorted(chosen, key=lambda each: (_at(*each), each[0].key)):
        stop.check()
        yield _looked(services, target, wish, stored, named, stop)


def _named(pattern: Pattern, key: str) -> Named | None:
    """Read a file's name; one without folders in the pattern is looked for in any."""
    return pattern.read(key if "/" in pattern.text else key.rpartition("/")[2])


def _at(stored: Stored, named: Named) -> datetime:
    return named.at or stored.modified_at.replace(microsecond=0)


def _looked(
    services: Services, target: Target, wish: ImportWish, stored: Stored, named: Named, stop: Stop
) -> Dump | Broken:
    at, plain = _at(stored, named), Tally()
    try:
        _check_time(services, at)
        with (
            services.reporter.progress(stored.key, stored.size) as show,
            closing(plain_chunks(wish, stored.key, stop, show)) as chunks,
        ):
            found = foreign_dump.examine(tally(chunks, plain))
        database = _database(target, wish, named, found)
    except (IntegrityError, KeyFileError, UsageError) as error:
        return Broken(name=stored.key, at=at, error=error)
    except StoreError as error:
        if not isinstance(error.__cause__, PermissionError):
            raise
        return Broken(name=stored.key, at=at, error=error)  # one file, not the place
    return Dump(name=stored.key, at=at, database=database, found=found, size=plain.size, sha256=plain.sha256)


def _check_time(services: Services, at: datetime) -> None:
    if at > services.clock.now():
        raise IntegrityError("its time lies in the future", hint="Look at the pattern, and at --timezone.")


def plain_chunks(
    wish: ImportWish, name: str, stop: Stop, on_bytes: Callable[[int], None] = lambda _: None
) -> Generator[bytes, None, None]:
    """Give the dump in a file. Errors as in `unwrapped`; `on_bytes` is told of the file's own."""

    def stored() -> Iterator[bytes]:
        for chunk in wish.origin.get(name):
            stop.check()
            on_bytes(len(chunk))
            yield chunk

    yield from unwrapped(stored(), wish.passphrase, is_dump=foreign_dump.is_dump)


def _database(target: Target, wish: ImportWish, named: Named, found: Found) -> str | None:
    if found.role != "database":
        return None
    only = target.databases[0] if target.databases is not None and len(target.databases) == 1 else None
    name = wish.database or found.database or named.database or only
    if not name:
        raise UsageError(
            "it does not tell which database it is of",
            hint="Put {database} into the pattern, or say --database NAME.",
        )
    return name


def unlike(dumps: list[Dump]) -> Iterator[Dump | Broken]:
    """Let of several dumps of one thing at one time only the first pass."""
    seen: dict[str | None, str] = {}
    for dump in dumps:
        if (first := seen.get(dump.database)) is None:
            seen[dump.database] = dump.name
            yield dump
            continue
        what = "the globals" if dump.database is None else f"database {dump.database}"
        error = UsageError(
            f"{first} is a dump of {what} of the same time, too",
            hint="Narrow the pattern so that it tells them apart, and import one kind at a time.",
        )
        yield Broken(name=dump.name, at=dump.at, error=error)
