"""A restore test under way: makes the scratch cluster, reads the archives, and has each database proven in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from holdfast.jobs import own_cluster, proofs, restore, runner
from holdfast.jobs.reading import Opened, read_catalog, read_plain
from holdfast.jobs.services import Services
from holdfast.jobs.trial_archive import Ready, TrialArchive
from holdfast.methods import borrowed_server, logical_globals, proving, scratch_means
from holdfast.methods.destination import Destination, destination
from holdfast.methods.identity_globals import compare_globals
from holdfast.methods.proving import Stopwatch, Subjected
from holdfast.model.backup import Part
from holdfast.model.catalog import Catalog, Database
from holdfast.model.comparison import GlobalsCompared
from holdfast.model.errors import CouldNotTestError, Error, NotFoundError, SourceError
from holdfast.model.proof import DatabaseTested, Detail
from holdfast.model.testing import RestoreTesting
from holdfast.postgres import bootstrap, confined
from holdfast.system.early import Begun, begun
from holdfast.system.stop import Stop

_MAINTENANCE = "template1"  # a database that no backup holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where a test restores: a cluster of its own, whose first role is `first`, or (None) a server of the owner's.

    It `stands_in` for extensions that are not installed where the backup is of a platform that alone has them. Of the
    first database the archive may be `ready`, or about to be.
    """

    into: Destination
    isolation: str
    first: str | None
    stands_in: bool = False
    ready: Begun[Ready] | None = None

    @property
    def borrowed(self) -> bool:
        """Whether it is a server of the owner's."""
        return self.first is None


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
            untested: list[tuple[str, Error]] = []
            for part in parts:
                self.stop.check()
                found = restore.described(catalog, part)
                early = ground.ready if part is parts[0] else None
                try:
                    done.append(self._database(ground, found, part, early, watch, last=part is parts[-1]))
                except (CouldNotTestError, SourceError) as error:  # the others may be damaged all the same
                    self.stop.check()
                    if early is not None:  # its room is wanted for the next one
                        early.abandon()
                    untested.append((found.name, error))
                services.stage("compared")
            facts = proofs.Facts(
                began=began,
                isolation=ground.isolation,
                server=into.facts.version_text,
                clients=into.toolset.text,
                whole=database is None and not untested,
                roles=len(catalog.roles) if text and not ground.borrowed else 0,
                owners=not ground.borrowed,
                watch=watch,
            )
            detail = Detail(
                backup_id=backup.id,
                target=backup.target,
                databases=tuple(done),
                globals=compared,
                notes=(
                    *notes,
                    *(f"database {name!r} could not be tested: {why.message}" for name, why in untested),
                ),
            )
            if untested and not any(proofs.reasons(detail)):
                raise _could_not(untested, len(done))
        return detail, facts

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
        with self._begun(catalog, parts[0], watch) as ready, making as cluster:
            services.stage("cluster")
            maintenance = cluster.conninfo.with_database(_MAINTENANCE)
            with destination(maintenance, dump_version=dumped_with) as into:
                stands_in = catalog.platform is not None
                yield Ground(
                    into=into, isolation=cluster.isolation, first=first, stands_in=stands_in, ready=ready
                )

    def _begun(
        self, catalog: Catalog, part: Part, watch: Stopwatch
    ) -> AbstractContextManager[Begun[Ready] | None]:
        """Begin to stage the first archive, unless the server has to tell first what is to be stood in for."""
        if catalog.platform is not None:
            return nullcontext()
        found = restore.described(catalog, part)
        return begun(lambda stop: self._ready(found, part, (), watch, stop), self.stop)

    def _ready(
        self, found: Database, part: Part, missing: Collection[str], watch: Stopwatch, stop: Stop
    ) -> AbstractContextManager[Ready]:
        archive = TrialArchive(
            services=self.services, opened=self.opened, plan=self.plan, found=found, part=part
        )
        return archive.ready(missing, self.meter, watch, stop)

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
        self,
        ground: Ground,
        found: Database,
        part: Part,
        early: Begun[Ready] | None,
        watch: Stopwatch,
        *,
        last: bool,
    ) -> DatabaseTested:
        services, into = self.services, ground.into
        missing = scratch_means.missing_extensions(into, found, self.plan) if ground.stands_in else ()
        if not missing:
            scratch_means.require_means(into, found, self.plan)
        if not ground.borrowed:
            scratch_means.require_locale(into, found)
        with early or self._ready(found, part, missing, watch, self.stop) as ready:
            services.stage("staged")
            return proving.prove_database(
                into,
                Subjected(
                    backup_id=self.opened.backup.id,
                    taken_at=self.opened.backup.started_at,
                    found=found,
                    staged=ready.staged,
                    archive_bytes=part.size,
                    left_out=ready.left_out,
                    borrowed=ground.borrowed,
                    last=last,
                    plan=self.plan,
                    doing=services.reporter.doing,
                    stood_in=ready.stood_in,
                    only=ready.only,
                ),
                watch,
                stop=self.stop,
                warn=lambda text: services.reporter.warn(text, backup=self.opened.backup.id),
            )


def _could_not(untested: Sequence[tuple[str, Error]], others: int) -> CouldNotTestError:
    """Give the error that says why there is no proof, and what is known of the other databases."""
    (_, first), *more = untested
    said = [first.message]
    if more:
        said.append(f"nor could {', '.join(repr(name) for name, _ in more)} be tested")
    if others:
        said.append(f"the rest came back as it was ({others} of {others + len(untested)} databases)")
    error = CouldNotTestError("; ".join(said), hint=first.hint)
    error.__cause__ = first
    return error
