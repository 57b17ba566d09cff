"""A real S3 server on loopback: Ceph's gateway with one monitor and one storage daemon, thrown away afterwards.

Needs the Debian packages radosgw, ceph-mon and ceph-osd, and root. Start-up takes some 20 seconds.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ACCESS_KEY = "AKIDCEPHTEST"
SECRET_KEY = "secret-of-a-throwaway-gateway"
TOOLS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "ceph-authtool", "monmaptool")
PATIENCE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cluster:
    home: Path
    fsid: str
    monitor: str
    gateway_port: int

    @property
    def config(self) -> Path:
        return self.home / "ceph.conf"

    def log(self, name: str) -> Path:
        return self.home / "log" / f"{name}.out"

    def run(self, *argv: str) -> None:
        """Run a tool to its end; raise with what it said unless it exited 0."""
        done = subprocess.run(
            argv,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(
                f"{' '.join(argv)} exited with {done.returncode}: {done.stdout.decode()[-2000:]}"
            )

    def answers(self, *argv: str) -> str:
        done = subprocess.run(
            argv, env=self.environment(), capture_output=True, timeout=PATIENCE, check=False
        )
        return done.stdout.decode()

    def environment(self) -> Mapping[str, str]:
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"),
            "CEPH_CONF": str(self.config),
        }

    @contextmanager
    def daemon(self, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a daemon in the foreground until the `with` ends."""
        with self.log(argv[0]).open("wb") as out:
            process = subprocess.Popen(
                argv, env=self.environment(), stdout=out, stderr=out, start_new_session=True
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def keys_of(user: str) -> tuple[str, str]:
    """Give the access key and the secret of a further user."""
    return f"AKID{user.upper()}", f"secret-of-the-{user}"


@contextmanager
def ceph_gateway(*users: str) -> Iterator[str]:
    """Run a gateway, with these users besides the one with our keys; give its URL. Fails, naming the packages, where Ceph is not installed."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise RuntimeError(
            f"{', '.join(missing)} not found: install radosgw ceph-mon ceph-osd (script/bootstrap --extended)"
        )
    with ExitStack() as stack:
        home = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="ceph-", ignore_cleanup_errors=True))
        )
        monitor_port, gateway_port = _free_ports(2)
        cluster = _Cluster(
            home=home,
            fsid=str(uuid.uuid4()),
            monitor=f"v2:127.0.0.1:{monitor_port}/0",
            gateway_port=gateway_port,
        )
        _configure(cluster)
        _start_monitor(cluster, stack)
        _start_storage(cluster, stack)
        _start_gateway(cluster, stack, users)
        yield f"http://127.0.0.1:{gateway_port}"


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in found]


def _configure(cluster: _Cluster) -> None:
    for name in ("mon", "osd", "run", "log", "rgw"):
        (cluster.home / name).mkdir()
    cluster.config.write_text(_CONFIG.format(c=cluster, home=cluster.home))


def _start_monitor(cluster: _Cluster, stack: ExitStack) -> None:
    keyring, monmap = str(cluster.home / "keyring"), str(cluster.home / "monmap")
    every = ("--cap", "mon", "allow *")
    cluster.run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", *every)
    more = ("--cap", "osd", "allow *", "--cap", "mgr", "allow *")
    cluster.run("ceph-authtool", keyring, "--gen-key", "-n", "client.admin", *every, *more)
    address = f"[{cluster.monitor}]"
    cluster.run("monmaptool", "--create", "--clobber", "--fsid", cluster.fsid, "--addv", "a", address, monmap)
    cluster.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
    stack.enter_context(cluster.daemon("ceph-mon", "-i", "a", "-f"))


def _start_storage(cluster: _Cluster, stack: ExitStack) -> None:
    number = str(uuid.uuid4())
    cluster.run("ceph", "osd", "new", number)
    rights = ("mon", "allow profile osd", "osd", "allow *", "mgr", "allow profile osd")
    cluster.run(
        "ceph", "auth", "get-or-create", "osd.0", *rights, "-o", str(cluster.home / "osd" / "keyring")
    )
    cluster.run("ceph-osd", "-i", "0", "--mkfs", "--no-mon-config", "--osd-uuid", number)
    stack.enter_context(cluster.daemon("ceph-osd", "-i", "0", "-f"))
    _await("the storage daemon", lambda: "1 up" in cluster.answers("ceph", "osd", "stat"))


def _start_gateway(cluster: _Cluster, stack: ExitStack, users: tuple[str, ...]) -> None:
    every = {"test": (ACCESS_KEY, SECRET_KEY), **{user: keys_of(user) for user in users}}
    for user, (access, secret) in every.items():
        keys = ("--access-key", access, "--secret-key", secret)
        cluster.run("radosgw-admin", "user", "create", "--uid", user, "--display-name", user, *keys)
    process = stack.enter_context(cluster.daemon("radosgw", "-n", "client.admin", "-f"))

    def listens() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"radosgw ended: {cluster.log('radosgw').read_text()[-2000:]}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", cluster.gateway_port)) == 0

    _await("the gateway", listens)


def _await(what: str, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} did not come up within {PATIENCE:g} s")
        time.sleep(0.1)


_CONFIG = """\
[global]
fsid = {c.fsid}
mon_initial_members = a
mon_host = {c.monitor}
ms_bind_ipv4 = true
ms_bind_msgr1 = false
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
run_dir = {home}/run
admin_socket = {home}/run/$name.asok
log_file = {home}/log/$name.log
crash_dir = {home}/log
keyring = {home}/keyring
pid_file =
[mon]
mon_data = {home}/mon
[osd]
osd_data = {home}/osd
keyring = {home}/osd/keyring
osd_objectstore = bluestore
bluestore_block_size = 8589934592
bluestore_block_create = true
bluestore_fsck_on_mount = false
bluestore_cache_autotune = false
osd_memory_target = 939524096
osd_class_load_list = *
osd_class_default_list = *
osd_max_object_name_len = 460
[client]
rgw_frontends = beast endpoint=127.0.0.1:{c.gateway_port}
rgw_data = {home}/rgw
rgw_s3_auth_use_keystone = false
rgw_dns_name =
"""
