"""A host whose one store is a bucket with Object Lock on moto, and how its objects are locked there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from holdfast.postgres.scratch import Cluster
from support import moto_server
from support.home import Home
from support.postgres import execute, new_database
from support.world import write_config

BUCKET = "locked"
_RULES = "[targets.shop.retention]\nyearly = 0\n"
_DAY = timedelta(days=1)


@contextmanager
def locking_server() -> Iterator[str]:
    """Start a server with the bucket; give its URL."""
    with moto_server.moto_server() as url:
        moto_server.raw_client(url).create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        yield url


@contextmanager
def locked_home(url: str, cluster: Cluster, folder: Path) -> Iterator[Home]:
    """Make a host whose backups are locked for 35 days at most, as they are kept by the month."""
    keys = (
        f'url = "s3://{BUCKET}/{folder.name}"',
        f'endpoint_url = "{url}"',
        'region = "us-east-1"',
        "path_style = true",
        f'access_key_id = "{moto_server.ACCESS_KEY}"',
        f'secret_access_key = "{moto_server.SECRET_KEY}"',
        'object_lock = "compliance"',
    )
    with new_database(cluster) as database:
        execute(
            database,
            "CREATE TABLE things (id int PRIMARY KEY); INSERT INTO things SELECT generate_series(1, 9)",
        )
        config = write_config(
            folder,
            cluster.conninfo.argv_dsn(),
            target=f'databases = ["{database.database}"]',
            stores={"cloud": "\n".join(keys)},
            more=_RULES,
        )
        yield Home(folder=folder, config=config, database=database)


def locks(url: str, home: Home) -> dict[str, tuple[datetime, bool]]:
    """Until when each object is locked, and whether it is held, as the server says."""
    client = moto_server.raw_client(url)
    found = client.list_object_versions(Bucket=BUCKET, Prefix=f"{home.folder.name}/shop/")["Versions"]
    heads = {
        each["Key"].rpartition("/")[2]: client.head_object(
            Bucket=BUCKET, Key=each["Key"], VersionId=each["VersionId"]
        )
        for each in found
    }
    return {
        name: (head["ObjectLockRetainUntilDate"], head.get("ObjectLockLegalHoldStatus") == "ON")
        for name, head in heads.items()
    }


def held(url: str, home: Home) -> set[bool]:
    return {each for _, each in locks(url, home).values()}


def days_left(url: str, home: Home) -> set[int]:
    now = datetime.now(UTC)
    return {round((until - now) / _DAY) for until, _ in locks(url, home).values()}
