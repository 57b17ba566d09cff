"""What has to hold after any fault: six invariants, looked at from outside of what failed.

    with Oracle(services=…, targets=…, folder=…) as oracle:    before: it remembers what is good, and what is there
        … the fault …
        oracle.visible("backup", "failed")                     the failure can be seen; or told(), or silent()
        … the next run …

At the end of the `with` it looks at everything else, and at whether somebody said how the failure is seen.

1. The newest good backup restores. 2. Nothing good is gone beyond policy. 3. Ledger and stores agree, or the difference is
reported. 4. No plaintext, key or password is where it should not be. 5. The failure is visible. 6. Nothing leaks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from subprocess import CompletedProcess
from types import TracebackType
from typing import Self
from uuid import uuid4

from holdfast.app import open_app
from holdfast.jobs import catalog, prune_look, writing
from holdfast.jobs.find import open_best
from holdfast.jobs.monitoring import Monitoring
from holdfast.jobs.reading import plain_chunks
from holdfast.jobs.restore import Wish, restore
from holdfast.jobs.services import Services
from holdfast.jobs.status import status
from holdfast.jobs.verify import verify
from holdfast.ledger.ledger import BackupRow
from holdfast.metrics.host import Surroundings
from holdfast.model import layout
from holdfast.model.errors import Error
from holdfast.model.overview import Configured
from holdfast.model.retention import Candidate, judge
from holdfast.model.run import Job, Status
from holdfast.model.target import Target
from holdfast.postgres.compare import compare, digest
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from holdfast.stores.base import Store
from holdfast.system.stop import Stop
from support import leftovers
from support.alerting import firing
from support.asking import asks
from support.clock import FakeClock
from support.faults import programs, sessions
from support.restoring import databases, drop
from support.world import Recorder

Committed = set[tuple[str, str, str]]  # store, target, id
Good = dict[tuple[str, str], dict[str, Candidate]]  # by store and target, by id


@dataclass(slots=True, kw_only=True)
class Oracle:
    """Looks at a host before a fault and after it.

    `folder` is all that its processes write to. Where `source` is given, the newest backup is restored on `cluster` and
    compared with it; else it is read to its end. `secrets` are what nobody may see besides the keys, by name; `texts`
    what was printed and logged meanwhile; `uploads` tells the multipart uploads under way. `given_up` are backups that
    the fault itself destroyed; `before` what an oracle before the fault remembered, where this one comes after it.
    """

    services: Services
    targets: tuple[Target, ...]
    folder: Path
    cluster: Cluster | None = None
    source: Conninfo | None = None
    secrets: dict[str, bytes] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    uploads: Callable[[], list[object]] = list
    given_up: set[str] = field(default_factory=set)
    restores: Callable[[Services, BackupRow], None] | None = None
    before: Good = field(default_factory=dict)
    _databases: set[str] = field(init=False)
    _seen: list[str] = field(init=False, default_factory=list)
    _watch: ExitStack = field(init=False, default_factory=ExitStack)

    def __post_init__(self) -> None:
        """Remember how things are now."""
        self.secrets = {**leftovers.key_texts(self.services.keys), **self.secrets}
        if not self.before:
            catalog.rebuild(self.services, quick=True, forget=False)
            self.before = self._good()
        self._databases = databases(self.cluster) if self.cluster is not None else set()

    def __enter__(self) -> Self:
        """Look at all processes from here on."""
        self._watch.enter_context(self.watching())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Ask for all six, unless the test has failed already."""
        if self._watch.__exit__(kind, error, where) or kind is not None:
            return
        assert self._seen, "how can the failure be seen? say visible(), told() or silent()"
        self.holds()

    def holds(self) -> None:
        """Check everything that has to hold once the next run is over."""
        self.agree()
        self.nothing_good_is_gone()
        self.newest_restores()
        self.nothing_secret()
        self.nothing_leaks()

    # 1
    def newest_restores(self) -> None:
        """The newest backup of each target that is listed as good verifies, and gives back what was taken."""
        asks("restores")
        for target in self.targets:
            row = next((row for row in self.services.ledger.backups(target.name) if row.good), None)
            if row is None:
                assert not self.before_of(target.name) - self.given_up, (
                    f"{target.name} has no good backup any more"
                )
                continue
            self._comes_back(row)

    def _comes_back(self, row: BackupRow) -> None:
        if self.restores is not None:
            self.restores(self.services, row)
            return
        results = verify(self.services, row, Stop())
        assert results
        assert not [result.error for result in results if result.error is not None]
        opened = open_best(self.services, row)
        if self.cluster is None or self.source is None:
            for part in opened.backup.parts:
                assert sum(map(len, plain_chunks(opened.place, part, self.services.keys))) == part.size
            return
        name = f"oracle_{uuid4().hex[:8]}"
        wish = Wish(into=self.cluster.conninfo, database=self.source.database, rename=name)
        try:
            restore(self.services, opened, wish, Stop())
            with (
                connect(self.source, application_name="oracle") as ours,
                connect(self.cluster.conninfo.with_database(name), application_name="oracle") as theirs,
            ):
                assert not compare(digest(ours), digest(theirs))
        finally:
            drop(self.cluster, name)

    # 2
    def nothing_good_is_gone(self) -> None:
        """What was good is good still in the same store, unless the rules let it go."""
        asks("kept")
        now = self.services.clock.now()
        after = self._good()
        for (store, target), before in self.before.items():
            held = after.get((store, target), {})
            rules = next(each for each in self.targets if each.name == target).rules(store)
            verdicts = judge([*{**before, **held}.values()], rules.policy, now)
            kept = {each.backup.id for each in verdicts if each.kept}
            lost = (kept & before.keys()) - held.keys() - self.given_up
            assert not lost, f"{store} lost good backups of {target}: {sorted(lost)}"
            removed = before.keys() - held.keys() - self.given_up
            stones = {each[2] for each in with_name(self.services.stores, layout.TOMBSTONE)}
            assert removed <= stones, f"gone without a tombstone: {sorted(removed - stones)}"

    def before_of(self, target: str) -> set[str]:
        """What was good of a target anywhere before the fault."""
        return {each for (_, name), held in self.before.items() if name == target for each in held}

    def _good(self) -> Good:
        now = self.services.clock.now()
        found: Good = {}
        for target in self.targets:
            for name in target.stores:
                shelf = prune_look.look(self.services, target.name, self.services.store(name), now)
                found[name, target.name] = {
                    each.candidate.id: each.candidate
                    for each in shelf.held
                    if each.candidate.good and each.stone is None
                }
        return found

    # 3
    def agree(self) -> None:
        """After the ledger was compared with the stores, it lists what is committed and not hidden there, and nothing else."""
        asks("agree")
        result = catalog.rebuild(self.services, forget=False)
        told = " ".join(f"{where} {what}" for where, what in result.problems)
        stores = self.services.stores
        listed = with_name(stores, layout.MANIFEST) - with_name(stores, layout.TOMBSTONE)
        known = {
            (copy.store, row.backup.target, row.backup.id)
            for row in self.services.ledger.backups()
            for copy in row.copies
            if copy.state == "complete"
        }
        unsaid = {each for each in listed ^ known if each[2] not in told}
        assert not unsaid, f"ledger and stores differ, and nobody says so: {sorted(unsaid)}"
        assert self.services.ledger.unfinished() == [], "a run that nobody runs"

    # 4
    def nothing_secret(self) -> None:
        """No secret is in a file that is not there for it, nor in what was printed and logged."""
        asks("secrets")
        assert leftovers.in_files(self.folder, self.secrets) == []
        assert leftovers.in_texts([*self.texts, *self._recorded()], self.secrets) == []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """See to it that no process shows a secret in its arguments or environment for as long as the `with` lasts."""
        with leftovers.watched_processes(self.secrets) as found:
            yield
        assert sorted(set(found)) == []

    def _recorded(self) -> list[str]:
        """What the runs say of themselves in the ledger."""
        return [run.error or "" for run in self.services.ledger.runs(limit=-1)]

    # 5
    def visible(self, job: Job, status: Status, *, target: str = "shop", later: int = 0) -> str:
        """The last run of the job but so many later ones ended so, and a scrape tells of it. Give its error's code."""
        run = self.services.ledger.runs(target, job)[later]
        assert run.status == status, (run.status, run.error)
        self._see(f"{job} {status}")
        text = self.scrape()
        assert self.value(text, "holdfast_runs_total", job=job, target=target, result=status) >= 1
        if status in {"failed", "lost"} and not later:
            assert self.value(text, "holdfast_job_failures_in_a_row", job=job, target=target) >= 1
        return run.error_code or ""

    def recorded(self, job: Job, status: Status, *, target: str = "shop") -> str:
        """The last run of the job that ended so, however many came later, is told of. Give its error's code."""
        ended = [run.status for run in self.services.ledger.runs(target, job)]
        assert status in ended, ended
        return self.visible(job, status, target=target, later=ended.index(status))

    def alerts(self, hours: int = 48) -> set[str]:
        """The alerts that fire when everything stays for so many hours as it is."""
        found = firing(self.scrape(), now=self.services.clock.now().timestamp(), hours=hours)
        if found:
            self._see(", ".join(sorted(found)))
        return found

    def told(self, by: Error | CompletedProcess[str]) -> None:
        """Whoever gave the command was told: by the error or the exit code of one that is known, and in words."""
        if isinstance(by, Error):
            code, texts = by.exit_code, [by.message, by.hint or ""]
        else:
            code, texts = by.returncode, [by.stderr, by.stdout]
        assert code > 1, f"neither fine nor a bug nor a kill: {code}"
        assert texts[0]
        assert "Traceback" not in "".join(texts)
        self.texts += texts
        self._see(texts[0])

    def silent(self, why: str) -> None:
        """Say why this fault is none that anybody has to see."""
        self._see(why)

    def shows(self, name: str, value: float, text: str | None = None, **labels: str) -> None:
        """A scrape, ours or what somebody else got, has a series of this value."""
        assert self.value(text or self.scrape(), name, **labels) == value
        self._see(name)

    def reported(self, *words: str) -> None:
        """Whoever looks through the stores is told of it, in these words."""
        problems = catalog.rebuild(self.services, quick=True, forget=False).problems
        told = " ".join(f"{where} {what}" for where, what in problems)
        assert not [word for word in words if word not in told], told
        self._see(told)

    def noted(self, *words: str) -> None:
        """`status` has a note with each of these words."""
        notes = " ".join(note for each in status(self.services, self.targets) for note in each.notes)
        assert not [word for word in words if word not in notes], notes
        self._see(notes)

    def _see(self, what: str) -> None:
        asks("visible")
        self._seen.append(what)

    def scrape(self) -> str:
        """What the metrics say now."""
        configured = Configured(
            targets={target.name: target.stores for target in self.targets},
            stores=tuple(self.services.stores),
        )
        watched = Monitoring(
            ledger_file=self.services.ledger.path,
            surroundings=Surroundings(version="1", state_dir=self.services.state_dir),
            configured=lambda: configured,
            clock=self.services.clock,
        )
        return watched.metrics().decode()

    @staticmethod
    def value(text: str, name: str, **labels: str) -> float:
        """The value of a series in a scrape; the labels are those by which it is told from the others."""
        for line in text.splitlines():
            found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
            if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
                return float(found[2])
        raise AssertionError(f"no {name} with {labels} in the scrape")

    # 6
    def nothing_leaks(self) -> None:
        """No process, lock, temporary file, session or database is left; nothing half-written that the next day's sweep leaves."""
        asks("leaks")
        assert leftovers.gone(lambda: leftovers.processes(self.folder)) == []
        assert leftovers.locks(self.services.state_dir) == []
        self._sweep_tomorrow()
        assert leftovers.drafts(self.folder) == []
        assert self.uploads() == []
        assert leftovers.temporary(self.folder) == []
        if self.cluster is not None:
            cluster, source = self.cluster, self.source
            assert leftovers.gone(lambda: sessions(cluster)) == []
            if source is not None:
                assert leftovers.gone(lambda: programs(source).values()) == []
            assert databases(cluster) - self._databases == set()

    def _sweep_tomorrow(self) -> None:
        """Do what the first backup of the next day does about uploads that nobody finished."""
        tomorrow = FakeClock(self.services.clock.now() + timedelta(days=1, minutes=1))
        for target in self.targets:
            for name in target.stores:
                writing.abort_stale_uploads(
                    replace(self.services, clock=tomorrow), self.services.store(name), target.name
                )


@contextmanager
def oracle_of(config: Path, **more: object) -> Iterator[Oracle]:
    """Give an oracle for the host of a config file, whose folder is the host's."""
    with open_app(config, (), reporter=Recorder(), quiet=True) as app:
        services = app.writing_services()
        yield Oracle(services=services, targets=app.targets, folder=config.parent, **more)  # type: ignore[arg-type]


@contextmanager
def asked_of(config: Path, **more: object) -> Iterator[Oracle]:
    """Give that oracle before a fault, and ask it for all six at the end of the `with`."""
    with oracle_of(config, **more) as oracle, oracle:
        yield oracle


def with_name(stores: Mapping[str, Store], name: str) -> Committed:
    """Where an object of this name lies: (store, target, id)."""
    found: Committed = set()
    for store in stores.values():
        for stored in store.list():
            where = layout.parse_key(stored.key)
            if where is not None and where.name == name:
                found.add((store.name, where.target, where.backup_id))
    return found
