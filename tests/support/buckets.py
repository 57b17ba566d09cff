"""The buckets of a project on a platform, by an S3 server on loopback, with a few files of different kinds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from holdfast.jobs.supabase import storage_save
from holdfast.jobs.supabase.storage_save import Saved
from holdfast.model.supabase import Project, StorageAccess
from support.memory_store import MemoryStore
from support.moto_server import ACCESS_KEY, SECRET_KEY, raw_client
from support.world import World, world

S3: TypeAlias = Any  # boto3 makes its clients when it runs
REF = "abcdefghijklmnopqrst"
ODD = "ünïcode/ name with spaces & 'quotes' \U0001f4a9.txt"


def emptied(url: str) -> S3:
    """Give a client of a server that has no buckets any more."""
    client = raw_client(url)
    for bucket in client.list_buckets()["Buckets"]:
        for found in client.list_objects_v2(Bucket=bucket["Name"]).get("Contents", ()):
            client.delete_object(Bucket=bucket["Name"], Key=found["Key"])
        client.delete_bucket(Bucket=bucket["Name"])
    return client


def project(url: str) -> Project:
    access = StorageAccess(
        url=url, region="us-east-1", access_key_id=ACCESS_KEY, secret_access_key=SECRET_KEY
    )
    return Project(ref=REF, storage_objects=True, storage=access)


def fill(s3: S3) -> None:
    for bucket in ("avatars", "papers"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(
        Bucket="avatars",
        Key="1.png",
        Body=b"first",
        ContentType="image/png",
        CacheControl="max-age=60",
        Metadata={"who": "me"},
    )
    s3.put_object(Bucket="avatars", Key=ODD, Body=b"odd")
    s3.put_object(Bucket="papers", Key="empty", Body=b"")
    s3.put_object(
        Bucket="papers", Key="large", Body=b"0123456789abcdef" * 600_000
    )  # more than a part of an upload


URL = "postgresql://postgres@127.0.0.1:1/postgres"


@contextmanager
def saving(folder: Path, url: str) -> Iterator[World]:
    """Make a host of a project whose buckets the server at `url` has; of its stores `a` and `b` the first is used."""
    stores = {name: MemoryStore(name) for name in ("a", "b")}
    with world(folder, URL, stores=stores, supabase=project(url)) as made:
        yield with_stores(made, "a")


def with_stores(made: World, *names: str) -> World:
    """Let the target use these stores."""
    return dataclasses.replace(made, target=dataclasses.replace(made.target, stores=names))


def store(made: World, name: str = "a") -> MemoryStore:
    """A store of a host that keeps in memory."""
    found = made.services.stores[name]
    assert isinstance(found, MemoryStore)
    return found


def save(made: World) -> Saved:
    """Save the files as they are."""
    return storage_save.save(made.services, made.target, made.stop)
