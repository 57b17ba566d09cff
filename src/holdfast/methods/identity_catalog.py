"""Compares a restored database with what the backup's catalog says: its own properties, its tables, its matviews."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from holdfast.methods.subject import LABEL, Subject, session
from holdfast.model.catalog import Database, LeftOut, Properties, Table
from holdfast.model.comparison import Difference, Validity
from holdfast.model.target import Selection
from holdfast.postgres import catalog, snapshot, undumped, validity
from holdfast.postgres.entries import RELATIONS, Toc, data_tables, defined_tables
from holdfast.postgres.relation_names import Name, shown
from holdfast.system.stop import Stop

# Told by other means, or not a property of what is in the database: a new library of collations is a new version.
_PLAIN = frozenset(field.name for field in fields(Properties)) - {
    "collation_version",
    "grants",
    "labels",
    "settings",
    "tablespace",
}
_LOCK_WAIT = 60.0
_WORKED_OUT = "a restore works their values out anew by what the expression says then; no dump holds those of the source"
_FILLED_ANEW = "a restore fills it anew; no dump holds the rows of the source, only their number is known"
_NOT_SHOWN = "(values are not shown)"


def read_restored(subject: Subject, stop: Stop) -> Database:
    """Read what is in the restored database, with the rows of materialised views counted. Raise SourceError."""
    name = subject.where.database or ""
    with snapshot.exported_snapshot(
        subject.where, application_name=LABEL, lock_wait_timeout=_LOCK_WAIT
    ) as snap:
        version = snap.connection.info.server_version
        there = catalog.read_database(snap.connection, Selection(), name=name, version_num=version)
        views = replace(there, tables=tuple(table for table in there.tables if table.kind == "m"))
        counted = catalog.count_rows(snap.connection, views, stop=stop, foreign_code=True)
        others = tuple(table for table in there.tables if table.kind != "m")
        return replace(there, tables=(*others, *counted.tables))


def contents_differences(subject: Subject, toc: Toc) -> Iterator[Difference]:
    """Hold the archive's table of contents against the catalog: each table, and that its rows are there."""
    defined, filled = defined_tables(toc.entries), data_tables(toc.entries)
    known = {table.oid for table in subject.found.tables}
    for table in subject.found.tables:
        if table.extension is not None or table.persistence == "t" or table.left_out:
            continue
        if table.oid not in defined:
            yield _lost(table, "in the catalog", "not in the archive")
        elif table.kind == "r" and not table.data_left_out and table.oid not in filled:
            yield _lost(table, "its rows in the archive", "its definition alone")
    for entry in toc.entries:
        if entry.desc in RELATIONS and entry.oid not in known:
            name = shown(entry.namespace, entry.tag or "")
            yield Difference(kind="contents", name=name, how="unexpected", found="in the archive alone")


def _lost(table: Table, expected: str, found: str) -> Difference:
    name = shown(table.schema, table.name)
    return Difference(kind="contents", name=name, how="missing", expected=expected, found=found)


def property_differences(subject: Subject, there: Database) -> Iterator[Difference]:
    """Compare what the database is: owner, encoding, locale, limits, settings, privileges and labels."""
    before, now = subject.found.properties, there.properties
    names = _PLAIN | ({"tablespace"} if subject.tablespaces else set())
    for name in sorted(names):
        expected, found = getattr(before, name), getattr(now, name)
        if expected != found:
            yield _property(name.replace("_", " "), str(expected), str(found))
    yield from _setting_differences(before, now)
    ours, theirs = _grants(before), _grants(now)
    if ours != theirs:
        yield _property(
            "grants", ", ".join(sorted(ours - theirs)) or "none", ", ".join(sorted(theirs - ours)) or "none"
        )
    if set(before.labels) != set(now.labels):
        yield _property("security labels", str(len(before.labels)), str(len(now.labels)))


