"""rclone's S3 server on loopback, over a directory. It takes conditions and ignores them."""

from __future__ import annotations

import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ACCESS_KEY = "AKIDRCLONE"
SECRET_KEY = "secret-of-a-throwaway-server"
_PATIENCE = 30.0


@contextmanager
def rclone_server() -> Iterator[str]:
    """Start the server with a bucket named `backups`; give its URL."""
    program = Path(sysconfig.get_path("scripts"), "rclone")
    if not program.exists():
        raise RuntimeError("rclone not found: script/bootstrap --extended installs it")
    with tempfile.TemporaryDirectory(prefix="rclone-") as home:
        (Path(home) / "data/backups").mkdir(parents=True)
        port = _free_port()
        argv = [str(program), "serve", "s3", f"{home}/data", "--addr", f"127.0.0.1:{port}"]
        argv += ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", "--config", f"{home}/none", "--cache-dir", home]
        argv += ["--vfs-cache-mode", "off"]
        process = subprocess.Popen(argv, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            _await(process, port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError("rclone did not come up")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
