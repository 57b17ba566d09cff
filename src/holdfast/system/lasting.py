"""Tells whether what is written into a directory goes away with the container, or at the next boot."""

from __future__ import annotations

import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")
# What Docker, Podman and containerd make by themselves where an image declares a volume and nobody mounts one.
_NAMELESS = re.compile(r"/(volumes/[0-9a-f]{64}/_data|containers/[0-9a-f]{64}/volumes/[^/]+)$")
_EMPTY_DIR = "/kubernetes.io~empty-dir/"


def passing(path: Path) -> str | None:
    """Say in what a directory lies that does not last; None where it lasts, or where nobody can tell."""
    return where_it_passes(_mounts(), path.resolve())


def is_meant_to_pass(path: Path) -> bool:
    """Whether somebody gave a directory to a pod for its life only: an emptyDir of Kubernetes."""
    return _EMPTY_DIR in _mounted(_mounts(), path.resolve())[1]


def where_it_passes(mounts: str, path: Path) -> str | None:
    """As `passing`, by the text of /proc/self/mountinfo."""
    kind, root = _mounted(mounts, path)
    if kind == "tmpfs":
        return "in memory (tmpfs)"
    if kind in {"overlay", "aufs"}:
        return "in a container's own files"
    return (
        "in a volume without a name, which a new container does not get" if _NAMELESS.search(root) else None
    )


def _mounted(mounts: str, path: Path) -> tuple[str, str]:
    """The type of the file system that a path lies in, and which of its directories is mounted there (man 5 proc)."""
    depth, found = 0, ("", "")
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        root, point = (
            _ESCAPED.sub(lambda code: chr(int(code[1], 8)), word) for word in fields.split(" ")[3:5]
        )
        here = len(Path(point).parts)
        if (
            path.is_relative_to(point) and here >= depth
        ):  # of two at one point the later one covers the earlier
            depth, found = here, (rest.split(" ")[0], root)
    return found


def _mounts() -> str:
    try:
        return _MOUNTS.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
