"""A Debian machine with a real systemd, in a container of systemd-nspawn that reaches nothing but itself.

Debian's packages are unpacked once, into `.cache` in the repository; every machine is a copy.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = "/usr/src/holdfast"  # where the repository lies in a machine
PACKAGES = ("systemd", "systemd-sysv", "dbus", "python3-venv", "postgresql", "ca-certificates")
SECONDS = 60.0
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
Found = TypeVar("Found")
_END = signal.SIGRTMIN + 4  # systemd's word for: power off


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine; `pid` is its systemd, or None where nothing runs yet and commands get the network."""

    root: Path
    pid: int | None = None

    def run(self, *argv: str, stdin: str = "", code: int = 0) -> str:
        """Run a command as root; it has to end with this code. Give what it printed."""
        done = subprocess.run(
            [*self._enter(), *argv],
            env=_environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == code, f"{argv}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def does(self, *argv: str) -> bool:
        """Tell whether a command ends with 0."""
        done = subprocess.run([*self._enter(), *argv], capture_output=True, timeout=60, check=False)
        return done.returncode == 0

    def shell(self, script: str, stdin: str = "") -> str:
        """Run lines of a shell in the repository, up to the first that fails."""
        return self.run("sh", "-euc", f"cd {SOURCE}\n{script}", stdin=stdin)

    def _enter(self) -> list[str]:
        if self.pid is None:
            return ["chroot", str(self.root)]
        return ["nsenter", f"--target={self.pid}", "--all"]

    def path(self, inside: str) -> Path:
        """Where a file of the machine is from outside."""
        return self.root / inside.lstrip("/")


@contextmanager
def machine(suite: str = "bookworm") -> Iterator[Machine]:
    """Make a machine with the repository in it, not started."""
    with tempfile.TemporaryDirectory(prefix="holdfast-machine-") as folder:
        root = Path(folder, "root")
        _checked("cp", "--archive", "--reflink=auto", unpacked(suite, PACKAGES), root)
        copy_repository(root / SOURCE.lstrip("/"))
        yield Machine(root=root)


@contextmanager
def booted(made: Machine) -> Iterator[Machine]:
    """Start the machine's systemd; at the end power it off."""
    argv = ["systemd-nspawn", "--quiet", f"--directory={made.root}", "--boot", "--register=no", "--keep-unit"]
    log = made.root.with_name("boot.log")
    with (
        log.open("w") as out,
        subprocess.Popen(
            [program(argv[0]), *argv[1:], "--private-network", "--console=pipe"], stdout=out, stderr=out
        ) as nspawn,
    ):
        try:
            pid = int(awaited(lambda: _children(nspawn.pid), log.read_text)[0])
            running = Machine(root=made.root, pid=pid)
            awaited(lambda: running.does("systemctl", "is-active", "multi-user.target"), log.read_text)
            yield running
        finally:
            for child in _children(nspawn.pid):
                os.kill(int(child), _END)
            try:
                nspawn.wait(SECONDS)
            finally:
                nspawn.kill()


def unpacked(suite: str, packages: tuple[str, ...] = ()) -> Path:
    """A directory with a small Debian, made by debootstrap when it is not there yet; not to be written to."""
    path = ROOT / ".cache" / "debian" / suite
    if not path.exists():
        unfinished = path.with_name(f"{suite}.{os.getpid()}")
        unfinished.mkdir(parents=True)
        try:
            include = [f"--include={','.join(packages)}"] if packages else []
            _checked(
                program("debootstrap"),
                "--variant=minbase",
                *include,
                suite,
                unfinished,
                "http://deb.debian.org/debian",
            )
            # Whom this machine trusts on its way to the registries, the other one trusts, too.
            for trusted in (_CERTIFICATES, *Path("/usr/local/share/ca-certificates").glob("*.crt")):
                target = unfinished / trusted.relative_to("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(trusted, target)
            unfinished.rename(path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return path


def copy_repository(to: Path) -> None:
    """Copy what git would hand over: the files that it knows, as they are now."""
    names = subprocess.run(
        [program("git"), "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def program(name: str) -> str:
    """Where a program of the extended suite is; without it the test fails."""
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} not found: script/bootstrap --extended installs it")
    return path


def awaited(look: Callable[[], Found], said: Callable[[], str], seconds: float = SECONDS) -> Found:
    """Look until something is found; `said` tells what happened meanwhile when nothing is."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, said()
        time.sleep(0.2)
    return found


def _children(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def _checked(*argv: str | Path) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, f"{argv}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def _environment() -> dict[str, str]:
    pip = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PIP_") or name.endswith("_proxy")
    }
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        **pip,
        "PIP_CERT": str(_CERTIFICATES),
    }
