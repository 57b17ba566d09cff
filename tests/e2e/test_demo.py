from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.demo import same
from holdfast.demo.demo import show_same, url
from holdfast.demo.shell import Shell, StepError
from holdfast.model.errors import RestoreTestError
from holdfast.postgres import conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from holdfast.system.stop import Stop
from support.postgres import execute, query, running_cluster, toolset

COMMANDS = [
    "holdfast keygen -o identity.txt",
    "cat holdfast.toml",
    "holdfast check",
    "holdfast backup",
    "holdfast list",
    "holdfast show latest",
    "holdfast verify latest",
    "holdfast restore-test",
    "holdfast status",
    "ls backups/shop/ID",
    "head -c 21 backups/shop/ID/shop.dump.zst.age",
    "holdfast restore latest --to URL",
    "psql URL -c 'DROP TABLE shop.order_lines CASCADE'",
    "holdfast restore latest --database shop --table shop.order_lines --table shop.revenue",
    "holdfast run --set daemon.listen=127.0.0.1:PORT --set targets.shop.every=2s &",
    "kill %1",
]
# Settings of the user's own, none of which the demo may follow.
HOSTILE = {
    "HOLDFAST_CONFIG": "/nowhere/holdfast.toml",
    "HOLDFAST_URL": "postgresql://elsewhere.invalid/production",
    "PGHOST": "elsewhere.invalid",
    "PGPORT": "1",
    "PGDATABASE": "production",
    "PGSERVICE": "production",
    "PGOPTIONS": "-c default_transaction_read_only=on",
}


@pytest.fixture
def place() -> Iterator[Path]:
    """A temporary directory of the demo's own, which the server's user can reach too."""
    path = Path(tempfile.mkdtemp(prefix="demo-test-", dir="/tmp")).resolve()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def _start(place: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "holdfast", "demo", *words],
        env={**os.environ, **HOSTILE, "TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
    )


def _running_in(place: Path) -> list[str]:
    """The command lines of processes that name the directory: the demo's servers and what it started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(place) in text:
            found.append(text)
    return found


def _typed(out: str) -> list[str]:
    """The commands that the demo shows, with what differs from run to run taken out."""
    commands = re.findall(r"^   \$ (.*)$", out, re.MULTILINE)
    masked = (re.sub(r"\d{8}T\d{6}Z-[0-9a-f]{8}", "ID", text) for text in commands)
    masked = (re.sub(r"127.0.0.1:\d+", "127.0.0.1:PORT", text) for text in masked)
    return [re.sub(r"'?postgresql://\S+'?", "URL", text) for text in masked]


def test_the_demo_shows_every_step_and_leaves_nothing_behind(place: Path) -> None:
    with _start(place) as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert re.findall(r"^(\d+)\. ", out, re.MULTILINE) == [str(number) for number in range(1, 12)]
    assert _typed(out) == COMMANDS
    assert not re.search(r"^     fail ", out, re.MULTILINE)
    assert "age-encryption.org/v1\n" in out
    assert "PROVEN" in out
    assert "SAFE  shop" in out
    assert re.search(
        r"^ +holdfast_backup_last_success_timestamp_seconds\{target=\"shop\"\} \d+", out, re.MULTILINE
    )
    assert "trigger=schedule" in out
    first, second = _identical(out)[:7], _identical(out)[7:]
    assert first == second
    identical = dict(first)
    assert set(identical) == {
        "databases", "tables that hold rows", "rows", "sequences", "large objects", "schema lines", "roles",
    }  # fmt: skip
    assert identical["rows"] > 30_000
    assert "Both servers are identical to the original.\n" in out
    assert list(place.iterdir()) == []
    assert _running_in(place) == []


def _identical(out: str) -> list[tuple[str, int]]:
    return [(kind, int(n.replace(",", ""))) for n, kind in re.findall(r"identical +([\d,]+) (.*)", out)]


@pytest.mark.parametrize("moment", ["1. Start", "   $ holdfast backup"])
@pytest.mark.extended
def test_an_interrupt_cleans_up(place: Path, moment: str) -> None:
    with _start(place) as process:
        assert process.stdout is not None
        assert any(line.startswith(moment) for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "cancelled by SIGINT" in err
    assert list(place.iterdir()) == []
    assert _running_in(place) == []


def test_a_command_that_fails_ends_the_demo_with_its_own_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(folder=tmp_path, stop=Stop())
    (tmp_path / "holdfast.toml").write_text("[nonsense]\n")
    with pytest.raises(StepError, match="`holdfast show latest` exited with status 10") as caught:
        shell.run("holdfast", "show", "latest")
    assert caught.value.exit_code == 10
    assert "nonsense" in capsys.readouterr().out


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Cluster, Cluster]]:
    """Two servers that hold the same: a role with a password, and a table, a sequence and a large object."""
    with running_cluster(tcp=False) as first, running_cluster(tcp=False) as second:
        with connect(first.conninfo, application_name="test") as conn:
            password = conn.pgconn.encrypt_password(b"one", b"app", b"scram-sha-256").decode()
        for each in (first, second):
            execute(
                each.conninfo,
                f"CREATE ROLE app LOGIN PASSWORD '{password}'",
                "CREATE TABLE t AS SELECT i FROM generate_series(1, 9) AS i",
                "CREATE SEQUENCE s",
                "SELECT lo_from_bytea(500, '\\x01')",
            )
        yield first, second


@pytest.mark.parametrize(
    ("change", "undo", "told"),
    [
        ("UPDATE t SET i = 0 WHERE i = 9", "UPDATE t SET i = 9 WHERE i = 0", "table public.t differs"),
        ("SELECT setval('s', 5)", "SELECT setval('s', 1, false)", "sequence public.s differs"),
        ("SELECT lo_put(500, 0, '\\x02')", "SELECT lo_put(500, 0, '\\x01')", "large object 500 differs"),
        ("CREATE INDEX i ON t (i)", "DROP INDEX i", "CREATE INDEX i"),
        ("COMMENT ON TABLE t IS 'x'", "COMMENT ON TABLE t IS NULL", "COMMENT ON TABLE"),
        ("ALTER DATABASE postgres SET work_mem = '9MB'", "ALTER DATABASE postgres RESET ALL", "work_mem"),
        ("ALTER ROLE app CREATEDB", "ALTER ROLE app NOCREATEDB", "ALTER ROLE app WITH"),
        ("CREATE ROLE more", "DROP ROLE more", "CREATE ROLE more"),
        ("CREATE DATABASE more", "DROP DATABASE more", "database more is only in the second"),
    ],
)
@pytest.mark.extended
def test_a_difference_between_the_servers_fails_the_demo(
    pair: tuple[Cluster, Cluster], change: str, undo: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = pair
    clients = toolset(first)
    original = same.read(first.conninfo, clients, Stop())
    execute(second.conninfo, change)
    try:
        restored = same.read(second.conninfo, clients, Stop())
    finally:
        execute(second.conninfo, undo)
    with pytest.raises(RestoreTestError) as caught:
        show_same(original, restored)
    assert caught.value.exit_code == 24
    out = capsys.readouterr().out
    assert told in out
    assert "SCRAM" not in out
    show_same(original, same.read(second.conninfo, clients, Stop()))


def test_the_url_leads_to_the_throwaway_server() -> None:
    with running_cluster(tcp=False) as server:
        there = conninfo.parse(url(server.conninfo), environ={})
        assert query(there, "SELECT current_setting('data_directory')") == [(str(server.data_dir),)]
