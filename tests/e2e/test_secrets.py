"""Secrets stay where they belong: in no output, file, object, argument or environment; and all ways to give them work."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from holdfast.postgres.scratch import Cluster
from support.home import Home
from support.moto_server import ACCESS_KEY, BUCKET, SECRET_KEY, moto_server, raw_client
from support.postgres import execute, new_database
from support.world import argv, environment, write_config

ROLE_PASSWORD = "the role's / own: p@ss%word"
ALL = (
    *(("check",), ("list",), ("list", "--json"), ("show", "latest", "--json"), ("status",), ("verify",)),
    ("catalog", "rebuild"),
)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def login(cluster: Cluster) -> Iterator[str]:
    """Make a superuser whose password is awkward to write; give the rest of its URL (host, port)."""
    assert cluster.tcp is not None
    quoted = ROLE_PASSWORD.replace("'", "''")
    execute(cluster.conninfo, f"CREATE ROLE keeper SUPERUSER LOGIN PASSWORD '{quoted}'")
    try:
        yield f"127.0.0.1:{cluster.tcp.params['port']}"
    finally:
        execute(cluster.conninfo, "DROP ROLE keeper")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A home with a password, an S3 key and an identity; `secrets` are those that must show up nowhere."""

    home: Home
    secrets: tuple[bytes, ...]
    endpoint: str

    def found_in(self, data: bytes) -> list[bytes]:
        return [secret for secret in self.secrets if secret in data]


@pytest.fixture
def guarded(cluster: Cluster, login: str, bucket: str, tmp_path: Path) -> Iterator[Guarded]:
    keys = f"""
        url = "s3://{BUCKET}/deep"
        endpoint_url = "{bucket}"
        region = "us-east-1"
        path_style = true
        access_key_id = "{ACCESS_KEY}"
        secret_access_key = "{SECRET_KEY}"
    """
    with new_database(cluster) as database:
        config = write_config(
            tmp_path,
            f"postgresql://keeper:{quote(ROLE_PASSWORD, safe='')}@{login}/postgres",
            stores={"disk": 'url = "store"', "cloud": keys},
            target=f'databases = ["{database.database}"]',
        )
        identity = (tmp_path / "identity.txt").read_text().splitlines()[-1]
        signing = (tmp_path / "signing.key").read_text().splitlines()[-1]
        secrets = (ROLE_PASSWORD, quote(ROLE_PASSWORD, safe=""), SECRET_KEY, identity, signing)
        assert identity.startswith("AGE-SECRET-KEY-1")
        yield Guarded(
            home=Home(folder=tmp_path, config=config, database=database),
            secrets=tuple(secret.encode() for secret in secrets),
            endpoint=bucket,
        )


