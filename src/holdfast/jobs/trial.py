"""A restore test under way: makes the scratch cluster, reads the archives, and has each database proven in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.jobs import own_cluster, proofs, restore, runner
from holdfast.jobs.part_archive import in_words
from holdfast.jobs.reading import Opened, plain_chunks, read_catalog, read_plain
from holdfast.jobs.services import Services
from holdfast.methods import borrowed_server, logical_globals, proving, scratch_means, staging, standing_in
from holdfast.methods.destination import Destination, destination
from holdfast.methods.identity_globals import compare_globals
from holdfast.methods.proving import Stopwatch, Subjected
from holdfast.methods.staging import Staged
from holdfast.model.backup import Part
from holdfast.model.catalog import Catalog, Database, LeftOut
from holdfast.model.comparison import GlobalsCompared
from holdfast.model.errors import CouldNotTestError, NotFoundError
from holdfast.model.proof import DatabaseTested, Detail
from holdfast.model.testing import RestoreTesting
from holdfast.postgres import acting, bootstrap, confined, cutting
from holdfast.postgres.archive import TocReader
from holdfast.postgres.entries import Entry, Toc
from holdfast.postgres.stand_ins import StoodIn
from holdfast.system.stop import Stop

_MAINTENANCE = "template1"  # a database that no backup holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where a test restores: a cluster of its own, whose first role is `first`, or (None) a server of the owner's.

    It `stands_in` for extensions that are not installed where the backup is of a platform that alone has them.
    """

    into: Destination
    isolation: str
    first: str | None
    stands_in: bool = False

    @property
    def borrowed(self) -> bool:
        """Whether it is a server of the owner's."""
        return self.first is None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """An archive made ready for a test: what was kept out of it, what is stood in for, and what is restored after that."""

    staged: Staged = field(repr=False)
    left_out: tuple[LeftOut, ...]
    stood_in: StoodIn
    only: tuple[int, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One test under way."""

    services: Services
    opened: Opened
    plan: RestoreTesting
    meter: runner.Meter
    stop: Stop

    def run(self, database: str | None) -> tuple[Detail, proofs.Facts]:
        """Do all of it."""
        services, backup = self.services, self.opened.backup
        began, watch = services.clock.now(), Stopwatch(services.clock)
        parts = self._parts(database)
        catalog = read_catalog(self.opened, services.keys)
        roles = backup.part("globals")
        text = b"" if roles is None else read_plain(self.opened.place, roles, services.keys)
        done: list[DatabaseTested] = []
        with self._ground(watch, catalog, parts, text) as ground:
            into = ground.into
            with watch.phase("roles"):
                notes = self._globals(ground, text)
                compared = self._compared(ground, text)
            for part in parts:
                self.stop.check()
                found = restore.described(catalog, part)
                done.append(self._database(ground, found, part, watch, last=part is parts[-1]))
                services.stage("compared")
            facts = proofs.Facts(
                began=began,
                isolation=ground.isolation,
                server=into.facts.version_text,
                clients=into.toolset.text,
                whole=database is None,
                roles=len(catalog.roles) if text and not ground.borrowed else 0,
                owners=not ground.borrowed,
                watch=watch,
            )
        return (
            Detail(
                backup_id=backup.id,
                target=backup.target,
                databases=tuple(done),
                globals=compared,
                notes=notes,
            ),
            facts,
        )

    def _parts(self, database: str | None) -> tuple[Part, ...]:
        """The databases, `postgres` last: until its turn the scratch server's own is there to connect to."""
        parts = [part for part in self.opened.backup.parts if part.role == "database"]
        if database is not None:
            parts = [part for part in parts if part.database == database]
            if not parts:
                raise NotFoundError(
                    f"backup {self.opened.backup.id} holds no database {database!r}",
                    hint=f"It holds {', '.join(self.opened.backup.databases)}.",
                )
        for part in parts:
            if part.format != "custom":
                raise CouldNotTestError(
                    f"database {part.database!r} was imported as {part.format}, and only custom archives are compared",
                    hint="Restore it into a database of its own (--as NEW_NAME), and look.",
                )
        return tuple(sorted(parts, key=lambda part: part.database == "postgres"))

    @contextmanager
    def _ground(
        self, watch: Stopwatch, catalog: Catalog, parts: Sequence[Part], text: bytes
    ) -> Iterator[Ground]:
        """Make a cluster to restore into, or borrow the server that the config names."""
        services, backup = self.services, self.opened.backup
        dumped_with = backup.tools.get("pg_dump")
        if self.plan.scratch_url is not None:
            with self._borrowed(self.plan.scratch_url, parts) as into:
                services.stage("cluster")
                yield Ground(into=into, isolation=borrowed_server.ISOLATION, first=None)
            return
        programs, first = own_cluster.programs(self.plan, backup), bootstrap.superuser(text)
        making = own_cluster.own_cluster(
            services,
            self.plan,
            own_cluster.Wanted(
                programs=programs, place=self._place(catalog, parts), first=first, catalog=catalog
            ),
            watch,
            self.stop,
        )
        with making as cluster:
            services.stage("cluster")
            maintenance = cluster.conninfo.with_database(_MAINTENANCE)
            with destination(maintenance, dump_version=dumped_with) as into:
                stands_in = catalog.platform is not None
                yield Ground(into=into, isolation=cluster.isolation, first=first, stands_in=stands_in)

    @contextmanager
    def _borrowed(self, url: str, parts: Sequence[Part]) -> Iterator[Destination]:
        services, backup = self.services, self.opened.backup
        if self.plan.isolation == "required":
            raise CouldNotTestError(
                "restored code cannot be shut in on the server of restore_test.scratch_url",
                hint="Remove scratch_url: the test then makes a cluster that is shut in. Or, if what is restored is"
                ' trusted with that server, set restore_test.isolation = "preferred".',
            )
        confined.require_room(services.spool_dir, max((part.size for part in parts), default=0))
        known = (row.backup.server.system_identifier for row in services.ledger.backups())
        services.reporter.doing("asking the configured scratch server what it is")
        with borrowed_server.borrowed_server(
            url,
            backup,
            source_url=self.plan.source_url,
            sources={each for each in known if each is not None},
            warn=lambda said: services.reporter.warn(said, backup=backup.id),
        ) as into:
            yield into

    def _place(self, catalog: Catalog, parts: Sequence[Part]) -> Path:
        """Choose where the cluster lies: there has to be room for the largest database, and for its archive."""
        largest = max((part.size for part in parts), default=0)
        restored = max(
            (own_cluster.size(restore.described(catalog, part), part) for part in parts), default=0
        )
        return own_cluster.place(self.services, self.plan, restored=restored, staged=largest)

    def _globals(self, ground: Ground, text: bytes) -> tuple[str, ...]:
        """Make the roles as a restore does."""
        if ground.borrowed:
            return (borrowed_server.NOTE,)
        if not text:
            return ("the backup holds no roles",)
        applied = logical_globals.apply(ground.into.connection, text, tablespace_map={})
        return tuple(
            f"tablespace {name} was left out: what is in it lies in the default one"
            for name in applied.tablespaces_left_out
        )

    def _compared(self, ground: Ground, text: bytes) -> GlobalsCompared | None:
        if not text or ground.first is None:
            return None
        into = ground.into
        return compare_globals(
            text, into.conninfo, into.toolset, own={ground.first}, tablespaces=False, stop=self.stop
        )

    def _database(
        self, ground: Ground, found: Database, part: Part, watch: Stopwatch, *, last: bool
    ) -> DatabaseTested:
        services, into = self.services, ground.into
        missing = scratch_means.missing_extensions(into, found, self.plan) if ground.stands_in else ()
        if not missing:
            scratch_means.require_means(into, found, self.plan)
        if not ground.borrowed:
            scratch_means.require_locale(into, found)
        with (
            services.reporter.progress(f"test {part.database}", part.size) as show,
            self._staged(found, part, watch, show, missing) as made,
        ):
            services.stage("staged")
            return proving.prove_database(
                into,
                Subjected(
                    backup_id=self.opened.backup.id,
                    taken_at=self.opened.backup.started_at,
                    found=found,
                    staged=made.staged,
                    archive_bytes=part.size,
                    left_out=made.left_out,
                    borrowed=ground.borrowed,
                    last=last,
                    plan=self.plan,
                    doing=services.reporter.doing,
                    stood_in=made.stood_in,
                    only=made.only,
                ),
                watch,
                stop=self.stop,
                warn=lambda text: services.reporter.warn(text, backup=self.opened.backup.id),
            )

    @contextmanager
    def _staged(
        self,
        found: Database,
        part: Part,
        watch: Stopwatch,
        show: Callable[[int], None],
        missing: Collection[str],
    ) -> Iterator[_Made]:
        """Read the archive into a file without a name, without what would act on the world."""
        entries = list(in_words(self._toc(part, everything=False).entries, found.properties.encoding))
        stood_in = standing_in.stood_in(entries, found, missing)
        kept = acting.acting(
            entries,
            without_extensions=self.plan.without_extensions,
            besides=standing_in.needing(entries, missing),
        )

        def chunks() -> Generator[bytes, None, None]:
            for chunk in plain_chunks(self.opened.place, part, self.services.keys, threads=True):
                self.stop.check()
                self.meter.add(len(chunk))
                show(len(chunk))
                yield chunk

        with closing(chunks()) as whole, ExitStack() as stack:
            pieces = self._cut(whole, part, kept) if kept.out else whole
            with watch.phase("reading"):
                staged = stack.enter_context(staging.staged(pieces, self.services.spool_dir, size=part.size))
            yield _Made(
                staged=staged,
                left_out=(*kept.left_out, *standing_in.told(stood_in)),
                stood_in=stood_in,
                only=self._rest(part, kept.out | stood_in.entries) if stood_in.entries else None,
            )

    def _rest(self, part: Part, out: Collection[int]) -> tuple[int, ...]:
        """Tell what is left to restore where some of it is stood in for."""
        return tuple(
            each.dump_id for each in self._toc(part, everything=True).entries if each.dump_id not in out
        )

    def _toc(self, part: Part, *, everything: bool) -> Toc:
        """Read the table of contents; unless `everything`, without large objects, which may be millions."""
        keep = None if everything else _is_no_large_object
        reader = TocReader(self.opened.place.key(part.name), keep=keep, copies=True)
        for chunk in plain_chunks(self.opened.place, part, self.services.keys):
            reader.feed(chunk)
            if reader.done:
                break
        return reader.finish()

    def _cut(self, chunks: Iterator[bytes], part: Part, kept: acting.Kept) -> Iterator[bytes]:
        toc = self._toc(part, everything=True)
        return cutting.cut(chunks, toc, [each for each in toc.entries if each.dump_id not in kept.out])


def _is_no_large_object(entry: Entry) -> bool:
    return not entry.desc.startswith("BLOB") and not (entry.tag or "").startswith("LARGE OBJECT ")
