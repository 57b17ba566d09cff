"""The cluster of a restore test holds its server in: what is restored may run programs there, and reaches nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from holdfast.model.errors import CouldNotTestError
from holdfast.postgres import confined, scratch_home, tools
from holdfast.postgres.confined import Confined, Confinement, confined_cluster
from holdfast.system import cage
from holdfast.system.stop import Stop
from support.postgres import execute, query

SECRET = "AGE-SECRET-KEY-OF-THE-TEST"


def _cluster(confinement: Confinement) -> AbstractContextManager[Confined]:
    return confined_cluster(
        bin_dir=tools.find_servers()[0].bin_dir,
        parent=None,
        superuser="admin",
        confinement=confinement,
        stop=Stop(),
    )


@pytest.fixture(scope="module")
def hidden() -> Path:
    return Path("/usr/share/doc")


@pytest.fixture(scope="module")
def inside(hidden: Path) -> Iterator[Confined]:
    with _cluster(Confinement(hidden=(hidden,))) as cluster:
        execute(cluster.conninfo, "CREATE TABLE said (line text)")
        yield cluster


def _run(cluster: Confined, program: str) -> list[str]:
    """Run a program as restored code can; give what it says."""
    quoted = f"({program}) 2>&1 | tr '\\t' ' '; true".replace("'", "''")
    execute(cluster.conninfo, "TRUNCATE said", f"COPY said FROM PROGRAM '{quoted}'")
    return [str(line) for (line,) in query(cluster.conninfo, "SELECT line FROM said")]


def test_it_is_isolated_and_has_the_name_of_its_superuser(inside: Confined) -> None:
    assert inside.isolation == confined.ISOLATED
    assert query(inside.conninfo, "SELECT current_user::text, current_setting('fsync')") == [("admin", "off")]


@pytest.mark.fault("attack.code")
def test_restored_code_sees_no_file_of_the_host(inside: Confined, hidden: Path, open_dir: Path) -> None:
    (open_dir / "identity.txt").write_text(SECRET)
    said = _run(
        inside, f"cat {open_dir}/identity.txt; ls /root /home /etc/shadow {inside.folder}/log; ls {hidden}"
    )
    assert len(said) == 6
    assert all("No such file" in line or "Permission denied" in line for line in said)
    assert SECRET not in " ".join(said)


def test_restored_code_sees_no_process_of_the_host(inside: Confined) -> None:
    said = _run(inside, "cat /proc/[0-9]*/comm")
    assert {line for line in said if "No such file" not in line} <= {"postgres", "sh", "cat", "tr"}


@pytest.mark.fault("attack.code")
def test_restored_code_reaches_no_network(inside: Confined) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = _run(inside, f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached'")
    assert "reached" not in said
    assert any("refused" in line for line in said)


@pytest.mark.fault("attack.code")
def test_restored_code_writes_nowhere_else_and_gains_nothing(inside: Confined) -> None:
    said = _run(inside, "touch /usr/x; touch /x; touch /etc/x; id -u; grep NoNewPrivs /proc/self/status")
    assert sum("Read-only" in line for line in said) == 3
    assert "0" not in said


def test_the_server_cannot_lead_us_to_another(inside: Confined) -> None:
    _run(inside, f"cd {inside.folder}/run && rm .s.PGSQL.5432 && ln -s /elsewhere .s.PGSQL.5432")
    assert query(inside.conninfo, "SELECT 1") == [(1,)]


@pytest.mark.fault("memory")
def test_the_first_to_die_when_memory_runs_out(inside: Confined) -> None:
    assert int(Path(f"/proc/{inside.pid}/oom_score_adj").read_text()) > 0


_CHILD = """
import sys, time
from pathlib import Path
from holdfast.postgres import tools
from holdfast.postgres.confined import Confinement, confined_cluster
from holdfast.system.stop import Stop
with confined_cluster(bin_dir=tools.find_servers()[0].bin_dir, parent=Path(sys.argv[1]), superuser="admin",
                      confinement=Confinement(required=sys.argv[2] == "yes"), stop=Stop()) as cluster:
    print(cluster.isolation, cluster.pid, cluster.folder, flush=True)
    time.sleep(100)
"""


def _servers(folder: str) -> list[int]:
    """The processes that still work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if folder.encode() in (path / "cmdline").read_bytes() and int(path.name) != os.getpid():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def _gone(folder: str) -> bool:
    for _ in range(100):
        if not _servers(folder):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.fault("kill.restore_test")
def test_a_kill_leaves_no_process_and_the_next_run_sweeps(
    open_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(open_dir), "yes"], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    isolation, _, folder = child.stdout.readline().split()
    assert isolation == confined.ISOLATED
    assert _servers(folder)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert _gone(folder)
    assert Path(folder).exists()
    monkeypatch.setattr(scratch_home, "_UNLOCKED_SECONDS", -1)
    scratch_home.sweep(open_dir)
    assert not Path(folder).exists()


@pytest.mark.fault("test.unable")
def test_without_isolation_there_is_no_test_unless_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cage, "_SYSTEM", ())  # a cage in which nothing can run
    with pytest.raises(CouldNotTestError, match="isolated"), _cluster(Confinement()):
        pass


@pytest.mark.extended
def test_where_it_is_allowed_a_cluster_that_is_not_isolated_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cage, "_SYSTEM", ())
    with _cluster(Confinement(required=False)) as cluster:
        assert cluster.isolation.startswith("not isolated: ")
        assert query(cluster.conninfo, "SELECT 1") == [(1,)]
        assert Path(f"/proc/{cluster.pid}").stat().st_uid != 0


@pytest.mark.extended
def test_a_kill_leaves_nothing_of_a_cluster_that_is_not_isolated(open_dir: Path) -> None:
    loose = f"from holdfast.system import cage; cage._SYSTEM = ()\n{_CHILD}"
    child = subprocess.Popen(
        [sys.executable, "-c", loose, str(open_dir), "no"], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    folder = child.stdout.readline().split()[-1]
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert _gone(folder)


@pytest.mark.extended
@pytest.mark.skipif(os.geteuid() != 0, reason="takes a power away that only root has")
def test_a_user_namespace_isolates_as_well(open_dir: Path) -> None:
    weak = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    child = subprocess.Popen(
        [*weak, sys.executable, "-c", _CHILD, str(open_dir), "yes"], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    isolation, _, folder = child.stdout.readline().split()
    assert isolation == confined.ISOLATED
    child.terminate()
    child.wait()
    child.stdout.close()
    assert _gone(folder)


@pytest.mark.fault("test.unable")
def test_room_that_is_not_there_is_said_in_numbers(tmp_path: Path) -> None:
    with pytest.raises(CouldNotTestError, match="bytes free"):
        confined.require_room(tmp_path, 2**62)
