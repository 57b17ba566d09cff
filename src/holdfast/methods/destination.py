"""The server that is restored into: connects to it, chooses the programs that fit it, and refuses bad names there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from holdfast.model.errors import UsageError
from holdfast.postgres import conninfo, pooler, properties, server, tools

LABEL = "holdfast restore"
_WITH_EVENT_TRIGGERS_OFF = 170000


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """The server that is restored into, and the programs that fit it."""

    conninfo: conninfo.Conninfo
    connection: server.Connection
    facts: server.ServerFacts
    toolset: tools.Toolset


@contextmanager
def destination(where: conninfo.Conninfo, *, dump_version: str | None) -> Iterator[Destination]:
    """Connect to the server that is restored into. Raise SourceError when no program here fits it."""
    where = where.at_server()
    pooler.require_own_session(where)
    with closing(server.connect(where, application_name=LABEL)) as connection:
        server.pin(connection, server.ENDLESS)
        facts = server.facts(connection)
        toolset = tools.choose_for_restore(tools.find_toolsets(), facts.version_num, dump_version)
        yield Destination(conninfo=where, connection=connection, facts=facts, toolset=toolset)


def unwatched(into: Destination) -> Destination:
    """Let no event trigger act on our sessions, where they may be kept from it (17 and later, as a superuser).

    One on logins would write down that we looked at what was restored.
    """
    if into.facts.version_num < _WITH_EVENT_TRIGGERS_OFF or not into.facts.is_superuser:
        return into
    return replace(into, conninfo=into.conninfo.with_setting("event_triggers", "off"))


def refuse_name(into: Destination, name: str) -> None:
    """Raise UsageError for a new name that the server would cut, or that every later database would be a copy of."""
    longest, is_template = properties.limits_of_name(into.connection, name)
    if len(name.encode()) > longest:
        raise UsageError(
            f"the name {name!r} is longer than the {longest} bytes that the server keeps",
            hint="Give a shorter one.",
        )
    if is_template:
        raise UsageError(
            f"{name!r} is a template: every database made later would hold what is restored there",
            hint="Give another name.",
        )
