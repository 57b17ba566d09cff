"""What the S3 store makes of a broken network and of a store that lies. The server is real; a proxy breaks things."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.model.errors import NotFoundError, StoreError
from holdfast.stores.base import ExistsError, RefusedError
from holdfast.stores.s3 import S3Store
from support import moto_server
from support.proxy import (
    Act,
    Answer,
    Proxy,
    Rule,
    answer,
    changed,
    changed_request,
    cut_download,
    hang,
    lost_answer,
    proxy_to,
    reset_download,
    reset_upload,
    s3_error,
)

MIB = 1024 * 1024
PART = 5 * MIB
DATA = random.Random(7).randbytes(2 * PART + 12345)
SMALL = b"a manifest"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with moto_server.moto_server() as url:
        yield url


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    with proxy_to(server) as found:
        yield found
    client = moto_server.raw_client(server)
    for stored in client.list_objects_v2(Bucket="backups").get("Contents", ()):
        client.delete_object(Bucket="backups", Key=stored["Key"])
    for upload in client.list_multipart_uploads(Bucket="backups").get("Uploads", ()):
        client.abort_multipart_upload(Bucket="backups", Key=upload["Key"], UploadId=upload["UploadId"])


@pytest.fixture
def store(proxy: Proxy) -> S3Store:
    return S3Store(moto_server.settings(proxy.url, prefix="p", part_bytes=PART))


def open_uploads(server: str) -> int:
    return len(moto_server.raw_client(server).list_multipart_uploads(Bucket="backups").get("Uploads", ()))


def pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), MIB):
        yield data[start : start + MIB]


def read(store: S3Store, key: str = "k") -> bytes:
    return b"".join(store.get(key))


@pytest.mark.fault("store.passing")
@pytest.mark.extended
@pytest.mark.parametrize(
    "rule",
    [
        Rule(method="PUT", contains="partNumber=2", act=reset_upload(100_000)),
        Rule(method="PUT", contains="partNumber=1", act=answer(503)),
        Rule(method="PUT", contains="partNumber=3", act=s3_error(500, "InternalError"), times=2),
        Rule(method="PUT", contains="partNumber=1", act=s3_error(503, "SlowDown")),
        Rule(method="PUT", contains="partNumber=1", act=lost_answer),
        Rule(method="POST", contains="uploads", act=s3_error(500, "InternalError")),
        Rule(method="POST", contains="uploadId", act=s3_error(200, "InternalError")),
        Rule(method="POST", contains="uploadId", act=lost_answer),
        Rule(method="HEAD", act=answer(503)),
    ],
    ids=lambda rule: f"{rule.method} {rule.contains} {rule.act.__qualname__}",
)
@pytest.mark.parametrize("absent", [False, True], ids=["any", "absent"])
def test_a_large_upload_survives_what_passes(
    store: S3Store, proxy: Proxy, server: str, rule: Rule, *, absent: bool
) -> None:
    proxy.rules.append(replace(rule))
    assert store.put("k", pieces(DATA), absent=absent)
    assert not proxy.rules[0].times, "the fault was never met"
    assert read(store) == DATA
    assert open_uploads(server) == 0


@pytest.mark.parametrize(
    "act",
    [
        reset_upload(3),
        answer(500),
        s3_error(503, "SlowDown"),
        lost_answer,
        s3_error(409, "ConditionalRequestConflict"),
    ],
    ids=lambda act: act.__qualname__,
)
@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.extended
def test_a_small_put_survives_what_passes(store: S3Store, proxy: Proxy, act: Act, absent: bool) -> None:  # noqa: FBT001 - a parameter of the test
    proxy.rules.append(Rule(method="PUT", act=act))
    assert store.put("k", [SMALL], absent=absent)
    assert proxy.rules[0].times == 0
    assert read(store) == SMALL


@pytest.mark.fault("store.lies")
@pytest.mark.extended
def test_a_completion_that_always_answers_200_with_an_error_fails_and_leaves_nothing(
    store: S3Store, proxy: Proxy, server: str
) -> None:
    proxy.rules.append(
        Rule(method="POST", contains="uploadId", act=s3_error(200, "InternalError"), times=None)
    )
    with pytest.raises(StoreError, match="cannot write k: InternalError"):
        store.put("k", pieces(DATA))
    assert store.stat("k") is None
    assert open_uploads(server) == 0


@pytest.mark.fault("store.lasting")
@pytest.mark.extended
def test_a_store_that_dies_half_way_fails_within_the_deadline(
    store: S3Store, proxy: Proxy, server: str
) -> None:
    proxy.rules.append(Rule(method="PUT", contains="partNumber=2", act=reset_upload(1000), times=None))
    started = time.monotonic()
    with pytest.raises(StoreError, match="cannot write part 2 of k") as caught:
        store.put("k", pieces(DATA))
    assert time.monotonic() - started < 20
    assert caught.value.hint
    assert caught.value.retryable
    assert store.stat("k") is None
    assert open_uploads(server) == 0


@pytest.mark.extended
def test_a_source_that_breaks_during_a_failing_part_does_not_wait_for_the_deadline(
    proxy: Proxy, server: str
) -> None:
    store = S3Store(moto_server.settings(proxy.url, part_bytes=PART, deadline=120.0, retry_pause=5.0))
    proxy.rules.append(Rule(method="PUT", contains="partNumber=1", act=answer(503), times=None))

    def source() -> Iterator[bytes]:
        yield DATA[:PART]
        while not proxy.count("partNumber=1"):
            time.sleep(0.01)
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        store.put("k", source())
    assert time.monotonic() - started < 10
    assert open_uploads(server) == 0


def test_an_abort_that_fails_hides_nothing_and_is_swept_later(
    store: S3Store, proxy: Proxy, server: str
) -> None:
    def source() -> Iterator[bytes]:
        yield DATA
        raise LookupError("the dump failed")

    proxy.rules.append(Rule(method="DELETE", contains="uploadId", act=s3_error(403, "AccessDenied"), times=1))
    with pytest.raises(LookupError, match="the dump failed") as caught:
        store.put("k", source())
    assert "cannot abort the upload of k: AccessDenied" in str(caught.value.__notes__)
    assert open_uploads(server) == 1
    now = datetime.now(UTC)
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)  # moto says of every upload that it began in 2010
    assert store.abort_stale("", long_ago) == 0
    assert store.abort_stale("other/", now + timedelta(minutes=1)) == 0
    assert store.abort_stale("", now + timedelta(minutes=1)) == 1
    assert open_uploads(server) == 0


def with_length(length: int) -> Callable[[Answer], Answer]:
    def change(found: Answer) -> Answer:
        others = tuple(pair for pair in found.headers if pair[0].lower() != "content-length")
        return replace(found, headers=(*others, ("Content-Length", str(length))))

    return change


@pytest.mark.fault("store.lies")
@pytest.mark.parametrize("data", [SMALL, DATA], ids=["small", "large"])
def test_an_object_of_another_size_than_was_sent_fails_and_is_removed(
    store: S3Store, proxy: Proxy, data: bytes
) -> None:
    proxy.rules.append(Rule(method="HEAD", act=changed(with_length(5))))
    with pytest.raises(StoreError, match=f"k has 5 bytes instead of {len(data)}"):
        store.put("k", pieces(data))
    assert store.stat("k") is None


@pytest.mark.fault("store.lies")
@pytest.mark.parametrize("data", [SMALL, DATA], ids=["small", "large"])
def test_an_object_that_is_gone_after_the_store_took_it_fails(
    store: S3Store, proxy: Proxy, data: bytes
) -> None:
    proxy.rules.append(Rule(method="HEAD", act=answer(404)))
    with pytest.raises(StoreError, match="is not there, though the store took it"):
        store.put("k", pieces(data))


def flipped(body: bytes) -> bytes:
    return bytes([body[0] ^ 1]) + body[1:]


def test_a_small_object_that_changed_on_its_way_fails_and_is_removed(
    store: S3Store, proxy: Proxy, server: str
) -> None:
    broken = b"b manifest"
    etag = {"ETag": '"00000000000000000000000000000000"', "Content-Length": str(len(SMALL))}
    moto_server.raw_client(server).put_object(Bucket="backups", Key="p/k", Body=broken)
    proxy.rules.append(Rule(method="PUT", act=answer(200, b"", {"ETag": '"x"'})))
    proxy.rules.append(Rule(method="HEAD", act=answer(200, b"", etag)))
    with pytest.raises(StoreError, match="other bytes than were sent"):
        store.put("k", [SMALL])
    assert store.stat("k") is None


def test_a_small_object_with_an_opaque_etag_is_read_back(store: S3Store, proxy: Proxy) -> None:
    def opaque(found: Answer) -> Answer:
        others = tuple(pair for pair in found.headers if pair[0].lower() != "etag")
        return replace(found, headers=(*others, ("ETag", '"opaque"')))

    proxy.rules.append(Rule(method="HEAD", act=changed(opaque)))
    assert store.put("k", [SMALL])
    assert proxy.count("GET /backups/p/k") == 1


def test_a_large_object_with_an_opaque_etag_is_not_vouched_for(store: S3Store, proxy: Proxy) -> None:
    def opaque(found: Answer) -> Answer:
        others = tuple(pair for pair in found.headers if pair[0].lower() != "etag")
        return replace(found, headers=(*others, ("ETag", '"opaque"')))

    proxy.rules.append(Rule(method="HEAD", act=changed(opaque)))
    assert store.put("k", pieces(DATA)) is False
    assert read(store) == DATA


def test_a_large_object_that_changed_on_its_way_is_not_vouched_for(store: S3Store, proxy: Proxy) -> None:
    proxy.rules.append(Rule(method="PUT", contains="partNumber=2", act=changed_request(flipped), times=None))
    with pytest.raises(StoreError, match=r"other bytes than were sent|BadDigest"):
        store.put("k", pieces(DATA))
    assert store.stat("k") is None


@pytest.mark.fault("store.reads")
@pytest.mark.parametrize("act", [reset_download(2 * MIB), cut_download(3 * MIB + 7), cut_download(0)])
@pytest.mark.sampled(1)
def test_a_download_goes_on_where_it_broke_off(store: S3Store, proxy: Proxy, act: Act) -> None:
    store.put("k", pieces(DATA))
    proxy.rules.append(Rule(method="GET", contains="/p/k", act=act, times=2))
    assert read(store) == DATA
    assert proxy.count("GET /backups/p/k") == 3


@pytest.mark.parametrize("after", [0, 1000])
@pytest.mark.sampled(1)
def test_a_download_that_never_gets_on_fails_at_last(proxy: Proxy, after: int) -> None:
    store = S3Store(moto_server.settings(proxy.url, prefix="p", retry_pause=0.005))
    store.put("k", [SMALL * 500])
    proxy.rules.append(Rule(method="GET", contains="/p/k", act=cut_download(after), skip=0, times=None))
    if after:
        proxy.rules[0].times = 1
        proxy.rules.append(Rule(method="GET", contains="/p/k", act=cut_download(0), times=None))
    with pytest.raises(StoreError, match="k broke off after"):
        read(store)


@pytest.mark.fault("store.reads")
def test_a_download_never_mixes_two_objects(store: S3Store, proxy: Proxy, server: str) -> None:
    store.put("k", pieces(DATA))
    proxy.rules.append(Rule(method="GET", contains="/p/k", act=cut_download(2 * MIB)))
    reader = store.get("k")
    next(reader)
    moto_server.raw_client(server).put_object(Bucket="backups", Key="p/k", Body=DATA[::-1])
    with pytest.raises(StoreError, match="changed or deleted while it was read"):
        list(reader)


@pytest.mark.fault("store.hang")
def test_a_store_that_hangs_is_given_up(proxy: Proxy) -> None:
    store = S3Store(moto_server.settings(proxy.url, read_timeout=0.3, patience=0.5, deadline=0.5))
    proxy.rules.append(Rule(method="HEAD", act=hang, times=None))
    started = time.monotonic()
    with pytest.raises(StoreError, match="cannot look at k") as caught:
        store.stat("k")
    assert time.monotonic() - started < 5
    assert caught.value.hint
    assert "did not answer" in caught.value.hint


def test_a_hang_that_passes_is_survived(proxy: Proxy) -> None:
    store = S3Store(moto_server.settings(proxy.url, read_timeout=0.5))
    proxy.rules.append(Rule(method="PUT", act=hang))
    assert store.put("k", [SMALL])


@pytest.mark.sampled(4)
@pytest.mark.fault("store.denied")
@pytest.mark.parametrize(
    ("act", "hint"),
    [
        (s3_error(403, "AccessDenied"), "s3:ListBucket"),
        (
            s3_error(403, "AccessDenied", "User: x is not authorized to perform: kms:Decrypt on resource: y"),
            "kms:Decrypt",
        ),
        (s3_error(403, "InvalidAccessKeyId"), "access key"),
        (s3_error(403, "SignatureDoesNotMatch"), "secret access key"),
        (s3_error(403, "RequestTimeTooSkewed"), "clock"),
        (s3_error(404, "NoSuchBucket"), "bucket"),
        (s3_error(400, "AuthorizationHeaderMalformed", more="<Region>eu-west-9</Region>"), "eu-west-9"),
        (answer(301, b"", {"x-amz-bucket-region": "ap-south-7"}), "region"),
        (s3_error(403, "QuotaExceeded"), "quota"),
    ],
)
def test_a_refusal_is_told_at_once_with_what_to_do(store: S3Store, proxy: Proxy, act: Act, hint: str) -> None:
    proxy.rules.append(Rule(method="GET", act=act, times=None))
    with pytest.raises(RefusedError, match=r"s3://backups/p at 127.0.0.1:\d+: cannot list") as caught:
        list(store.list())
    assert caught.value.hint
    assert hint in caught.value.hint
    assert not caught.value.retryable
    assert len(proxy.seen) <= 3


@pytest.mark.parametrize(
    ("use", "permission", "method"),
    [
        (lambda store: store.put("k", [SMALL]), "s3:PutObject", "PUT"),
        (lambda store: store.put("k", [DATA]), "s3:PutObject", "POST"),
        (lambda store: list(store.get("k")), "s3:GetObject", "GET"),
        (lambda store: store.stat("k"), "s3:GetObject and s3:ListBucket", "HEAD"),
        (lambda store: store.delete("k"), "s3:DeleteObject", "DELETE"),
        (lambda store: store.abort_stale("", datetime.now(UTC)), "s3:ListBucketMultipartUploads", "GET"),
    ],
)
def test_a_missing_permission_is_named(
    store: S3Store, proxy: Proxy, use: Callable[[S3Store], object], permission: str, method: str
) -> None:
    proxy.rules.append(Rule(method=method, act=s3_error(403, "AccessDenied"), times=None))
    with pytest.raises(RefusedError) as caught:
        use(store)
    assert caught.value.hint
    assert f"{permission} on" in caught.value.hint


def test_a_store_that_knows_no_conditions_is_looked_at_first(store: S3Store, proxy: Proxy) -> None:
    proxy.rules.append(Rule(method="PUT", act=s3_error(501, "NotImplemented")))
    store.put("k", [SMALL], absent=True)
    assert proxy.rules[0].times == 0
    assert read(store) == SMALL
    with pytest.raises(ExistsError):
        store.put("k", [b"other"], absent=True)


def test_nobody_listening_is_a_store_error_with_a_hint(server: str) -> None:
    del server
    store = S3Store(moto_server.settings("http://127.0.0.1:1", patience=0.2))
    with pytest.raises(StoreError, match="cannot look at k") as caught:
        store.stat("k")
    assert caught.value.hint
    assert "endpoint_url" in caught.value.hint
    assert caught.value.retryable


def test_a_missing_object_is_not_found_at_once(store: S3Store, proxy: Proxy) -> None:
    with pytest.raises(NotFoundError, match="there is no k"):
        read(store)
    assert len(proxy.seen) == 1


def test_uploads_in_several_threads_do_not_mix(store: S3Store, proxy: Proxy) -> None:
    proxy.rules.append(Rule(method="PUT", contains="partNumber=2", act=reset_upload(1000), times=2))
    with ThreadPoolExecutor(3) as pool:
        for number in range(3):
            pool.submit(store.put, f"k{number}", [bytes([number]) * (2 * PART + number)])
    for number in range(3):
        assert read(store, f"k{number}") == bytes([number]) * (2 * PART + number)
