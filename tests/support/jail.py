"""An empty directory with a few programs in it and the libraries that they need, and commands run there, by chroot(2)."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from support.machine import program

# What every Linux has, of which a restore by hand makes use.
UNIX = ("bash", "cat", "cp", "cut", "grep", "ls", "sed", "sha256sum")
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")


@dataclass(frozen=True, slots=True)
class Jail:
    """The directory; what runs in it sees nothing else of this machine but its network."""

    root: Path

    def put(self, path: Path) -> None:
        """Copy a file or a directory to the same place in here."""
        target = self.root / str(path).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target)
        elif not target.exists():
            shutil.copy(path, target)

    def install(self, programs: Iterable[str | Path]) -> None:
        """Bring programs, by name or by path, into /usr/bin, and their libraries."""
        for each in programs:
            path = Path(program(str(each)))
            target = self.root / "usr" / "bin" / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path.resolve(), target)
            linked = subprocess.run(
                [program("ldd"), path.resolve()], capture_output=True, text=True, check=False
            ).stdout
            for library in _LIBRARY.findall(linked):
                self.put(Path(library))

    def bash(self, script: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a script to the first command that fails, in the home directory, as root of a namespace of its own."""
        for folder in ("root", "tmp", "usr/bin"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            [
                *(program("unshare"), "--map-root-user", f"--root={self.root}", "--wd=/root"),
                *("/usr/bin/bash", "-e"),
            ],
            input=script,
            env={"PATH": "/usr/bin", "HOME": "/root", **env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
