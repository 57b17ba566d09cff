"""Real client programs, logging in with a password as Holdfast lets them."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from holdfast.model.errors import SourceError
from holdfast.postgres import tools
from holdfast.postgres.conninfo import Conninfo, child, parse
from holdfast.postgres.scratch import Cluster
from holdfast.system import proc
from holdfast.system.stop import Stop
from support.postgres import execute, new_database, query, run_tool, toolset

NAMES = [
    "plain",
    "Two words",
    "it's",
    'dou"ble',
    "a=b",
    "back\\slash\\",
    "line\nbreak",
    "größe €",
    "postgresql://x/y",
    "dbname=x",
    "-Fc",
    "$HOME `id`",
    "%s%00",
]


def test_the_programs_of_this_machine_are_found(cluster: Cluster) -> None:
    clients = toolset(cluster)
    assert clients.major >= cluster.version_num // 10_000
    for program in ("pg_dump", "pg_dumpall", "pg_restore", "psql"):
        assert Path(clients.program(program)).is_file()
    assert tools.find_servers()


def test_debians_wrapper_is_left_aside() -> None:
    assert (
        Path("/usr/bin") not in {found.bin_dir for found in tools.find_toolsets()}
        or not Path("/usr/share/postgresql-common/pg_wrapper").exists()
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.sampled(4)
def test_any_database_name_reaches_the_programs(cluster: Cluster, name: str) -> None:
    clients = toolset(cluster)
    with new_database(cluster, name) as database:
        assert query(database, "SELECT current_database()") == [(name,)]
        said = run_tool(clients, "psql", database, "-XAtc", "SELECT current_database()")
        assert said.decode() == f"{name}\n"
        execute(database, "CREATE TABLE marker ()")
        assert b"marker" in run_tool(clients, "pg_dump", database)


@pytest.mark.parametrize("password", ["plain", "a:b\\c", "\\", "p'a\"s s=%41", "größe€", "#x", "x" * 500])
def test_any_password_opens_the_server(cluster: Cluster, password: str) -> None:
    assert cluster.tcp is not None
    execute(
        cluster.conninfo,
        "DROP ROLE IF EXISTS pass_test",
        sql.SQL("CREATE ROLE pass_test LOGIN PASSWORD {}").format(sql.Literal(password)),
    )
    params = {**cluster.tcp.params, "user": "pass_test"}
    conninfo = Conninfo(params=params, password=password, isolated=True)
    assert query(conninfo, "SELECT 1") == [(1,)]
    assert run_tool(toolset(cluster), "psql", conninfo, "-XwAtc", "SELECT current_user") == b"pass_test\n"
    execute(cluster.conninfo, "DROP ROLE pass_test")


def test_a_wrong_password_fails_without_asking(cluster: Cluster) -> None:
    assert cluster.tcp is not None
    wrong = Conninfo(params=cluster.tcp.params, password="wrong", isolated=True)
    with child(wrong, application_name="test") as given:
        argv = (toolset(cluster).program("pg_dump"), f"--dbname={wrong.argv_dsn()}")
        command = proc.Command(argv=argv, env=given.env, pass_fds=given.pass_fds)
        with pytest.raises(SourceError, match="password authentication failed"):
            proc.output_of(command, Stop())


def test_the_environments_password_reaches_the_child(cluster: Cluster) -> None:
    assert cluster.tcp is not None
    url = parse(Conninfo(params=cluster.tcp.params).argv_dsn(), environ={})
    environ = {"PGPASSWORD": str(cluster.tcp.password)}
    with child(url, application_name="test", environ=environ) as given:
        argv = [toolset(cluster).program("psql"), "-XwAtc", "SELECT 7", f"--dbname={url.argv_dsn()}"]
        assert subprocess.check_output(argv, env=dict(given.env), pass_fds=given.pass_fds) == b"7\n"


def test_pg_dumpall_hands_the_password_on_to_pg_dump(cluster: Cluster) -> None:
    assert cluster.tcp is not None
    assert b"database dump complete" in run_tool(toolset(cluster), "pg_dumpall", cluster.tcp, "--no-password")


def test_settings_and_name_reach_the_childs_session(cluster: Cluster) -> None:
    conninfo = cluster.conninfo
    options = {"search_path": '"a b",\\c', "lock_timeout": "1234ms"}
    statement = "SELECT current_setting('search_path'), current_setting('lock_timeout'), current_setting('application_name')"
    with child(conninfo, application_name="holdfast dump", options=options) as given:
        argv = [toolset(cluster).program("psql"), "-XAtc", statement, f"--dbname={conninfo.argv_dsn()}"]
        said = subprocess.check_output(argv, env=dict(given.env), pass_fds=given.pass_fds)
    assert said.decode() == '"a b",\\c|1234ms|holdfast dump\n'


def test_no_secret_stands_in_a_running_dumps_argv_or_environment(cluster: Cluster) -> None:
    assert cluster.tcp is not None
    secret = str(cluster.tcp.password).encode()
    with new_database(cluster) as local:
        remote = cluster.tcp.with_database(str(local.database))
        execute(local, "CREATE TABLE held (id int)")
        with psycopg.connect(local.dsn()) as holder, child(remote, application_name="dump") as given:
            holder.execute("LOCK TABLE held")  # pg_dump waits for it, so that it can be looked at
            argv = [toolset(cluster).program("pg_dump"), f"--dbname={remote.argv_dsn()}"]
            with subprocess.Popen(
                argv, env=dict(given.env), pass_fds=given.pass_fds, stdout=subprocess.PIPE
            ) as dump:
                _wait_until_connected(local)
                seen = (
                    Path(f"/proc/{dump.pid}/cmdline").read_bytes()
                    + Path(f"/proc/{dump.pid}/environ").read_bytes()
                )
                holder.rollback()
                out, _ = dump.communicate()
    assert dump.returncode == 0
    assert b"held" in out
    assert re.search(rb"PGPASSFILE=/proc/self/fd/\d+", seen)
    assert secret not in seen


def _wait_until_connected(conninfo: Conninfo) -> None:
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dump' AND wait_event_type = 'Lock'"
    )
    for _ in range(200):
        if query(conninfo, waiting) == [(1,)]:
            return
        time.sleep(0.05)
    raise AssertionError("pg_dump never waited for the lock")
