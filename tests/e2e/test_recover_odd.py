"""Recovery where not all is as it should be: in the store, on the server, with the key, or on the way."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.postgres.scratch import Cluster
from holdfast.streams import sign
from support.home import Done, Home, called
from support.moto_server import ACCESS_KEY, BUCKET, SECRET_KEY, moto_server, raw_client
from support.postgres import execute, query, running_cluster
from support.restoring import create, databases
from support.world import argv, cli, environment, write_config, write_keys

FOUND = "SELECT count(*) FROM pg_database WHERE datname = '{}'"


def recover(stocked: Home, where: Path, *args: str | Path, store: str | Path | None = None) -> Done:
    identity = stocked.folder / "identity.txt"
    return called("recover", store or stocked.store, "-i", identity, *args, cwd=where)


@pytest.fixture
def server(stocked: Home, second_cluster: Cluster) -> Iterator[Cluster]:
    yield second_cluster
    execute(second_cluster.conninfo, f'DROP DATABASE IF EXISTS "{stocked.database.database}"')


@pytest.fixture
def store(stocked: Home, tmp_path: Path) -> Path:
    """Give a copy of the store, to do things to."""
    shutil.copytree(stocked.store, tmp_path / "store")
    return tmp_path / "store"


def signed(folder: Path, data: bytes, key: sign.SigningKey, of: str) -> None:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(data)
    comment = f"holdfast {of}/manifest.json"
    (folder / "manifest.json.minisig").write_bytes(sign.sign(data, key, trusted_comment=comment))


@pytest.mark.fault("attack.plant")
def test_what_was_planted_in_the_bucket_is_named_and_not_taken(
    stocked: Home, server: Cluster, store: Path, tmp_path: Path
) -> None:
    shop = store / "shop"
    newest, older = sorted((path.name for path in shop.iterdir()), reverse=True)
    shutil.copytree(shop / older, shop / "20991122T020000Z-aaaa")  # moved, so that it would be the newest
    text = (shop / newest / "manifest.json").read_text()
    stranger = sign.generate()
    signed(
        shop / "20991122T020000Z-bbbb",
        text.replace(newest, "20991122T020000Z-bbbb").encode(),
        stranger,
        "shop/20991122T020000Z-bbbb",
    )
    signed(shop / "20991122T020000Z-cccc", b"[" * 1_000_000, stranger, "shop/20991122T020000Z-cccc")
    (shop / "20991122T020000Z-dddd").mkdir()
    (shop / "20991122T020000Z-dddd" / "manifest.json").write_text(text)  # nobody signed it
    signed(store / "evil" / newest, text.encode(), stranger, f"evil/{newest}")
    signed(shop / "not an id", b"{}", stranger, "shop/not an id")
    (shop / newest / "tombstone.json").write_text('{"kind": "tombstone"}')  # to hide the newest
    done = recover(stocked, tmp_path, "--dry-run", "--json", "--to", server.conninfo.argv_dsn(), store=store)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [each["target"] for each in told["targets"]] == ["shop"]
    assert [row["id"] for row in told["targets"][0]["backups"]] == [newest, older]
    assert told["plan"]["id"] == newest
    for planted in ("aaaa", "bbbb", "cccc", "dddd", f"evil/{newest}"):
        assert planted in done.stderr


def test_one_of_several_targets_is_asked_for(
    stocked: Home, server: Cluster, store: Path, tmp_path: Path
) -> None:
    text = stocked.config.read_text().replace("[targets.shop]", "[targets.blog]")
    config = stocked.folder / "blog.toml"
    config.write_text(text)
    done = called("backup", "-q", "-c", config, "--set", f"stores.disk.url={store}", cwd=stocked.folder)
    assert done.returncode == 0, done.stderr
    to = ("--to", server.conninfo.argv_dsn())
    unnamed = recover(stocked, tmp_path, "--yes", *to, store=store)
    assert unnamed.returncode == 2
    assert "which target? The store has blog, shop" in unnamed.stderr
    named = recover(stocked, tmp_path, "--dry-run", "--target", "blog", *to, store=store)
    assert named.returncode == 0, named.stderr
    assert " of blog; what was written" in named.stdout


@pytest.mark.fault("loss.key")
@pytest.mark.extended
def test_another_key_is_said_to_open_nothing(stocked: Home, server: Cluster, tmp_path: Path) -> None:
    write_keys(tmp_path)
    (signer,) = (
        line for line in (stocked.folder / "identity.txt").read_text().splitlines() if "signer" in line
    )
    other = tmp_path / "identity.txt"
    other.write_text(f"{other.read_text()}{signer}\n")
    done = called(
        *("recover", stocked.store, "-i", other, "--yes", "--to", server.conninfo.argv_dsn()), cwd=tmp_path
    )
    assert done.returncode == 23, done.stderr
    assert "identity" in done.stderr
    assert databases(server) == {"postgres"}


def test_a_server_that_has_such_a_database_is_refused_and_left_alone(
    stocked: Home, server: Cluster, tmp_path: Path
) -> None:
    name = str(stocked.database.database)
    there = create(server, name, "CREATE TABLE precious AS SELECT 1 AS x")
    done = recover(stocked, tmp_path, "--yes", "--to", server.conninfo.argv_dsn())
    assert done.returncode == 2
    assert f"database {name!r} on" in done.stdout
    assert "is not empty: it holds" in done.stdout
    assert query(there, "SELECT x FROM precious") == [(1,)]


@pytest.mark.extended
def test_a_bucket_and_the_variables_of_its_sdk_are_enough(
    stocked: Home, server: Cluster, tmp_path: Path
) -> None:
    with moto_server() as url:
        client = raw_client(url)
        for path in stocked.store.rglob("*"):
            if path.is_file():
                key = f"db/pg/{path.relative_to(stocked.store)}"
                client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
        env = {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": url,
        }
        done = cli(
            *("recover", f"s3://{BUCKET}/db/pg", "-i", stocked.folder / "identity.txt", "--yes"),
            *("--to", server.conninfo.argv_dsn()),
            cwd=tmp_path,
            env=env,
        )
    assert done.returncode == 0, done.stderr
    assert "identical to the backup" in done.stdout
    assert SECRET_KEY not in done.stdout + done.stderr


# Takes a minute while there is a role `slow`, and no time without it.
SLOW = """CREATE FUNCTION slow(i integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'slow') THEN PERFORM pg_catalog.pg_sleep(60); END IF;
  RETURN i;
