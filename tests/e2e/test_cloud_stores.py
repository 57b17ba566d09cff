"""A backup that goes to a cloud and comes back from there, by the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from e2e.conftest import ROWS
from holdfast.postgres.scratch import Cluster
from support import azurite
from support.azure_server import azure_server
from support.gcs_server import gcs_server
from support.home import Home, called
from support.postgres import execute, new_database
from support.proxy import Rule, answer, proxy_to
from support.restoring import drop
from support.world import cli, write_config


@contextmanager
def google() -> Iterator[tuple[str, ...]]:
    with gcs_server() as bucket:
        yield "gs://backups/pg", f'endpoint_url = "{bucket.url}"', "anonymous = true"


@contextmanager
def microsoft() -> Iterator[tuple[str, ...]]:
    with azure_server() as container:
        key = f'account_key = "{azurite.KEY}"'
        yield "azblob://throwaway/backups/pg", f'endpoint_url = "{container.url}"', key


@contextmanager
def emulated() -> Iterator[tuple[str, ...]]:
    with azurite.azurite() as url:
        key = f'account_key = "{azurite.KEY}"'
        yield "azblob://throwaway/backups/pg", f'endpoint_url = "{url}"', key


@contextmanager
def home_with(cluster: Cluster, folder: Path, keys: tuple[str, ...]) -> Iterator[Home]:
    url, *others = keys
    with new_database(cluster) as database:
        execute(database, ROWS)
        config = write_config(
            folder,
            cluster.conninfo.argv_dsn(),
            target=f'databases = ["{database.database}"]',
            stores={"cloud": "\n".join([f'url = "{url}"', *others, ""])},
        )
        yield Home(folder=folder, config=config, database=database)


def test_a_backup_in_google_is_taken_and_verified(cluster: Cluster, tmp_path: Path) -> None:
    with google() as keys, home_with(cluster, tmp_path, keys) as home:
        home.run("backup", "--quiet")
        home.run("verify", "latest")
        assert len(home.ids()) == 1


@pytest.mark.extended
@pytest.mark.parametrize("cloud", [google, microsoft, emulated])
def test_a_server_is_recovered_from_a_cloud_and_an_identity(
    cluster: Cluster,
    second_cluster: Cluster,
    tmp_path: Path,
    cloud: type[AbstractContextManager[tuple[str, ...]]],
) -> None:
    with cloud() as keys, home_with(cluster, tmp_path, keys) as home:
        checked = home.run("check")
        assert "store cloud" in checked.stdout
        assert "write, read, list and delete work" in checked.stdout
        assert "conditional" not in checked.stdout
        home.run("backup", "--quiet")
        url, *others = keys
        sets = [word for other in others for word in ("--set", f"stores.main.{other.replace(' = ', '=')}")]
        there: list[str | Path] = ["--identity", tmp_path / "identity.txt", *sets]
        to = ("--yes", "--to", second_cluster.conninfo.argv_dsn())
        done = called("recover", url, *there, *to, cwd=tmp_path)
        assert home.ids()[0] in done.stdout, done.stderr
        assert "1,000 rows, 1 definition: identical to the backup" in done.stdout
        drop(second_cluster, str(home.database.database))
        kit = home.run("kit").stdout
        assert ("gcloud storage cp" if url.startswith("gs") else "az storage blob download-batch") in kit
        assert azurite.KEY not in kit


@pytest.mark.extended
def test_the_variable_of_googles_libraries_is_enough_to_recover(
    cluster: Cluster, second_cluster: Cluster, tmp_path: Path
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    given = {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}
    token = answer(200, json.dumps(given).encode(), {"Content-Type": "application/json"})
    with gcs_server() as bucket, proxy_to(bucket.url) as proxy:
        proxy.rules.append(Rule(method="POST", contains="/token", act=token, times=None))
        keys = ("gs://backups/pg", f'endpoint_url = "{proxy.url}"', "anonymous = true")
        with home_with(cluster, tmp_path, keys) as home:
            home.run("backup", "--quiet")
            proxy.seen.clear()
            account = tmp_path / "account.json"
            account.write_text(
                json.dumps(
                    {
                        "type": "service_account",
                        "client_email": "reader@acme.iam.gserviceaccount.com",
                        "private_key": key.decode(),
                        "token_uri": f"{proxy.url}/token",
                    }
                )
            )
            done = cli(
                *("recover", "gs://backups/pg", "-i", tmp_path / "identity.txt", "--yes"),
                *("--set", f"stores.main.endpoint_url={proxy.url}"),
                *("--to", second_cluster.conninfo.argv_dsn()),
                env={"GOOGLE_APPLICATION_CREDENTIALS": str(account)},
                cwd=tmp_path,
            )
            drop(second_cluster, str(home.database.database))
        assert done.returncode == 0, done.stderr
        assert "identical to the backup" in done.stdout
        assert proxy.count("/token") == 1
