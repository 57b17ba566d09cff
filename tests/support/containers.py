"""Images built and containers run without any engine or registry but Debian's: buildah and podman in a place of their own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.machine import copy_repository, program, unpacked

BASE = "docker.io/library/debian:trixie-slim"
DEBIAN_ONLY = ("--build-arg=POSTGRES_APT=debian", "--build-arg=POSTGRES_MAJORS=17")
_CONFIG = """
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Builds images and runs containers, all kept in `folder`."""

    folder: Path

    def build(self, tag: str, target: str) -> None:
        """Build a stage of the Dockerfile from the repository as it is."""
        context = self.folder / "context"
        if not context.exists():
            copy_repository(context)
        where = ("--isolation=chroot", "--network=host", "--pull-never", "--format=docker", "--layers")
        self._run("buildah", "bud", *where, *DEBIAN_ONLY, f"--target={target}", f"--tag={tag}", str(context))

    def podman(self, *argv: str, code: int = 0) -> str:
        """Run podman; it has to end with this code. Give what it printed."""
        return self._run("podman", *argv, code=code)

    @contextmanager
    def container(self, name: str, *argv: str) -> Iterator[str]:
        """Run a container on this host's network until the `with` ends."""
        self.podman("run", "--detach", "--network=host", f"--name={name}", *argv)
        try:
            yield name
        finally:
            self.podman("rm", "--force", name)

    def inspect(self, name: str) -> dict[str, Any]:
        """What is known of an image or a container."""
        return dict(json.loads(self.podman("inspect", name))[0])

    def said(self, name: str) -> str:
        """What a container wrote to both its outputs."""
        return self._run("podman", "logs", name, errors=True)

    def _run(self, tool: str, *argv: str, code: int = 0, errors: bool = False) -> str:
        place = (f"--root={self.folder / 'storage'}", f"--runroot={self.folder / 'run'}")
        done = subprocess.run(
            [program(tool), *place, *argv],
            env={**os.environ, "CONTAINERS_CONF": str(self.folder / "containers.conf")},
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
        assert done.returncode == code, f"{argv}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + (done.stderr if errors else "")


@contextmanager
def engine() -> Iterator[Engine]:
    """An engine that has Debian's base image, made of its packages."""
    with tempfile.TemporaryDirectory(prefix="holdfast-containers-") as name:
        made = Engine(folder=Path(name))
        (made.folder / "containers.conf").write_text(_CONFIG)
        packed = made.folder / "debian.tar"
        subprocess.run(
            [
                program("tar"),
                f"--directory={unpacked('trixie')}",
                "--exclude=./dev/*",
                f"--file={packed}",
                "--create",
                ".",
            ],
            check=True,
        )
        made.podman("import", str(packed), BASE)
        packed.unlink()
        try:
            yield made
        finally:
            made.podman("rm", "--all", "--force")
            made.podman("rmi", "--all", "--force")
