"""The seven steps of a disaster plan, for one target of this configuration."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from holdfast.jobs.kit import Kit, KitStore, KitTarget
from holdfast.model.document import Block, Commands, Paragraph, Section
from holdfast.model.shell_quoting import shell_word
from holdfast.render.words import duration, many
from holdfast.system import logs

IDENTITY = "identity.txt"
_SERVER = "postgresql://postgres@NEW-HOST/postgres"


def runbook(kit: Kit, target: KitTarget) -> Section:
    """Give the steps: identify, stop, assess and choose, restore, verify, resume, watch."""
    count = len(target.newest.backup.databases) if target.newest is not None else 0
    title = f"Runbook: {target.name} ({many(count, 'database')}, {target.server})"
    return Section(title, tuple(_steps(kit, target)))


def recover_command(store: KitStore, target: str) -> str:
    """The command that brings a target back from a store."""
    settings = (word for option in store.options for word in ("--set", f"stores.main.{option}"))
    words = [
        "holdfast",
        "recover",
        store.url,
        "--identity",
        IDENTITY,
        "--target",
        target,
        *settings,
        "--to",
        _SERVER,
    ]
    return shlex.join(words)


def _steps(kit: Kit, target: KitTarget) -> Iterator[Block]:
    name = shlex.quote(target.name)
    yield Paragraph(
        f"{_drilled(target)} With the server still there, this walks through the steps, and asks:"
    )
    yield Commands((f"holdfast disaster {name}",))
    yield Paragraph(
        "1. Identify the failure. Is the server gone, a database damaged, or a table lost? Note the time of the last"
        " moment when all was well. Write to the damaged server no more than you must."
    )
    yield Commands(("holdfast status", f"holdfast list --target {name}"))
    yield Paragraph(
        "2. Stop the services that write to it, so that nothing is lost in between. Leave the damaged database where"
        f" it is: it may hold what no backup has.{_by_hand(target.stop)}"
    )
    yield from _hook(target.stop)
    yield Paragraph(
        "3. Assess, and choose the backup: the newest proven one from before the damage."
        f" {_known(target)}. What was written after a backup began is not in it."
    )
    yield Commands((f"holdfast restore latest --target {name} --before 2026-11-22T08:00:00Z --dry-run",))
    yield from _restoring(kit, target)
    yield Paragraph(
        "5. Verify. Each restore counts the rows of every table and compares them with the backup; recover and disaster hold"
        " every row and definition against it. Ask questions of your own too: the newest order, the number of customers."
    )
    if target.checks:
        asked = (f"psql {_in(database)}-c {shell_word(sql)}" for database, sql in target.checks)
        yield Commands(tuple(asked))
    yield Paragraph(
        f"6. Resume the services, one after the other, and look at their logs.{_by_hand(target.resume)}"
    )
    yield from _hook(target.resume)
    yield Paragraph(
        "7. Watch, and take a backup of the new state. Write down what happened, and how long each step took."
    )
    yield Commands((f"holdfast backup {name}", "holdfast status"))


def _by_hand(hook: tuple[str, ...]) -> str:
    return "" if hook else " No hook of the config does it: write down here who does, and how."


def _hook(argv: tuple[str, ...]) -> Iterator[Block]:
    if argv:
        yield Commands((logs.redacted(" ".join(map(shell_word, argv))),))


def _in(database: str | None) -> str:
    return "" if database is None else f"-d {shell_word(database)} "


def _drilled(target: KitTarget) -> str:
    if target.drill is None:
        return (
            f"No drill of this plan was held when this was made (`holdfast disaster {target.name} --drill`)."
        )
    longest = max(target.drill.phases, key=lambda phase: phase.seconds, default=None)
    most = f", most of it {longest.name} ({duration(longest.seconds)})" if longest is not None else ""
    return f"The last drill of this plan was on {target.drill.at:%Y-%m-%d} and took {duration(target.drill.seconds)}{most}."


def _known(target: KitTarget) -> str:
    if target.proven is not None:
        return f"The newest proven one was {target.proven.backup.id} when this was made"
    if target.newest is not None:
        return f"None was proven when this was made; the newest was {target.newest.backup.id}"
    return "There was none when this was made"


def _restoring(kit: Kit, target: KitTarget) -> Iterator[Block]:
    seconds = f" It takes about {duration(target.seconds)}." if target.seconds is not None else ""
    databases = target.newest.backup.databases if target.newest is not None else ()
    chosen = f"restore latest --target {shlex.quote(target.name)} --database"
    database = shell_word(databases[0]) if databases else "DATABASE"
    first = next((store for store in kit.stores if store.name in target.stores), None)
    yield Paragraph(f"4. Restore. A lost server: everything, into an empty one.{seconds}")
    if first is not None:
        yield Commands((recover_command(first, target.name),))
    yield Paragraph("A damaged database: beside it; then the two change places. The way back is printed.")
    yield Commands((f"holdfast {chosen} {database} --swap",))
    yield Paragraph("A lost table: that alone, into the live database.")
    yield Commands((f"holdfast {chosen} {database} --table TABLE",))
