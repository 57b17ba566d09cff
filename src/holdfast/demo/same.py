"""Reads everything of a server that a restore has to bring back, and tells where two servers differ."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from holdfast.postgres.compare import Digest, compare, digest, schema_text
from holdfast.postgres.conninfo import Conninfo, child
from holdfast.postgres.server import connect, databases
from holdfast.postgres.tools import Toolset
from holdfast.system import proc
from holdfast.system.stop import Stop

_NAME = "holdfast demo"
_SHOWN = 5  # differing lines of a text
_SECONDS = 120
_PASSWORD = re.compile(r"(PASSWORD )'[^']*'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a server holds: by database a digest and the lines of its schema, and the lines of roles and tablespaces."""

    digests: Mapping[str, Digest]
    schemas: Mapping[str, tuple[str, ...]]
    globals: tuple[str, ...]


def read(server: Conninfo, clients: Toolset, stop: Stop) -> Content:
    """Read all databases but the templates, as a superuser. Raise SourceError."""
    with connect(server, application_name=_NAME) as conn:
        names = [each.name for each in databases(conn) if each.allow_connections and not each.is_template]
    digests, schemas = {}, {}
    for name in names:
        stop.check()
        place = server.with_database(name)
        with connect(place, application_name=_NAME) as conn:
            digests[name] = digest(conn)
        schemas[name] = _printed(clients, "pg_dump", place, stop, "--schema-only", "--create")
    roles = _printed(clients, "pg_dumpall", server, stop, "--globals-only")
    return Content(digests=digests, schemas=schemas, globals=roles)


def _printed(clients: Toolset, program: str, where: Conninfo, stop: Stop, *options: str) -> tuple[str, ...]:
    argv = (clients.program(program), "--no-password", *options, f"--dbname={where.argv_dsn()}")
    with child(where, application_name=_NAME) as given:
        command = proc.Command(argv=argv, env=given.env, pass_fds=given.pass_fds)
        text = proc.output_of(command, stop, seconds=_SECONDS).decode("utf-8", "surrogateescape")
    return tuple(schema_text(text.split("\n")).splitlines())


def summary(content: Content) -> tuple[tuple[str, int], ...]:
    """Count what was read: pairs of a kind and its number."""
    digests = content.digests.values()
    return (
        ("databases", len(content.digests)),
        ("tables that hold rows", sum(len(each.tables) for each in digests)),
        ("rows", sum(int(text.split(" ")[0]) for each in digests for text in each.tables.values())),
        ("sequences", sum(len(each.sequences) for each in digests)),
        ("large objects", sum(len(each.large_objects) for each in digests)),
        ("schema lines", sum(len(lines) for lines in content.schemas.values())),
        ("roles", sum(line.startswith("CREATE ROLE ") for line in content.globals)),
    )


def differences(a: Content, b: Content) -> tuple[str, ...]:
    """Tell each difference on one line, without passwords; none means that the two are the same."""
    return tuple(_differences(a, b))


def _differences(a: Content, b: Content) -> Iterator[str]:
    for name in sorted(a.digests.keys() | b.digests.keys()):
        if name not in b.digests:
            yield f"database {name} is missing in the second"
        elif name not in a.digests:
            yield f"database {name} is only in the second"
        else:
            for text in compare(a.digests[name], b.digests[name]):
                yield f"database {name}: {text}"
            yield from _lines(f"schema of {name}", a.schemas[name], b.schemas[name])
    yield from _lines("roles", a.globals, b.globals)


def _lines(kind: str, a: tuple[str, ...], b: tuple[str, ...]) -> Iterator[str]:
    if a == b:
        return
    changed = (
        line for line in difflib.unified_diff(a, b, n=0, lineterm="") if line[:2] not in ("--", "++", "@@")
    )
    for line in itertools.islice(changed, _SHOWN):
        where = "first" if line.startswith("-") else "second"
        text = _PASSWORD.sub(r"\1'***'", line[1:].strip())
        yield f"{kind}: only in the {where}: {text}"
