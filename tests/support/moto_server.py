"""An S3 server on loopback, in a thread of the tests' own process."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import boto3
import botocore.session
from botocore.config import Config
from moto import backends
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from holdfast.stores.s3 import S3Settings

ACCESS_KEY = "AKIDTEST"
SECRET_KEY = "secret-of-a-throwaway-server"
BUCKET = "backups"
# Half a second and some megabytes for each client, otherwise: every session reads the whole description of S3 anew.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)


@contextmanager
def moto_server() -> Iterator[str]:
    """Start a server with a bucket named `backups`; give its URL."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    # Moto's own ThreadedMotoServer takes half a second to end.
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        raw_client(url).create_bucket(Bucket=BUCKET)
        yield url
    finally:
        backends.get_backend("s3").reset()  # all servers of a process share what they hold
        server.shutdown()
        thread.join()
        server.server_close()


def keys(url: str, prefix: str = "", bucket: str = BUCKET) -> str:
    """The keys of a store in the bucket, as a config has them; `url` is the server's, or a proxy's before it."""
    where = f"s3://{bucket}/{prefix}".rstrip("/")
    return (
        f'url = "{where}"\nendpoint_url = "{url}"\nregion = "us-east-1"\npath_style = true\n'
        f'access_key_id = "{ACCESS_KEY}"\nsecret_access_key = "{SECRET_KEY}"'
    )


def raw_client(url: str, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY):  # type: ignore[no-untyped-def]  # noqa: ANN201 - boto3 makes its clients at run time
    """Make a client that goes round our store, to look at what lies there."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1, "mode": "standard"}),
    )


def settings(url: str, **changes: object) -> S3Settings:
    """Settings that reach the server, impatient enough for tests; `changes` override them."""
    base: dict[str, object] = {
        "name": "cloud",
        "bucket": BUCKET,
        "endpoint_url": url,
        "region": "us-east-1",
        "path_style": True,
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
        "patience": 3.0,
        "deadline": 5.0,
        "retry_pause": 0.02,
        "connect_timeout": 2.0,
        "read_timeout": 5.0,
    }
    return S3Settings(**{**base, **changes})  # type: ignore[arg-type]