def _setting_differences(before: Properties, now: Properties) -> Iterator[Difference]:
    """Values are not told: applications keep their keys in settings of their own."""
    ours = {(each.role, each.name): each.value for each in before.settings}
    theirs = {(each.role, each.name): each.value for each in now.settings}
    for role, name in sorted(ours.keys() | theirs.keys(), key=lambda key: (key[0] or "", key[1])):
        if ours.get((role, name)) != theirs.get((role, name)):
            what = f"setting {name}" + (f" of {role}" if role else "")
            gone, new = (role, name) not in theirs, (role, name) not in ours
            yield Difference(
                kind="property",
                name=what,
                how="missing" if gone else "unexpected" if new else "different",
                expected=None if new else _NOT_SHOWN,
                found=None if gone else _NOT_SHOWN,
            )


def _property(name: str, expected: str, found: str) -> Difference:
    return Difference(kind="property", name=name, how="different", expected=expected, found=found)


def _grants(properties: Properties) -> set[str]:
    if properties.grants is None:
        return {"the default ones"}
    return {
        f"{grant.privilege} to {grant.grantee or 'PUBLIC'} by {grant.grantor}"
        + (" with grant option" if grant.grantable else "")
        for grant in properties.grants
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What became of the materialised views. Notes tell of those that hold another number of rows now."""

    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def compare_views(subject: Subject, there: Database) -> Views:
    """Look whether each materialised view that held rows holds them again.

    It is filled anew, so that one that was not up to date has other rows afterwards: that is no difference. One that
    was left unfilled on purpose is in `left_out`.
    """
    now = {(table.schema, table.name): table for table in there.tables if table.kind == "m"}
    excused = {item.name for item in subject.left_out}
    differences: list[Difference] = []
    notes: list[str] = []
    for table in subject.found.tables:
        view = now.get((table.schema, table.name))
        if table.kind != "m" or table.rows is None or view is None or view.rows == table.rows:
            continue
        name = shown(table.schema, table.name)
        if view.rows is not None:
            notes.append(
                f"materialised view {name} was filled anew: {view.rows} rows, {table.rows} in the source"
            )
        elif name not in excused and f"{table.schema}.{table.name}" not in excused:
            differences.append(
                Difference(
                    kind="materialized view",
                    name=name,
                    how="different",
                    expected=f"{table.rows} rows",
                    found="not filled",
                )
            )
    return Views(differences=tuple(differences), notes=tuple(notes))


def made_anew(subject: Subject) -> Iterator[LeftOut]:
    """Name the values that a restore works out anew, and that no dump holds to compare them with. Raise SourceError."""
    with session(subject.where) as connection:
        for schema, name, columns in undumped.generated(connection):
            what = f"{shown(schema, name)} ({columns})"
            yield LeftOut(kind="generated columns", name=what, reason=_WORKED_OUT)
    for table in subject.found.tables:
        if table.kind == "m" and table.rows is not None:
            yield LeftOut(
                kind="rows of a materialised view", name=shown(table.schema, table.name), reason=_FILLED_ANEW
            )


def version_notes(subject: Subject, there: Database) -> Iterator[str]:
    """Tell which extensions and collations are of another version where the test ran."""
    now = {extension.name: extension.version for extension in there.extensions}
    for extension in subject.found.extensions:
        version = now.get(extension.name, extension.version)
        if version != extension.version:
            yield f"extension {extension.name} is version {version} here, {extension.version} in the source"
    versions: dict[Name, str | None] = {(each.schema, each.name): each.version for each in there.collations}
    for collation in subject.found.collations:
        here = versions.get((collation.schema, collation.name), collation.version)
        if here != collation.version:
            name = shown(collation.schema, collation.name)
            yield f"collation {name} is version {here} here, {collation.version} in the source"


def check_validity(
    subject: Subject, stop: Stop, *, with_amcheck: bool
) -> tuple[tuple[Validity, ...], tuple[str, ...]]:
    """Give the checks that were made, and notes. Raise SourceError."""
    with session(subject.where) as connection:
        constraints, unchecked = validity.constraints(connection)
        found = [validity.indexes(connection), constraints]
        if with_amcheck:
            found += validity.amcheck(connection, stop)
    notes = tuple(f"constraint {name} was never validated (NOT VALID)" for name in unchecked)
    return tuple(found), notes
