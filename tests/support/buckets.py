"""The buckets of a project on a platform, by an S3 server on loopback, with a few files of different kinds."""

from __future__ import annotations

from typing import Any, TypeAlias

from holdfast.model.supabase import Project, StorageAccess
from support.moto_server import ACCESS_KEY, SECRET_KEY, raw_client

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
