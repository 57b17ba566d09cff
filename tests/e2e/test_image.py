"""The image: small, without rights, with a scheduled backup in it, healthy or not, and gone in time when told to stop."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import world
from support.containers import Engine, engine
from support.machine import ROOT, awaited
from support.prometheus import free_ports

pytestmark = [
    pytest.mark.extended,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root builds images without an engine"),
]

IMAGE, PROVER = "localhost/holdfast:test", "localhost/holdfast:prover"
USER = 10001
PASSWORD = "pass-w0rd-of-the-role"
HARDENED = (
    "--read-only",
    "--tmpfs=/tmp",
    "--tmpfs=/var/tmp",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)
# A server in the prover's image: what stands in for somebody's database.
SERVER = """
umask 077; printf %s "$PASSWORD" >/tmp/password
cd /usr/lib/postgresql/17/bin
./initdb --pgdata=/tmp/data --auth=scram-sha-256 --username=holdfast --pwfile=/tmp/password --no-sync >/tmp/log
exec ./postgres -D /tmp/data -k /tmp -p "$PORT" -c listen_addresses=127.0.0.1
"""


@pytest.fixture(scope="module")
def images() -> Iterator[Engine]:
    """An engine with both images."""
    with engine() as made:
        made.build(IMAGE, "holdfast")
        made.build(PROVER, "prover")
        yield made


@pytest.fixture(scope="module")
def database(images: Engine) -> Iterator[str]:
    """The URL of a server, without its password."""
    [port] = free_ports(1)
    settings = (f"--env=PASSWORD={PASSWORD}", f"--env=PORT={port}", "--entrypoint=sh")
    with images.container("database", *settings, PROVER, "-euc", SERVER) as name:
        awaited(lambda: "ready to accept connections" in images.said(name), lambda: images.said(name))
        yield f"postgresql://holdfast@127.0.0.1:{port}"


def test_the_dockerfile_has_no_bad_habits() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    assert linter.exists(), "script/bootstrap --extended installs it"
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_is_small_and_has_no_rights(images: Engine) -> None:
    facts = images.inspect(IMAGE)
    base = images.inspect("docker.io/library/debian:trixie-slim")
    assert facts["Size"] - base["Size"] < 200_000_000
    config = facts["Config"]
    assert config["User"] == f"{USER}:{USER}"
    assert (config["Entrypoint"], config["Cmd"]) == (["holdfast"], ["run"])
    assert facts["Healthcheck"]["Test"] == ["CMD", "holdfast", "health", "--quiet"]
    left = images.podman(
        "run",
        "--rm",
        "--network=none",
        "--entrypoint=sh",
        IMAGE,
        "-c",
        "ls /opt/holdfast/bin; command -v curl wget pip gcc || true",
    )
    assert not re.search(r"(?m)^(.*/)?(curl|wget|pip3?|gcc|hatchling)$", left)
    assert images.podman("run", "--rm", "--network=none", "--entrypoint=id", IMAGE).startswith(
        f"uid={USER}(holdfast) gid={USER}(holdfast)"
    )


def test_a_scheduled_backup_health_and_a_clean_stop(images: Engine, database: str, tmp_path: Path) -> None:
    recipient = world.write_keys(tmp_path)
    for name in ("store", "state"):
        (tmp_path / name).mkdir()
    (tmp_path / "holdfast_password").write_text(PASSWORD)
    for path in (tmp_path, *tmp_path.iterdir()):
        os.chown(path, USER, USER)
    [port] = free_ports(1)
    settings = {
        "HOLDFAST_URL": database,
        "HOLDFAST_STORE": "/store",
        "HOLDFAST_RECIPIENT": recipient,
        "HOLDFAST_ENCRYPTION__SIGNING_KEY_FILE": "/run/secrets/signing.key",
        "HOLDFAST_TARGETS__MAIN__EVERY": "5s",
        "HOLDFAST_DAEMON__LISTEN": f"0.0.0.0:{port}",
    }
    mounts = {
        "store": "/store",
        "state": "/var/lib/holdfast",
        "holdfast_password": "/run/secrets/holdfast_password",
        "signing.key": "/run/secrets/signing.key",
    }
    with images.container(
        "daemon",
        *HARDENED,
        *(f"--env={key}={value}" for key, value in settings.items()),
        *(f"--volume={tmp_path / name}:{inside}" for name, inside in mounts.items()),
        IMAGE,
    ) as name:
        awaited(lambda: "run succeeded" in images.said(name), lambda: images.said(name))
        assert images.podman("healthcheck", "run", name).strip() in {"", "healthy"}
        assert "SAFE  main" in images.podman("exec", name, "holdfast", "status")
        assert images.podman("exec", name, "cat", "/proc/1/comm").strip() == "holdfast", (
            "a shell stands between"
        )
        awaited(lambda: images.said(name).rstrip().endswith("trigger=schedule"), lambda: images.said(name))
        began = time.monotonic()
        images.podman("stop", name)
        assert time.monotonic() - began < 10
        assert images.inspect(name)["State"]["ExitCode"] == 0
        assert "the daemon has ended" in images.said(name)
    config = {
        "HOLDFAST_STORE": str(tmp_path / "store"),
        "HOLDFAST_ENCRYPTION__IDENTITY_FILE": str(tmp_path / "identity.txt"),
    }
    done = world.cli(
        "verify",
        "latest",
        env={**config, "HOLDFAST_DAEMON__STATE_DIR": str(tmp_path / "other")},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_composition_makes_its_secrets_once_and_each_for_its_reader(
    images: Engine, tmp_path: Path
) -> None:
    volumes = {name: tmp_path / name for name in ("secrets", "identity", "backups")}
    for path in volumes.values():
        path.mkdir()
    mounts = {"secrets": "/secrets", "identity": "/identity", "backups": "/var/backups/holdfast"}
    script = f"--volume={ROOT / 'deploy/compose/setup.sh'}:/setup.sh:ro"
    hardened = ("--user=0:0", "--network=none", "--read-only", "--cap-drop=ALL", "--cap-add=CHOWN")
    places = tuple(f"--volume={volumes[name]}:{inside}" for name, inside in mounts.items())

    def set_up() -> dict[str, tuple[int, int, int, bytes]]:
        images.podman("run", "--rm", *hardened, script, *places, "--entrypoint=sh", IMAGE, "/setup.sh")
        found = {path: path.stat() for folder in volumes.values() for path in folder.iterdir()}
        return {
            path.name: (facts.st_uid, facts.st_gid, facts.st_mode & 0o777, path.read_bytes())
            for path, facts in found.items()
        }

    first = set_up()
    assert {name: facts[:3] for name, facts in first.items()} == {
        "postgres_password": (999, 999, 0o400),
        "holdfast_password": (USER, 999, 0o440),
        "grafana_password": (472, 0, 0o400),
        "recipient.txt": (USER, USER, 0o400),
        "signing.key": (USER, USER, 0o400),
        "identity.txt": (USER, USER, 0o400),
    }
    assert first["recipient.txt"][3].startswith(b"age1")
    assert len({facts[3] for name, facts in first.items() if "password" in name}) == 3
    assert volumes["backups"].stat().st_uid == USER
    assert set_up() == first


def test_one_that_is_not_well_is_said_to_be_unhealthy(images: Engine) -> None:
    settings = ("--env=HOLDFAST_STORE=/var/backups/holdfast", "--entrypoint=sleep")
    with images.container("asleep", *settings, IMAGE, "60") as name:
        images.podman("healthcheck", "run", name, code=1)


def test_the_prover_restores_into_servers_of_its_own(images: Engine) -> None:
    said = images.podman("run", "--rm", "--network=host", *HARDENED, PROVER, "demo")
    assert "Both servers are identical to the original." in said


def test_the_prover_shuts_its_servers_in(images: Engine) -> None:
    script = f"--volume={ROOT / 'tests/support/shut_in.py'}:/shut_in.py:ro"
    run = ("run", "--rm", "--network=none", *HARDENED, script, "--entrypoint=/opt/holdfast/bin/python")
    assert "the server is isolated" in images.podman(*run, PROVER, "/shut_in.py")


@pytest.mark.parametrize("library", ["vector", "pg_cron", "pg_stat_statements"])
def test_the_prover_has_the_common_extensions(images: Engine, library: str) -> None:
    images.podman(
        "run",
        "--rm",
        "--network=none",
        "--entrypoint=ls",
        PROVER,
        f"/usr/share/postgresql/17/extension/{library}.control",
    )
