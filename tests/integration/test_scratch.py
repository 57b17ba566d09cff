from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from holdfast.model.errors import ConfigError, SourceError
from holdfast.postgres import scratch_home, tools
from holdfast.postgres.conninfo import child
from holdfast.postgres.scratch import Cluster, scratch_cluster
from holdfast.system import proc
from holdfast.system.stop import Stop
from support.postgres import needs_own_libraries, query


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_cluster_runs_inside_the_with_and_leaves_nothing() -> None:
    with scratch_cluster() as cluster:
        assert query(cluster.conninfo, "SELECT 1") == [(1,)]
        assert query(cluster.conninfo, "SHOW server_encoding") == [("UTF8",)]
        assert _alive(cluster.pid)
    assert not _alive(cluster.pid)
    assert not cluster.data_dir.parent.exists()


def test_an_exception_ends_the_cluster_too() -> None:
    with pytest.raises(RuntimeError, match="mine"), scratch_cluster() as cluster:
        raise RuntimeError("mine")
    assert not _alive(cluster.pid)
    assert not cluster.data_dir.parent.exists()


def test_nobody_else_can_reach_its_files_or_its_socket(cluster: Cluster) -> None:
    assert stat.S_IMODE(cluster.data_dir.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(cluster.conninfo.params["host"]).stat().st_mode) == 0o700


def test_it_never_runs_as_root(cluster: Cluster) -> None:
    assert Path(f"/proc/{cluster.pid}").stat().st_uid != 0


def test_it_listens_on_no_network_unless_asked() -> None:
    with scratch_cluster() as cluster:
        assert cluster.tcp is None
        assert query(cluster.conninfo, "SHOW listen_addresses") == [("",)]


def test_over_tcp_it_asks_for_the_password(cluster: Cluster) -> None:
    assert cluster.tcp is not None
    assert query(cluster.tcp, "SELECT 1") == [(1,)]
    wrong = cluster.tcp.dsn().replace(str(cluster.tcp.password), "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


@pytest.mark.extended
def test_settings_reach_the_server() -> None:
    with scratch_cluster(settings={"log_line_prefix": "it's "}) as cluster:
        assert query(cluster.conninfo, "SHOW log_line_prefix") == [("it's ",)]
        assert query(cluster.conninfo, "SHOW fsync") == [("off",)]


def test_a_server_that_does_not_start_says_why() -> None:
    with (
        pytest.raises(SourceError, match="no_such_setting"),
        scratch_cluster(settings={"no_such_setting": "1"}),
    ):
        pass


def test_variables_of_another_server_do_not_lead_it_astray(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    strays = {"PGHOSTADDR": "192.0.2.1", "PGOPTIONS": "-c nonsense=1", "PGSSLMODE": "verify-full"}
    strays |= {"PGCHANNELBINDING": "require", "PGTARGETSESSIONATTRS": "standby", "PGSSLNEGOTIATION": "direct"}
    for name, value in {**strays, "PGREQUIREAUTH": "gss", "PGPASSWORD": "other"}.items():
        monkeypatch.setenv(name, value)
    _reachable(cluster)


def test_a_service_of_another_server_does_not_lead_it_astray(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    strays = (
        "host=db.example hostaddr=192.0.2.1 port=1 user=other password=other dbname=other sslmode=require"
    )
    strays += " channel_binding=require target_session_attrs=standby"
    lines = [*strays.split(), "options=-c nonsense=1"]
    (tmp_path / "services").write_text("\n".join(["[production]", *lines, ""]))
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    monkeypatch.setenv("PGSERVICE", "production")
    _reachable(cluster)


def _reachable(cluster: Cluster) -> None:
    """Our own sessions and those of programs reach the cluster, both ways."""
    assert cluster.tcp is not None
    assert query(cluster.conninfo, "SELECT 1") == query(cluster.tcp, "SELECT 1") == [(1,)]
    psql = tools.choose(tools.find_toolsets([cluster.bin_dir]), cluster.version_num).program("psql")
    for conninfo in (cluster.conninfo, cluster.tcp):
        with child(conninfo, application_name="test") as given:
            argv = [psql, "-XAtc", "SELECT 1", f"--dbname={conninfo.argv_dsn()}"]
            assert subprocess.check_output(argv, env=dict(given.env), pass_fds=given.pass_fds) == b"1\n"


@pytest.mark.extended
def test_a_long_parent_gets_a_short_socket() -> None:
    top = Path(tempfile.mkdtemp())
    top.chmod(0o711)
    parent = top / ("x" * 90)
    parent.mkdir()
    try:
        with scratch_cluster(parent=parent) as cluster:
            assert cluster.data_dir.is_relative_to(parent)
            assert query(cluster.conninfo, "SELECT 1") == [(1,)]
            sockets = Path(cluster.conninfo.params["host"])
        assert not sockets.exists()
    finally:
        shutil.rmtree(top)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another user")
def test_a_parent_out_of_the_servers_reach_is_a_config_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(ConfigError, match="cannot reach"), scratch_cluster(parent=tmp_path):
        pass


@pytest.mark.extended
@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another user")
def test_programs_out_of_the_servers_reach_are_copied(cluster: Cluster, tmp_path: Path) -> None:
    needs_own_libraries(cluster)
    tmp_path.chmod(0o700)
    shutil.copytree(cluster.bin_dir.parent, tmp_path / "pg", symlinks=True)
    try:
        with scratch_cluster(bin_dir=tmp_path / "pg" / "bin") as other:
            assert not other.bin_dir.is_relative_to(tmp_path)
            assert query(other.conninfo, "SELECT 1") == [(1,)]
    except SourceError as error:  # Debian's build finds its files by where it was installed
        pytest.fail(str(error))


def test_a_stop_ends_the_server() -> None:
    stop = Stop()
    with scratch_cluster(stop=stop) as cluster:
        stop.request()
        for _ in range(100):
            if _is_gone_or_zombie(cluster.pid):
                break
            time.sleep(0.05)
        assert _is_gone_or_zombie(cluster.pid)


def test_a_server_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    script = "trap '' QUIT; echo ready; while :; do sleep 0.1; done"
    command = proc.Command(argv=("/bin/sh", "-c", script), env={"PATH": os.defpath})
    with proc.server(command, tmp_path / "log", Stop(), seconds=0.3) as running:
        for _ in range(100):
            if (tmp_path / "log").read_text():
                break
            time.sleep(0.05)
        assert running.exited() is None
    assert running.exited() == -signal.SIGKILL


def test_a_server_that_cannot_be_started_is_a_source_error(tmp_path: Path) -> None:
    command = proc.Command(argv=(str(tmp_path / "absent"),))
    with pytest.raises(SourceError, match="cannot start"), proc.server(command, tmp_path / "log", Stop()):
        pass


def _is_gone_or_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_what_a_killed_process_left_is_removed_by_the_next() -> None:
    code = (
        "from holdfast.postgres.scratch import scratch_cluster\n"
        "import time\n"
        "with scratch_cluster() as c:\n"
        "    print(c.data_dir, c.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        data, pid = process.stdout.readline().split()
        process.kill()
    home = Path(data).parent
    ours = scratch_home.account(("postgres", "nobody"))
    try:
        with scratch_home.home(None, ours):  # as each cluster makes
            assert home.exists(), "young: somebody may be about to lock it"
        os.utime(home, (1, 1))
        with scratch_cluster():
            assert not home.exists()
    finally:
        os.kill(int(pid), signal.SIGQUIT)
