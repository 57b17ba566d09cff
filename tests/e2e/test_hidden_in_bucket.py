"""A bucket with versions in which somebody deleted and wrote over everything, as far as a plain right to delete reaches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.conftest import ROWS
from holdfast.postgres.scratch import Cluster
from support.home import Home, called
from support.moto_server import ACCESS_KEY, SECRET_KEY, moto_server, raw_client
from support.postgres import execute, new_database, query
from support.world import write_config

BUCKET = "versions"


@pytest.fixture
def url() -> Iterator[str]:
    with moto_server() as found:
        client = raw_client(found)
        client.create_bucket(Bucket=BUCKET)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield found


def keys(url: str) -> list[str]:
    return [
        f'endpoint_url = "{url}"',
        f'access_key_id = "{ACCESS_KEY}"',
        f'secret_access_key = "{SECRET_KEY}"',
        'region = "us-east-1"',
        "path_style = true",
    ]


@pytest.fixture
def attacked(cluster: Cluster, tmp_path: Path, url: str) -> Iterator[Home]:
    """A home whose one backup was deleted, object by object, and partly written over."""
    with new_database(cluster) as database:
        execute(database, ROWS)
        config = write_config(
            tmp_path,
            cluster.conninfo.argv_dsn(),
            target=f'databases = ["{database.database}"]',
            stores={"cloud": "\n".join([f'url = "s3://{BUCKET}/{tmp_path.name}"', *keys(url), ""])},
        )
        home = Home(folder=tmp_path, config=config, database=database)
        home.run("backup", "--quiet")
        client = raw_client(url)
        there = [
            found["Key"] for found in client.list_objects_v2(Bucket=BUCKET, Prefix=tmp_path.name)["Contents"]
        ]
        for key in there:
            client.delete_object(Bucket=BUCKET, Key=key)
        for key in there[::2]:
            client.put_object(Bucket=BUCKET, Key=key, Body=b"pay us")
        yield home


def recovered(home: Home, url: str, *args: str | Path) -> list[str | Path]:
    sets = [word for key in keys(url) for word in ("--set", f"stores.main.{key.replace(' = ', '=')}")]
    return [
        "recover",
        f"s3://{BUCKET}/{home.folder.name}",
        "--identity",
        home.folder / "identity.txt",
        *sets,
        *args,
    ]


@pytest.mark.extended
@pytest.mark.fault("attack.delete")
def test_all_is_found_from_nothing_and_uncovered(attacked: Home, url: str, tmp_path: Path) -> None:
    (backup_id,) = attacked.ids()
    found = called(*recovered(attacked, url, "--dry-run"), cwd=tmp_path)
    assert backup_id in found.stdout, found.stderr
    assert "written over since" in found.stderr
    assert "holdfast repair" in found.stderr
    done = attacked.run("repair", backup_id)
    assert f"uncovered {backup_id} in cloud" in done.stdout
    assert "written over" not in attacked.run("verify", backup_id).stderr


@pytest.mark.fault("attack.delete")
@pytest.mark.extended
def test_every_command_looks_past_it(
    attacked: Home, url: str, second_cluster: Cluster, tmp_path: Path
) -> None:
    (backup_id,) = attacked.ids()
    verified = attacked.run("verify", backup_id, code=22)
    assert "deleted since" in verified.stdout
    assert "(covered)" in attacked.run("list").stdout
    assert "what was written lies beneath" in attacked.run("show", backup_id).stdout
    assert "read from beneath" in attacked.run("status", code=4).stdout
    rebuilt = attacked.run("catalog", "rebuild")
    assert "1 copy of a backup in cloud; 0 forgotten" in rebuilt.stdout
    assert "written over since" in rebuilt.stdout
    database = str(attacked.database.database)
    attacked.run("restore", backup_id, "--database", database, "--as", f"{database}_back")
    there = attacked.database.with_database(f"{database}_back")
    try:
        assert query(there, "SELECT count(*) FROM items") == [(1000,)]
    finally:
        execute(attacked.database, f'DROP DATABASE "{database}_back" WITH (FORCE)')
    into = second_cluster.conninfo
    done = called(*recovered(attacked, url, "--yes", "--to", into.argv_dsn()), cwd=tmp_path)
    try:
        assert done.returncode == 0, done.stderr
        assert query(into.with_database(database), "SELECT count(*) FROM items") == [(1000,)]
    finally:
        execute(into, f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
