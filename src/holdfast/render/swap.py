"""What people and programs read of a swap: what it did or would do, what was written since, and the way back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from holdfast.jobs.swap import Plan, SwapReport
from holdfast.jobs.written_since import SequenceChange, TableChange, Written
from holdfast.model.codec import Json, to_json
from holdfast.model.shell_quoting import shell_word
from holdfast.postgres import conninfo
from holdfast.postgres.statements import quoted_name
from holdfast.render.printing import line
from holdfast.render.words import many, size, when

_SHOWN = 20
_WHERE = {
    "old": "only in the old database",
    "backup": "not in the old database any more",
    "both": "differs",
}


def server_options(*, config: Path | None, to: str | None, target: str | None) -> tuple[str, ...]:
    """Give the options that lead a later command to the same server. A password in the URL is left out."""
    server = ("--target", target or "") if to is None else ("--to", _without_secrets(to))
    return (*(() if config is None else ("--config", str(config))), *server)


def _without_secrets(url: str) -> str:
    given = conninfo.parse(url)
    return given.argv_dsn() if given.has_secrets else url


def way_back(value: SwapReport, options: Sequence[str]) -> str:
    """Give the one command that undoes a swap, for a shell."""
    names = (value.live, value.kept)
    # Behind a `--` no name is taken for an option, whatever it begins with.
    dashed = any(name.startswith("-") for name in names)
    words = (*options, "--", *names) if dashed else (*names, *options)
    return " ".join(map(shell_word, ("holdfast", "swap", *words)))


def facts(value: SwapReport, options: Sequence[str]) -> dict[str, Json]:
    """What a swap did, without what was restored before."""
    return {
        "live": value.live,
        "kept": value.kept,
        "into": value.into,
        "size": value.size,
        "ended_sessions": value.ended_sessions,
        "blocked_seconds": value.blocked_seconds,
        "way_back": way_back(value, options),
        "properties": to_json(value.properties),
        "notes": to_json(value.notes),
        "written": to_json(value.written),
    }


def plan_facts(value: Plan) -> dict[str, Json]:
    """What a swap would do."""
    return {
        "live": value.live,
        "other": value.other,
        "kept": value.kept,
        "into": value.into,
        "size": value.size,
        "other_size": value.other_size,
        "sessions": [{"who": who, "count": count} for who, count in value.sessions.items()],
        "notes": to_json(value.notes),
    }


def plan(value: Plan) -> None:
    """Say what a swap would do."""
    other = "the restored database" if value.other is None else f"{value.other}{_size(value.other_size)}"
    line(f"on {value.into}: {other} would take the place of {value.live}{_size(value.size)}")
    line(f"  which would be kept as {value.kept}")
    ended = sum(value.sessions.values())
    line(f"  {many(ended, 'session')} would be ended{':' if ended else ''}")
    for who, count in value.sessions.items():
        line(f"    {count} of {who}")
    for note in value.notes:
        line(f"  {note}")


def report(value: SwapReport, options: Sequence[str]) -> None:
    """Say what a swap did, and the way back."""
    line(
        f"{value.live} was swapped: {many(value.ended_sessions, 'session')} ended, new connections waited"
        f" {value.blocked_seconds:.1f} s at most"
    )
    line(f"the old one is kept as {value.kept}{_size(value.size)}")
    for note in value.notes:
        line(f"  {note}")
    if value.properties is not None:
        _statements("the old one had these properties, and the new one has not:", value.properties.only_old)
        _statements("the new one has these, and the old one had not:", value.properties.only_new)
    for text in written(value):
        line(text)
    line(f"the way back:       {way_back(value, options)}")
    line(f"when all is well:   DROP DATABASE {quoted_name(value.kept)};")


def _size(count: int | None) -> str:
    return "" if count is None else f" ({size(count)})"


def _statements(title: str, statements: Sequence[str]) -> None:
    if statements:
        line(title)
    for statement in statements:
        line(f"  {statement}")


def written(report: SwapReport) -> Iterator[str]:
    """What the old database holds that the backup does not, line by line; nothing where it was not compared."""
    if report.written is not None:
        since = f" of {when(report.restored.taken_at)}" if report.restored is not None else ""
        yield from _written(report.written, since)


def _written(value: Written, since: str) -> Iterator[str]:
    differences = [
        *map(_table, value.tables),
        *map(_sequence, value.sequences),
        *(f"large object {name} differs" for name in value.large_objects),
        *(f"{each.name}: {_WHERE[each.where]}" for each in value.definitions),
    ]
    unread = [f"{each.name}: {each.error}" for each in value.unread]
    compared = many(value.tables_compared, "table")
    if differences:
        yield f"the old one differs from the backup{since} ({compared} compared):"
    else:
        yield f"nothing was written since the backup{since}, as far as it was compared: {compared}"
    yield from (f"  {text}" for text in _first(differences))
    if unread:
        yield "not compared:"
    yield from (f"  {text}" for text in _first(unread))


def _first(texts: Sequence[str]) -> Iterator[str]:
    yield from texts[:_SHOWN]
    if len(texts) > _SHOWN:
        yield f"and {len(texts) - _SHOWN} more (--json lists all)"


def _table(value: TableChange) -> str:
    if value.rows_backup is None:
        return f"table {value.name}: {_rows(value.rows_old)}, and no such table in the backup"
    if value.rows_old is None:
        return f"table {value.name}: not there any more; {_rows(value.rows_backup)} in the backup"
    if value.rows_old == value.rows_backup:
        return f"table {value.name}: {_rows(value.rows_old)} as in the backup, but not the same"
    return f"table {value.name}: {_rows(value.rows_old)}, {value.rows_backup:,} in the backup"


def _rows(count: int | None) -> str:
    return many(count or 0, "row")


def _sequence(value: SequenceChange) -> str:
    if value.backup is None:
        return f"sequence {value.name}: at {value.old}, and no such sequence in the backup"
    if value.old is None:
        return f"sequence {value.name}: not there any more; at {value.backup} in the backup"
    return f"sequence {value.name}: at {value.old}, {value.backup} in the backup"
