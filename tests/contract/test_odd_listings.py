"""Listings that answer another question than was asked, or none: refused, as others' objects would be removed for ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.model.errors import StoreError
from holdfast.stores.azure import AzureStore
from holdfast.stores.base import Store
from holdfast.stores.gcs import GcsStore
from holdfast.stores.locking import versions_of
from holdfast.stores.s3 import S3Store
from support import azurite, gcs_emulator, moto_server
from support.azure_server import azure_server
from support.gcs_server import gcs_server
from support.proxy import Proxy, Rule, answer, asked_otherwise, proxy_to, stripped

pytestmark = pytest.mark.fault("store.lies")

Place = tuple[Store, Proxy]
PAGE = """<?xml version='1.0'?><ListBucketResult><Name>backups</Name><Prefix>p/</Prefix><KeyCount>1</KeyCount>
<MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>
<Contents><Key>p/a</Key><LastModified>2026-11-26T00:00:00Z</LastModified><ETag>"x"</ETag><Size>1</Size></Contents>
</ListBucketResult>"""


def s3(stack: ExitStack) -> Place:
    proxy = stack.enter_context(proxy_to(stack.enter_context(moto_server.moto_server())))
    return S3Store(moto_server.settings(proxy.url, prefix="p")), proxy


def gcs(stack: ExitStack) -> Place:
    proxy = stack.enter_context(proxy_to(stack.enter_context(gcs_server()).url))
    return GcsStore(gcs_emulator.settings(proxy.url, prefix="p")), proxy


def azure(stack: ExitStack) -> Place:
    proxy = stack.enter_context(proxy_to(stack.enter_context(azure_server()).url))
    return AzureStore(azurite.settings(proxy.url, prefix="p")), proxy


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    make: Callable[[ExitStack], Place] = getattr(request, "param", s3)
    with ExitStack() as stack:
        yield make(stack)


@pytest.mark.parametrize("place", [s3, gcs, azure], indirect=True)
def test_a_list_of_more_than_was_asked_for_is_none(place: Place) -> None:
    """A cache that does not look at the query would else have a failed backup remove all the good ones."""
    store, proxy = place
    for key in ("shop/a/part", "shop/b/part"):
        store.put(key, [b"x"])
    assert [each.key for each in store.list("shop/b/")] == ["shop/b/part"]
    wider = asked_otherwise(lambda path: re.sub(r"(prefix=p(/|%2F)shop)[^&]*", r"\1", path))
    proxy.rules.append(Rule(method="GET", contains="prefix=", act=wider, times=None))
    with pytest.raises(
        StoreError, match=r"lists p/shop/a/part when it is asked for what begins with p/shop/b/"
    ):
        list(store.list("shop/b/"))
    if (versions := versions_of(store)) is not None:
        with pytest.raises(StoreError, match="when it is asked for what begins with"):
            list(versions.versions("shop/b/"))


def test_a_list_without_an_end_is_none(place: Place) -> None:
    store, proxy = place
    proxy.rules.append(Rule(method="GET", contains="list-type=2", act=answer(200, PAGE.encode()), times=None))
    with pytest.raises(StoreError, match="lists the same page again and again"):
        list(store.list())


def test_uploads_of_others_are_left_alone(place: Place) -> None:
    store, proxy = place
    assert isinstance(store, S3Store)
    client = moto_server.raw_client(proxy.url)
    for key in ("p/shop/b/part", "other/part"):
        client.create_multipart_upload(Bucket="backups", Key=key)
    every = asked_otherwise(lambda path: re.sub(r"prefix=[^&]*", "prefix=", path))
    proxy.rules.append(Rule(method="GET", contains="uploads", act=every, times=None))
    assert store.abort_stale("shop/b/", datetime.now(UTC) + timedelta(hours=1)) == 1
    left = client.list_multipart_uploads(Bucket="backups")["Uploads"]
    assert [each["Key"] for each in left] == ["other/part"]


@pytest.mark.parametrize(
    ("method", "header", "work"),
    [
        ("HEAD", "last-modified", lambda store: store.stat("k")),
        ("GET", "content-length", lambda store: b"".join(store.get("k"))),
    ],
)
def test_an_answer_that_was_stripped_on_its_way_is_told(
    place: Place, method: str, header: str, work: Callable[[Store], object]
) -> None:
    store, proxy = place
    store.put("k", [b"content"])
    proxy.rules.append(Rule(method=method, contains="/p/k", act=stripped(header), times=None))
    with pytest.raises(
        StoreError, match=r"p at .*: k: the answer tells no (LastModified|ContentLength)"
    ) as caught:
        work(store)
    assert "proxy" in (caught.value.hint or "")