END$$"""
ASLEEP = "SELECT FROM pg_stat_activity WHERE datname = 'second' AND wait_event = 'PgSleep'"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the backup of two databases, of which the second can be slow to restore."""
    folder = tmp_path_factory.mktemp("two")
    with running_cluster() as source:
        create(source, "first", "CREATE TABLE t AS SELECT 1 AS x")
        create(source, "second", "CREATE TABLE t AS SELECT 1 AS x", SLOW, "CREATE INDEX ON t (slow(x))")
        config = write_config(folder, source.conninfo.argv_dsn(), target='databases = ["first", "second"]')
        done = called("backup", "-q", "-c", config, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.extended
@pytest.mark.fault("kill.restore")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_what_was_interrupted_is_finished_by_the_next(
    two: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with running_cluster() as server:
        execute(server.conninfo, "CREATE ROLE slow")
        command = ("recover", two / "store", "-i", two / "identity.txt", "--yes", "--to")
        to = server.conninfo.argv_dsn()
        with subprocess.Popen(
            argv(*command, to),
            env=environment(),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            deadline = time.monotonic() + 30
            while not query(server.conninfo, ASLEEP):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            process.send_signal(number)
            process.communicate(timeout=30)
        execute(server.conninfo, "DROP ROLE slow")
        half = {"second"} if number == signal.SIGKILL else set()
        assert databases(server) == {"postgres", "first", *half}
        again = called(*command, to, cwd=tmp_path)
        assert again.returncode == 2
        assert "database 'first' on" in again.stdout
        if half:
            assert 'left it half done. Drop it first: DROP DATABASE "second";' in again.stdout
            execute(server.conninfo, "DROP DATABASE second WITH (FORCE)")
        else:
            assert "not there yet: second; --database NAME brings back one alone" in again.stdout
        rest = called(*command, to, "--database", "second", cwd=tmp_path)
        assert rest.returncode == 0, rest.stderr
        assert "second: 1 table, 1 row" in rest.stdout
        assert query(server.conninfo.with_database("second"), "SELECT x FROM t") == [(1,)]
