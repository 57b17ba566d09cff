"""What answers for a bucket, and is no list of what is in it, is not taken for an empty one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from holdfast.model.errors import StoreError
from holdfast.stores.bucket_files import BucketAccess, BucketFiles
from holdfast.stores.s3 import S3Store
from support.moto_server import settings

UNDATED = (
    b"<ListBucketResult><Name>x</Name><Contents><Key>k</Key><Size>7</Size></Contents></ListBucketResult>"
)
CUT = b"<ListBucketResult><Name>x</Name><IsTruncated>true</IsTruncated></ListBucketResult>"


@pytest.fixture
def answer() -> Iterator[tuple[str, list[bytes]]]:
    """A server that says the same to every question, and what it says."""
    said = [b""]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(said[0])))
            self.end_headers()
            self.wfile.write(said[0])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", said
        server.shutdown()


@pytest.mark.parametrize("body", [b"", b"<html><body>Sign in</body></html>", CUT])
def test_what_is_no_list_is_not_an_empty_one(answer: tuple[str, list[bytes]], body: bytes) -> None:
    url, said = answer
    said[0] = body
    files = BucketFiles(
        BucketAccess(url=url, region="x", access_key_id="a", secret_access_key="b", patience=1)
    )
    with pytest.raises(StoreError, match="what came is not the list of the buckets"):
        files.buckets()
    with pytest.raises(StoreError, match="what came is not the list of bucket x"):
        list(files.files("x"))


def test_a_project_without_buckets_and_a_file_without_a_date_are_usual(
    answer: tuple[str, list[bytes]],
) -> None:
    url, said = answer
    files = BucketFiles(
        BucketAccess(url=url, region="x", access_key_id="a", secret_access_key="b", patience=1)
    )
    said[0] = b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>"
    assert files.buckets() == ()
    said[0] = UNDATED
    assert [(each.name, each.size) for each in files.files("x")] == [("k", 7)]


@pytest.mark.parametrize("body", [b"", b"<html><body>Sign in</body></html>", CUT])
def test_no_store_is_empty_because_something_else_answers(
    answer: tuple[str, list[bytes]], body: bytes
) -> None:
    url, said = answer
    said[0] = body
    with pytest.raises(StoreError, match="what came is not a listing"):
        list(S3Store(settings(url)).list())
