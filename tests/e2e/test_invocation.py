"""How the command is called: where its config comes from, what it refuses, how it ends."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast import __version__
from holdfast.postgres.scratch import Cluster
from holdfast.streams import age_keys
from holdfast.system import lock
from support.home import Home, called
from support.postgres import new_database
from support.world import environment

COMMANDS = (
    *("init", "keygen", "check", "backup", "list", "show", "status", "verify", "restore", "export", "demo"),
    "catalog rebuild",
)
# Not pydantic: typer itself takes it for the types of options.
HEAVY = {
    "boto3",
    "botocore",
    "rich",
    "psycopg",
    "cryptography",
    "structlog",
    "apscheduler",
    "sqlite3",
}


def test_the_version_is_told_by_both_ways_to_call_it() -> None:
    beside = Path(sys.executable).with_name("holdfast")
    for argv in ([beside], [sys.executable, "-m", "holdfast"]):
        done = subprocess.run(
            [*argv, "--version"], capture_output=True, text=True, env=environment(), check=True
        )
        assert done.stdout == f"holdfast {__version__}\n"


def test_help_answers_without_loading_what_is_slow() -> None:
    code = (
        "import sys; from holdfast.cli.program import main; code = main(sys.argv[1:]);"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr); sys.exit(code)"
    )
    for args in (["--help"], ["backup", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *args], capture_output=True, text=True, env=environment(), check=True
        )
        assert done.stdout.startswith("Usage: holdfast")
        loaded = set(re.findall(r"'([^']+)'", done.stderr))
        assert "holdfast" in loaded
        assert loaded & HEAVY == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, tmp_path: Path) -> None:
    done = called(*command.split(), "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert f"Usage: holdfast {command}" in done.stdout
    first = next(line for line in done.stdout.splitlines()[1:] if line)
    assert len(first) > 20, "it says what it does"


def test_a_bare_call_shows_the_help_and_is_a_usage_error(tmp_path: Path) -> None:
    done = called(cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: holdfast")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("frobnicate",), "frobnicate"),
        (("list", "--nonsense"), "--nonsense"),
        (("show",), "BACKUP"),
        (("verify", "latest", "--all"), "not both"),
        (("restore", "latest", "--as", "x"), "--as goes with --database"),
        (("restore", "latest", "--tablespace-map", "x"), "OLD=PATH"),
        (("export", "latest", "--format", "tar"), "tar"),
        (("list", "--set", "daemon"), "KEY=VALUE"),
        (("show", "2026", "--before", "2026-01-01"), "--before goes with"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(stocked: Home, args: tuple[str, ...], said: str) -> None:
    done = stocked.run(*args, code=2)
    assert said in done.stderr
    assert "internal" not in done.stderr


def test_the_config_is_named_by_option_or_variable_or_lies_there(stocked: Home, tmp_path: Path) -> None:
    config = str(stocked.config)
    ways: tuple[tuple[tuple[str, ...], dict[str, str], Path], ...] = (
        (("list", "--config", config), {}, tmp_path),
        (("--config", config, "list"), {}, tmp_path),
        (("list",), {"HOLDFAST_CONFIG": config}, tmp_path),
        (("list",), {}, stocked.folder),
        (("--config", "/nowhere", "list", "-c", config), {"HOLDFAST_CONFIG": "/nowhere"}, tmp_path),
    )
    for args, env, cwd in ways:
        done = called(*args, "--json", env=env, cwd=cwd)
        assert done.returncode == 0, (args, done.stderr)
        assert [row["id"] for row in json.loads(done.stdout)] == stocked.ids()
    assert called("list", cwd=tmp_path).returncode == 10
    assert "holdfast init" in called("list", cwd=tmp_path).stderr


def test_quiet_may_stand_before_the_command(home: Home) -> None:
    done = called("--quiet", "--config", home.config, "backup", cwd=home.folder)
    assert done.returncode == 0
    assert done.stdout == ""


def test_a_flag_overrides_a_variable_overrides_the_file(stocked: Home, tmp_path: Path) -> None:
    fresh, other = tmp_path / "fresh", tmp_path / "other"
    env = {"HOLDFAST_DAEMON__STATE_DIR": str(other)}
    stocked.run("list", env=env)
    assert (other / "ledger.sqlite").exists()
    stocked.run("list", "--set", f"daemon.state_dir={fresh}", env=env)
    assert (fresh / "ledger.sqlite").exists()


def test_variables_alone_are_a_complete_config(cluster: Cluster, tmp_path: Path) -> None:
    """What a container is given: HOLDFAST_URL, HOLDFAST_STORE, HOLDFAST_RECIPIENT, and where its state lies."""
    identity = age_keys.generate()
    with new_database(cluster) as database:
        env = {
            "HOLDFAST_URL": cluster.conninfo.argv_dsn(),
            "HOLDFAST_STORE": str(tmp_path / "store"),
            "HOLDFAST_RECIPIENT": identity.recipient.text,
            "HOLDFAST_DAEMON__STATE_DIR": str(tmp_path / "state"),
            "HOLDFAST_DEFAULTS__DATABASES": str(database.database),
        }
        taken = called("backup", "--json", env=env, cwd=tmp_path)
    assert taken.returncode == 0, taken.stderr
    assert json.loads(taken.stdout)[0]["target"] == "main"
    assert json.loads(taken.stdout)[0]["encrypted"] is True
    assert "made a new signing key" in taken.stderr
    signer = re.search(r"holdfast-signer: (RW\S+?)['\"]?\s*$", taken.stderr.splitlines()[0])
    assert signer is None or signer[1] == json.loads(taken.stdout)[0]["signer"]
    assert (tmp_path / "state/signing.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("[daemon]\nstate_dirr = 'x'", "state_dir"),
        ("[targets.shop]\nurl = 'postgresql:///'\nlock_wait_timout = 5", "lock_wait_timeout"),
        ("[store.disk]\npath = '/x'", "stores"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known(line: str, meant: str, tmp_path: Path) -> None:
    path = tmp_path / "holdfast.toml"
    path.write_text(line)
    done = called("list", "--config", path, cwd=tmp_path)
    assert done.returncode == 10
    assert f"did you mean {meant}?" in done.stderr


def test_each_kind_of_trouble_has_its_exit_code(home: Home, tmp_path: Path) -> None:
    home.run("backup", "no-such-target", code=12)
    home.run("backup", "--set", f"targets.shop.url=postgresql:///x?host={tmp_path}", code=20)
    file = tmp_path / "file"
    file.write_text("a store's path leads here")
    done = home.run("backup", "--set", f"stores.disk.url={file}/below", code=21)
    assert str(file) in done.stderr
    home.run("backup", "--set", f"encryption.identity_file={file}", code=23)
    home.run("list", "--set", f"encryption.recipients=['{'age1' + 'q' * 58}']", code=10)
    with lock.exclusive(home.state / "locks/shop.lock", what="target shop", holder="somebody at work"):
        assert "somebody at work" in home.run("backup", code=11).stderr
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    connection = sqlite3.connect(foreign / "ledger.sqlite")
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    home.run("list", "--set", f"daemon.state_dir={foreign}", code=30)
    assert home.ids() == []


def test_one_target_that_fails_does_not_keep_the_other_from_its_backup(home: Home, tmp_path: Path) -> None:
    broken = f'[targets.broken]\nurl = "postgresql:///x?host={tmp_path}"\n'
    home.config.write_text(broken + home.config.read_text())
    done = home.run("backup", code=3)
    assert "shop: backup" in done.stdout
    assert "target broken: " in done.stderr
    assert home.facts("status", code=4)[0]["safe"] is False
