"""A process that forks once for each job it is told to do (a backup, unless told otherwise), and lets the child kill itself on the way.

    with killer() as kill:
        kill(config, "stage:manifest")

A point on the way is `stage:NAME` or `stage:NAME#2` (the second time), `bytes:LABEL:N` (after so many bytes of what
the reporter shows under the label) or `put:STORE:END` (half-way through the object whose key ends so; with a `*`, whose
name begins with what is before it and ends with what is behind). No point: the job runs to its end.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.app import App, open_app
from holdfast.cli.options import destination
from holdfast.jobs import restore
from holdfast.jobs.backup import backup
from holdfast.jobs.copies import catch_up
from holdfast.jobs.find import open_best
from holdfast.jobs.importing import import_dumps
from holdfast.jobs.prune import Wish, complain, prune
from holdfast.jobs.reading import Opened
from holdfast.jobs.reencrypt import copy_to
from holdfast.jobs.restore_tables import restore_tables
from holdfast.jobs.restore_tables_report import TablesWish
from holdfast.jobs.restore_test import run_one
from holdfast.jobs.services import Services
from holdfast.jobs.supabase import storage_restore, storage_save
from holdfast.jobs.supabase.storage_folder import Folder
from holdfast.jobs.swap import restore_swapped
from holdfast.methods.pg_restore import Options
from holdfast.model.target import Target
from holdfast.stores.base import Store
from holdfast.streams import age_keys
from support import scripts

SURVIVED = 99


def die() -> None:
    """End as the kernel ends a process that is out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(slots=True)
class Point:
    """Where to die."""

    kind: str = ""
    name: str = ""
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Point:
        """Read a point as the docstring of this module tells."""
        kind, _, rest = text.partition(":")
        if kind == "stage":
            name, _, number = rest.partition("#")
            return cls(kind, name, int(number or 1))
        if kind == "bytes":
            name, _, number = rest.rpartition(":")
            return cls(kind, name, int(number))
        return cls(kind, rest)

    def stage(self, name: str) -> None:
        """Count the stages of our name."""
        if (self.kind, self.name) == ("stage", name):
            self.count -= 1
            if self.count == 0:
                die()


@dataclass(slots=True)
class Fatal:
    """A reporter that says nothing, and is deadly after so many bytes."""

    point: Point

    def info(self, event: str, **facts: object) -> None:
        pass

    def warn(self, event: str, **facts: object) -> None:
        pass

    @contextmanager
    def progress(self, label: str, _total: int) -> Iterator[Callable[[int], None]]:
        def show(count: int) -> None:
            if (self.point.kind, self.point.name) == ("bytes", label):
                self.point.count -= count
                if self.point.count <= 0:
                    die()

        yield show

    def doing(self, what: str) -> None:
        pass


@dataclass(slots=True)
class FatalStore:
    """A store before another one; a put of our key is deadly after the first half of its first chunk."""

    inner: Store
    point: Point
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.inner.name

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        store, _, end = self.point.name.partition(":")
        head, star, tail = end.partition("*")
        named = key.rpartition("/")[2].startswith(head) and key.endswith(tail) if star else key.endswith(end)
        fatal = self.point.kind == "put" and store == self.name and named
        return self.inner.put(key, _half(chunks) if fatal else chunks, absent=absent)


def _half(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk[: len(chunk) // 2]
        die()


def run(config: Path, text: str, pid: int | None, *, job: str) -> None:
    """Do the job for every target of the config, and die at the point."""
    point = Point.parse(text)
    with open_app(config, (), reporter=Fatal(point), quiet=True) as app:
        services = dataclasses.replace(
            app.writing_services(),
            stage=point.stage,
            stores={name: FatalStore(store, point) for name, store in app.services.stores.items()},  # type: ignore[misc]
            pid=os.getpid() if pid is None else pid,
        )
        for target in app.targets:
            JOBS[job](app, services, target)


def _newest(services: Services, target: Target) -> Opened:
    return open_best(services, services.ledger.backups(target.name)[0])


def _restore(app: App, services: Services, target: Target, jobs: int = 1) -> None:
    opened = _newest(services, target)
    wish = restore.Wish(
        into=destination(app, None, target.name),
        database=opened.backup.databases[0],
        rename=HALF,
        roles=True,
        options=Options(jobs=jobs),
    )
    restore.restore(services, opened, wish, app.stop)


def _beside(app: App, services: Services, target: Target) -> None:
    wish = TablesWish(into=destination(app, None, target.name), rename={"item": "item_back"})
    restore_tables(services, _newest(services, target), wish, app.stop)


def _swapped(app: App, services: Services, target: Target) -> None:
    opened = _newest(services, target)
    wish = restore.Wish(into=destination(app, None, target.name), database=opened.backup.databases[0])
    restore_swapped(services, opened, wish, app.stop)


def _import(app: App, services: Services, target: Target) -> None:
    wish = scripts.wish(app.config.daemon.state_dir.parent / "dumps", "{database}_%Y%m%d.dump")
    import_dumps(services, target, wish, app.stop)


def _restore_objects(app: App, services: Services, target: Target) -> None:
    found = storage_restore.choose(services, target, "latest")
    to = Folder(app.config.daemon.state_dir.parent / OUT)
    storage_restore.restore(services, target, found, to, storage_restore.Choice(overwrite=True), app.stop)


def _copy_anew(app: App, services: Services, target: Target) -> None:
    theirs = age_keys.read_identity_file(app.config.daemon.state_dir.parent / THEIRS).identities[0]
    rows = services.ledger.backups(target.name)
    done = copy_to(services, target.name, rows, "b", (theirs.recipient,), app.stop)
    for _, _, error in done.failed:
        raise error


THEIRS = "theirs.txt"  # the identity of those whom copies are encrypted to anew
OUT = "out"  # where files of buckets are restored
HALF = "half"  # what the restored database is called
JOBS: dict[str, Callable[[App, Services, Target], object]] = {
    "backup": lambda app, services, target: backup(services, target, app.stop),
    "prune": lambda app, services, target: complain(prune(services, target, app.stop, wish=Wish())),
    "copy": lambda app, services, target: catch_up(services, target, app.stop),
    "copy anew": _copy_anew,
    "restore_test": lambda app, services, target: run_one(
        services, _newest(services, target), target.restore_test, app.stop
    ),
    "restore": _restore,
    "restore by two": lambda app, services, target: _restore(app, services, target, 2),
    "restore beside": _beside,
    "restore swapped": _swapped,
    "import": _import,
    "objects": lambda app, services, target: storage_save.save(services, target, app.stop),
    "restore_objects": _restore_objects,
}


def serve() -> None:
    """Answer each order on stdin with how its child ended."""
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                os.environ["TMPDIR"] = tempfile.tempdir = order["tmp"]
                run(Path(order["config"]), order["point"], order["pid"], job=order["job"])
            finally:
                sys.stderr.flush()
                os._exit(SURVIVED)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


@contextmanager
def killer() -> Iterator[Callable[..., int]]:
    """Start the process; the callable takes a config, a point and perhaps the pid that the child gives as its own.

    It returns how the child ended: -9, or SURVIVED.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, "-m", "support.kill_driver"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        orders, answers = process.stdin, process.stdout

        def kill(config: Path, point: str, pid: int | None = None, *, job: str = "backup") -> int:
            order = {
                "config": str(config),
                "point": point,
                "pid": pid,
                "job": job,
                "tmp": tempfile.gettempdir(),
            }
            print(json.dumps(order), file=orders, flush=True)
            return int(answers.readline())

        yield kill


if __name__ == "__main__":
    serve()
