"""A real pgbouncer before a cluster. Needs the Debian package pgbouncer."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.postgres.scratch import Cluster


@contextmanager
def pgbouncer(cluster: Cluster, mode: str) -> Iterator[str]:
    """Run one over TCP in a pool mode; give the URL of the cluster's superuser through it. `cluster` listens on TCP."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "pgbouncer not found: install it (script/bootstrap --extended)"
    assert cluster.tcp is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        config = Path(name) / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={cluster.tcp.params['port']} user=postgres"
            f" password={cluster.tcp.password}\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\n"
            f"unix_socket_dir=\nauth_type=any\nadmin_users=postgres\npool_mode={mode}\n"
            "ignore_startup_parameters=extra_float_digits,options\n"
        )
        user = {}
        if os.geteuid() == 0:  # it refuses to run as root
            nobody = pwd.getpwnam("nobody")
            os.chown(config, nobody.pw_uid, nobody.pw_gid)
            Path(name).chmod(0o755)
            user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        with (Path(name) / "log").open("wb") as log:
            process = subprocess.Popen([program, str(config)], stdout=log, stderr=log, cwd="/", **user)  # type: ignore[call-overload]
        try:
            _await(port)
            yield f"host=127.0.0.1 port={port} user=postgres dbname=postgres"
        finally:
            process.kill()
            process.wait()


def _await(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("pgbouncer did not start")