def processes_below(pid: int) -> Iterator[int]:
    """Give a process's children, and theirs."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield int(child)
        yield from processes_below(int(child))


@pytest.mark.fault("secrets")
def test_no_child_is_told_a_secret_by_argument_or_environment(guarded: Guarded) -> None:
    execute(
        guarded.home.database,
        "CREATE TABLE big AS SELECT md5(g::text) || md5((-g)::text) AS t FROM generate_series(1, 60000) AS g",
    )
    command = argv("backup", "--config", guarded.home.config, "--set", 'daemon.log_level="debug"')
    seen: dict[str, set[bytes]] = {}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment()
    ) as process:
        while process.poll() is None:
            for pid in (process.pid, *processes_below(process.pid)):
                try:
                    arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
                    surroundings = Path(f"/proc/{pid}/environ").read_bytes()
                except OSError:
                    continue
                name = os.path.basename(arguments.split(b"\0")[0]).decode()  # noqa: PTH119 - bytes
                seen.setdefault(name, set()).update((arguments, surroundings))
            time.sleep(0.003)
        assert process.stdout is not None
        shown = process.stdout.read()
    assert process.returncode == 0, shown
    assert {"pg_dump", "pg_dumpall"} <= seen.keys()
    assert {name for name, texts in seen.items() for text in texts if guarded.found_in(text)} == set()
    assert guarded.found_in(shown) == []


@pytest.mark.fault("secrets")
def test_no_output_file_or_object_holds_a_secret(guarded: Guarded, second_cluster: Cluster) -> None:
    home = guarded.home
    commands: tuple[tuple[str, ...], ...] = (("backup",), *ALL)
    for command in commands:
        done = home.run(*command, "--set", 'daemon.log_level="debug"')
        assert guarded.found_in((done.stdout + done.stderr).encode()) == [], command
    wish = (
        "--database",
        str(home.database.database),
        "--as",
        "again",
        "--to",
        second_cluster.conninfo.argv_dsn(),
    )
    restored = home.run("restore", "latest", *wish)
    execute(second_cluster.conninfo, "DROP DATABASE again WITH (FORCE)")
    assert guarded.found_in((restored.stdout + restored.stderr).encode()) == []
    kept = {
        path: guarded.found_in(path.read_bytes())
        for folder in (home.state, home.store)
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert len(kept) > 5
    assert {path: found for path, found in kept.items() if found} == {}
    client = raw_client(guarded.endpoint)
    objects = client.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert len(objects) > 5
    for each in objects:
        body = client.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read()
        assert guarded.found_in(body) == [], each["Key"]


@pytest.mark.fault("secrets")
def test_no_error_repeats_a_secret(guarded: Guarded, tmp_path: Path) -> None:
    home = guarded.home
    wrong = "n0t-the-password"
    failing: tuple[tuple[int, tuple[str, ...]], ...] = (
        (20, ("backup", "--set", f"targets.shop.url=postgresql://keeper:{wrong}@127.0.0.1:1/x")),
        (10, ("check", "--set", f"targets.shop.url=postgresql://keeper:{wrong}@127.0.0.1:1/x")),
        (20, ("backup", "--set", f"targets.shop.password={wrong}")),
        (10, ("backup", "--set", f"targets.shop.url=postgresql://keeper:{wrong}@[::1/x?ssl%mode=1")),
        (10, ("backup", "--set", f"stores.cloud.secret_access_keyy={wrong}")),
        (10, ("list", "--set", f"encryption.recipients={guarded.secrets[3].decode()}")),
        (23, ("list", "--set", "encryption.identity_file=signing.key")),
        (23, ("list", "--set", "encryption.signing_key_file=identity.txt")),
    )
    (tmp_path / "half").mkdir()
    for code, command in failing:
        done = home.run(*command, "--set", 'daemon.log_level="debug"', code=code)
        shown = (done.stdout + done.stderr).encode()
        assert (*guarded.found_in(shown), *([wrong] if wrong.encode() in shown else [])) == (), command


@pytest.mark.parametrize(
    "way",
    [
        *("url", "password", "password_file", "url_file", "credentials", "variable"),
        *("PGPASSWORD", "passfile", "service", "to"),
    ],
)
@pytest.mark.sampled(3)
def test_every_way_to_give_a_password_works(way: str, login: str, cluster: Cluster, tmp_path: Path) -> None:
    host, port = login.split(":")
    bare, whole = (
        f"postgresql://keeper@{login}/postgres",
        f"postgresql://keeper:{quote(ROLE_PASSWORD, safe='')}@{login}/postgres",
    )
    secret = tmp_path / "secrets" / "holdfast_targets__shop__password"
    secret.parent.mkdir()
    secret.write_text(f"{ROLE_PASSWORD}\n")
    escaped = ROLE_PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"{host}:{port}:*:keeper:{escaped}\n")
    passfile.chmod(0o600)
    service = tmp_path / "services"
    service.write_text(
        f"[mine]\nhost={host}\nport={port}\nuser=keeper\ndbname=postgres\npassword={ROLE_PASSWORD}\n"
    )
    (tmp_path / "url").write_text(whole)
    urls = {"url": whole, "service": "service=mine"}
    keys = {
        "password": f'password = "{ROLE_PASSWORD}"\n',
        "password_file": f'password_file = "{secret}"\n',
    }
    env = {
        "credentials": {"CREDENTIALS_DIRECTORY": str(secret.parent)},
        "variable": {"HOLDFAST_TARGETS__SHOP__PASSWORD": ROLE_PASSWORD},
        "PGPASSWORD": {"PGPASSWORD": ROLE_PASSWORD},
        "passfile": {"PGPASSFILE": str(passfile)},
        "service": {"PGSERVICEFILE": str(service)},
    }
    with new_database(cluster) as database:
        target = f'databases = ["{database.database}"]\n{keys.get(way, "")}'
        config = write_config(tmp_path, urls.get(way, bare), target=target)
        if way == "url_file":
            config.write_text(config.read_text().replace(f'url = """{bare}"""', 'url_file = "url"'))
        home = Home(folder=tmp_path, config=config, database=database)
        if way == "to":
            home.run("backup", code=20)
            home.run("backup", "--set", f"targets.shop.url={whole}")
            wish = ("--database", str(database.database), "--as", f"{database.database}_to")
            home.run("restore", "latest", *wish, "--to", whole)
            execute(cluster.conninfo, f'DROP DATABASE "{database.database}_to" WITH (FORCE)')
        else:
            home.run("backup", env=env.get(way, {}))
        assert len(home.ids()) == 1
