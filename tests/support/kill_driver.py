"""A process that forks once for each backup (or prune) it is told to do, and lets the child kill itself on the way.

    with killer() as kill:
        kill(config, "stage:manifest")

A point on the way is `stage:NAME` or `stage:NAME#2` (the second time), `bytes:LABEL:N` (after so many bytes of what
the reporter shows under the label) or `put:STORE:END` (half-way through the object whose key ends so). No point: the
backup runs to its end.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.app import open_app
from holdfast.jobs.backup import backup
from holdfast.jobs.prune import Wish, complain, prune
from holdfast.stores.base import Store

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
        fatal = self.point.kind == "put" and store == self.name and key.endswith(end)
        return self.inner.put(key, _half(chunks) if fatal else chunks, absent=absent)


def _half(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk[: len(chunk) // 2]
        die()


def run(config: Path, text: str, pid: int | None, *, job: str) -> None:
    """Take a backup of every target of the config, or prune it, and die at the point."""
    point = Point.parse(text)
    with open_app(config, (), reporter=Fatal(point), quiet=True) as app:
        services = dataclasses.replace(
            app.writing_services(),
            stage=point.stage,
            stores={name: FatalStore(store, point) for name, store in app.services.stores.items()},  # type: ignore[misc]
            pid=os.getpid() if pid is None else pid,
        )
        for target in app.targets:
            if job == "prune":
                complain(prune(services, target, app.stop, wish=Wish()))
            else:
                backup(services, target, app.stop)


def serve() -> None:
    """Answer each order on stdin with how its child ended."""
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
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
            order = {"config": str(config), "point": point, "pid": pid, "job": job}
            print(json.dumps(order), file=orders, flush=True)
            return int(answers.readline())

        yield kill


if __name__ == "__main__":
    serve()
