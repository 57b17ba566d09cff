"""What a restore of some tables knows once it has looked at everything, and how it reads and reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from holdfast.jobs import runner
from holdfast.jobs.part_archive import PartArchive
from holdfast.jobs.reading import Opened
from holdfast.jobs.restore_tables_report import RestoredTable, TablesReport, TablesWish
from holdfast.jobs.services import Services
from holdfast.methods import tables_restore
from holdfast.methods.tables_restore import Goal
from holdfast.model.catalog import Database
from holdfast.postgres.entries import Entry
from holdfast.postgres.relation_names import Name, shown
from holdfast.postgres.selecting import ALWAYS, Roots, Selection, Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A restore about to begin. `found` is the backup's database, `goal` the one that is restored into."""

    services: Services = field(repr=False)
    opened: Opened = field(repr=False)
    wish: TablesWish
    found: Database = field(repr=False)
    archive: PartArchive
    roots: Roots = field(repr=False)
    goal: Goal
    meter: runner.Meter

    @contextmanager
    def reading(self, entries: tuple[Entry, ...]) -> Iterator[Generator[bytes, None, None]]:
        """Give an archive of some entries, telling of the progress."""
        size = self.archive.size(entries)
        with self.services.reporter.progress(self.goal.database, size) as show:

            def on_bytes(count: int) -> None:
                self.meter.add(count)
                show(count)

            with closing(self.archive.cut(entries, self.goal.stop, on_bytes)) as chunks:
                yield chunks

    def rows(self, relations: Iterable[Entry]) -> dict[Name, int]:
        """Give the backup's counts of the rows that are restored."""
        options = self.goal.options
        kinds = ("r" if options.restores("data") else "") + ("m" if options.restores("post-data") else "")
        wanted = {name_of(entry) for entry in relations}
        return {
            (table.schema, table.name): table.rows
            for table in self.found.tables
            if table.rows is not None and table.kind in kinds and (table.schema, table.name) in wanted
        }

    def settled(self, selection: Selection) -> tuple[str, ...]:
        """Gather statistics of what was restored, and give what there is to tell of it."""
        filled = [entry for entry in selection.relations if entry.desc in {"TABLE", "MATERIALIZED VIEW"}]
        return tables_restore.settle(
            self.goal,
            [name_of(entry) for entry in filled],
            owners={entry.owner for entry in selection.relations if entry.owner},
            large_objects=self.found.large_objects,
        )

    def report(
        self,
        selection: Selection,
        tables: Iterable[RestoredTable],
        *,
        skipped: Iterable[Skipped] = (),
        notes: Iterable[str] = (),
        title: Callable[[Entry], str] | None = None,
    ) -> TablesReport:
        """Tell of what was, or would be, restored; time and warnings are left to the caller."""
        title = title or self.archive.index.title
        dry = self.wish.dry_run
        return TablesReport(
            backup_id=self.opened.backup.id,
            target=self.opened.backup.target,
            taken_at=self.opened.backup.started_at,
            into=self.goal.into.conninfo.safe,
            database=self.found.name,
            into_database=self.goal.database,
            dry_run=dry,
            tables=tuple(tables),
            also=tuple(title(entry) for entry in selection.also),
            skipped=(*selection.skipped, *skipped),
            notes=(*selection.notes, *notes),
            kinds=dict(Counter(entry.desc for entry in selection.entries if entry.desc not in ALWAYS)),
            size=self.archive.size(selection.entries) if dry else self.meter.done,
            seconds=0,
            warnings=(),
        )


def name_of(entry: Entry) -> Name:
    """Give a relation's schema and name."""
    return entry.namespace or "", entry.tag or ""


def tables_of(
    relations: Iterable[Entry], rows: Mapping[Name, int], renamed: Mapping[Name, Name] | None = None
) -> Iterator[RestoredTable]:
    """Give what the report says of each relation; sequences go with their tables."""
    old = {new: was for was, new in (renamed or {}).items()}
    for entry in relations:
        name = name_of(entry)
        was = old.get(name, name)
        if entry.desc != "SEQUENCE":
            yield RestoredTable(
                kind=entry.desc.lower(),
                name=shown(*name),
                was=None if was == name else shown(*was),
                rows=rows.get(name),
            )
