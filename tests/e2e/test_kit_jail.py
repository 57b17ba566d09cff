"""The recovery kit, followed to the letter in an empty directory with age, zstd and PostgreSQL's clients, and no Holdfast."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.test_kit import section
from holdfast.postgres import tools
from holdfast.postgres.scratch import Cluster
from support.home import Home
from support.jail import UNIX, Jail
from support.moto_server import ACCESS_KEY, BUCKET, SECRET_KEY, moto_server
from support.postgres import clean_environment, execute, new_database, query, running_cluster
from support.restoring import differences
from support.world import write_config

pytestmark = [pytest.mark.extended, pytest.mark.fault("loss.host")]

NASTY = 'o\'clock "x" $y'
# What `aws s3` is asked for, by the library that it is made of. TEST_AWS names the directory of the real one.
AWS = f"""#!{sys.executable}
import sys, pathlib, boto3
option, url, s3, verb, *rest = sys.argv[1:]
assert (option, s3) == ("--endpoint-url", "s3"), sys.argv
client = boto3.client("s3", endpoint_url=url)
source = rest[1] if verb == "cp" else rest[0]
bucket, _, prefix = source.removeprefix("s3://").partition("/")
for found in client.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]:
    name = found["Key"].removeprefix(prefix)
    print(name)
    if verb == "cp":
        assert rest[0] == "--recursive"
        path = pathlib.Path(rest[2], name)
        path.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, found["Key"], str(path))
"""


@pytest.fixture(scope="module")
def source() -> Iterator[Cluster]:
    """Run a server with a role, and two databases of hers, one of them with a name that is hard to write."""
    with running_cluster() as cluster:
        execute(cluster.conninfo, "CREATE ROLE clerk LOGIN PASSWORD 'hers'")
        with new_database(cluster, "shop") as shop, new_database(cluster, NASTY) as nasty:
            execute(shop, "CREATE TABLE items AS SELECT g, md5(g::text) FROM generate_series(1, 5000) g")
            execute(shop, "ALTER TABLE items OWNER TO clerk", "CREATE INDEX ON items (g)")
            execute(shop, "SELECT lo_from_bytea(4711, '\\x00ff')")
            execute(nasty, "CREATE TABLE t (x text)", "INSERT INTO t VALUES (E'a\\tb\\\\n'), (NULL)")
            yield cluster


def home(source: Cluster, folder: Path, store: str) -> Home:
    config = write_config(folder, source.conninfo.argv_dsn(), stores={"far": store})
    return Home(folder=folder, config=config, database=source.conninfo.with_database("shop"))


@pytest.fixture
def jail(source: Cluster, tmp_path: Path) -> Jail:
    """Make the directory, as empty as the kit says that it may be."""
    made = Jail(tmp_path / "jail")
    clients = tools.choose(tools.find_toolsets([source.bin_dir]), source.version_num)
    made.install([*UNIX, "age", "zstd", clients.program("psql"), clients.program("pg_restore")])
    return made


def typed(kit: str, *, without: tuple[str, ...] = ()) -> str:
    """Give what somebody types who has nothing but the page: the identity's file first, then the commands."""
    identity = [line for line in section(kit, "2. Which keys") if line]
    commands = section(kit, "5. Without Holdfast")
    return "\n".join([*identity, *(line for line in commands if not line.startswith(without or ("\0",)))])


def followed(jail: Jail, script: str, into: Cluster) -> str:
    assert into.tcp is not None
    params = into.tcp.params
    env = {
        "PGHOST": params["host"],
        "PGPORT": params["port"],
        "PGUSER": params["user"],
        "PGPASSWORD": str(into.tcp.password),
    }
    done = jail.bash(script, env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def same(source: Cluster, into: Cluster) -> None:
    for name in ("shop", NASTY):
        assert differences((source, name), (into, name)) == []
    owner = "SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE relname = 'items'"
    assert query(into.conninfo.with_database("shop"), owner) == [("clerk",)]


@pytest.mark.parametrize("more", [("minisign",), ()])
def test_a_page_and_the_store_are_enough(
    source: Cluster, jail: Jail, tmp_path: Path, more: tuple[str, ...]
) -> None:
    made = home(source, tmp_path, 'url = "store"')
    made.run("backup", "-q")
    kit = made.run("kit", "--with-identity").stdout
    jail.put(made.store)
    jail.install(more)
    with running_cluster() as into:
        script = typed(kit, without=() if more else ("minisign",))
        said = followed(jail, script, into)
        same(source, into)
    assert made.ids()[0] in said
    assert "is not the one that was signed" not in said
    assert not more or "Signature and comment signature verified" in said


def test_a_page_and_a_bucket_are_enough(source: Cluster, jail: Jail, tmp_path: Path) -> None:
    """The folder is fetched by the commands of the cloud, where those are; the rest is done in the jail."""
    aws = tmp_path / "bin" / "aws"
    aws.parent.mkdir()
    aws.write_text(AWS)
    aws.chmod(0o755)
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    with moto_server() as url:
        store = f'url = "s3://{BUCKET}/db/pg"\nendpoint_url = "{url}"\nregion = "us-east-1"'
        made = home(source, tmp_path, store)
        made.run("backup", "-q", env=keys)
        kit = made.run("kit", "--with-identity", env=keys).stdout
        script = typed(kit, without=("minisign",))
        fetching = [line for line in script.splitlines() if line.startswith("aws ")]
        assert len(fetching) == 2
        there = jail.root / "root"
        there.mkdir()
        program = os.environ.get("TEST_AWS", str(aws.parent))
        env = {**clean_environment(), **keys, "AWS_DEFAULT_REGION": "us-east-1"}
        subprocess.run(
            ["/bin/bash", "-e"],
            input="\n".join(fetching),
            text=True,
            cwd=there,
            env={**env, "PATH": f"{program}:{os.environ['PATH']}"},
            check=True,
        )
    assert SECRET_KEY not in kit
    with running_cluster() as into:
        followed(jail, "\n".join(line for line in script.splitlines() if line not in fetching), into)
        same(source, into)
