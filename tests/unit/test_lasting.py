"""Where a directory lies that goes away with its container, as /proc/self/mountinfo tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.system import lasting

HEX = "0123456789abcdef" * 4
STATE = Path("/var/lib/holdfast")
ROOT = "30 20 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/a\n"


def at_state(root: str, kind: str = "ext4") -> str:
    return f"31 30 8:1 {root} /var/lib/holdfast rw,relatime shared:7 - {kind} /dev/sda1 rw\n"


@pytest.mark.parametrize(
    ("mounts", "word"),
    [
        (ROOT, "container's own files"),
        (ROOT + at_state("/", "tmpfs"), "in memory"),
        (ROOT + at_state(f"/var/lib/docker/volumes/{HEX}/_data"), "without a name"),
        (ROOT + at_state(f"/srv/containers/storage/volumes/{HEX}/_data"), "without a name"),
        (
            ROOT + at_state(f"/var/lib/containerd/io.containerd.grpc.v1.cri/containers/{HEX}/volumes/{HEX}"),
            "without a name",
        ),
    ],
)
def test_what_goes_with_the_container_is_told(mounts: str, word: str) -> None:
    assert word in (lasting.where_it_passes(mounts, STATE) or "")


@pytest.mark.parametrize(
    "mounts",
    [
        "30 20 8:1 / / rw - ext4 /dev/sda1 rw\n",
        ROOT + at_state("/var/lib/docker/volumes/holdfast/_data"),
        ROOT + at_state("/", "tmpfs") + at_state("/srv/state"),  # mounted over
        ROOT + at_state("/var/lib/kubelet/pods/1/volumes/kubernetes.io~empty-dir/state"),  # meant to
        ROOT + at_state("/pods/x/volumes/kubernetes.io~csi/pvc-1/mount"),
    ],
)
def test_what_lasts_is_not(mounts: str) -> None:
    assert lasting.where_it_passes(mounts, STATE) is None


def test_a_mount_with_a_space_in_its_name_is_found() -> None:
    mounts = "30 20 8:1 / / rw - ext4 /dev/sda1 rw\n31 30 0:9 / /my\\040state rw - tmpfs tmpfs rw\n"
    assert lasting.where_it_passes(mounts, Path("/my state/holdfast")) == "in memory (tmpfs)"
    assert lasting.where_it_passes(mounts, Path("/my")) is None
