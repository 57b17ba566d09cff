"""The contract, and what the emulator does not know, on a small server of ours that speaks the documented protocol."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from contract.store_contract import MIB, SourceBrokeError, StoreContract, broken_after, data_of
from holdfast.model.errors import StoreError
from holdfast.stores.base import ExistsError, RefusedError, Store
from holdfast.stores.gcs import GcsStore
from support import gcs_emulator
from support.gcs_server import GRAIN, Bucket, gcs_server
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
)

DATA = data_of(2 * GRAIN + 12345)
EVEN = data_of(2 * GRAIN)
SMALL = b"a manifest"


@pytest.fixture(scope="module")
def service() -> Iterator[Bucket]:
    with gcs_server() as found:
        yield found


@pytest.fixture
def bucket(service: Bucket) -> Bucket:
    service.objects.clear()
    service.uploads.clear()
    service.cancelled = 0
    service.arrive.clear()
    return service


@pytest.mark.extended  # the same server as below, for all of the contract
class TestGcsStore(StoreContract):
    edge = GRAIN
    many = 1005

    @pytest.fixture
    def store(self, service: Bucket, request: pytest.FixtureRequest) -> Store:
        prefix = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
        return GcsStore(gcs_emulator.settings(service.url, prefix=prefix, part_bytes=self.edge))

    def fill(self, store: Store, keys: list[str]) -> None:
        assert isinstance(store, GcsStore)
        for key in keys:
            BEHIND[store._settings.endpoint_url or ""].add(store._path(key), b"x", {}, absent=True)


BEHIND: dict[str, Bucket] = {}


@pytest.fixture(autouse=True)
def _behind(service: Bucket) -> None:
    BEHIND[service.url] = service


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[Proxy]:
    with proxy_to(bucket.url) as found:
        yield found


@pytest.fixture
def store(proxy: Proxy) -> GcsStore:
    return GcsStore(gcs_emulator.settings(proxy.url, prefix="p", part_bytes=GRAIN))


def straight(server: Bucket, **changes: object) -> GcsStore:
    return GcsStore(gcs_emulator.settings(server.url, prefix="p", part_bytes=GRAIN, **changes))


def pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


def read(store: GcsStore, key: str = "k") -> bytes:
    return b"".join(store.get(key))


def open_uploads(bucket: Bucket) -> int:
    return sum(upload.finished is None for upload in bucket.uploads.values())


@pytest.mark.fault("store.passing")
@pytest.mark.parametrize(
    "rule",
    [
        Rule(method="PUT", contains="upload_id", act=reset_upload(100_000)),
        Rule(method="PUT", contains="upload_id", act=answer(503)),
        Rule(method="PUT", contains="upload_id", act=answer(503), times=4),
        Rule(method="PUT", contains="upload_id", act=lost_answer),
        Rule(method="PUT", contains="upload_id", act=lost_answer, skip=1),
        Rule(method="PUT", contains="upload_id", act=lost_answer, skip=2),
        Rule(method="PUT", contains="upload_id", act=answer(408), skip=2),
        Rule(method="POST", contains="resumable", act=answer(500)),
        Rule(method="POST", contains="resumable", act=lost_answer),
        Rule(method="GET", contains="/o/p%2Fk", act=answer(503)),
        Rule(method="PUT", contains="upload_id", act=answer(429, headers={"Retry-After": "0"})),
    ],
    ids=lambda rule: f"{rule.method} {rule.contains} {rule.act.__qualname__} {rule.skip} {rule.times}",
)
@pytest.mark.extended
@pytest.mark.parametrize(
    ("data", "absent"), [(DATA, False), (DATA, True), (EVEN, True)], ids=["any", "absent", "even"]
)
def test_a_large_upload_survives_what_passes(
    store: GcsStore, proxy: Proxy, bucket: Bucket, rule: Rule, data: bytes, *, absent: bool
) -> None:
    proxy.rules.append(replace(rule))
    assert store.put("k", pieces(data), absent=absent) is True
    assert proxy.rules[0].times == 0, "the fault was never met"
    assert read(store) == data
    assert len(bucket.objects) == 1


@pytest.mark.extended
@pytest.mark.parametrize(
    "act",
    [reset_upload(3), answer(500), answer(502), lost_answer, answer(200, b"<html>")],
    ids=lambda act: act.__qualname__,
)
@pytest.mark.parametrize("absent", [False, True])
def test_a_small_put_survives_what_passes(
    store: GcsStore,
    proxy: Proxy,
    act: Act,
    absent: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    proxy.rules.append(Rule(method="POST", contains="multipart", act=act))
    assert store.put("k", [SMALL], absent=absent) is True
    assert read(store) == SMALL


@pytest.mark.parametrize("arrive", [[0], [1], [GRAIN - 1], [100, 0, 5], [GRAIN, 7, 9]])
def test_a_piece_that_arrived_in_part_is_completed(bucket: Bucket, arrive: list[int]) -> None:
    bucket.arrive += arrive
    store = straight(bucket)
    assert store.put("k", pieces(DATA)) is True
    assert read(store) == DATA


def test_an_upload_survives_a_lost_last_answer(store: GcsStore, proxy: Proxy) -> None:
    proxy.rules.append(Rule(method="PUT", contains="upload_id", act=lost_answer, skip=2))
    assert store.put("k", pieces(DATA), absent=True) is True
    assert read(store) == DATA


def test_a_service_that_takes_nothing_is_given_up(bucket: Bucket) -> None:
    bucket.arrive += [0] * 1000
    store = straight(bucket, deadline=0.5)
    with pytest.raises(StoreError, match="cannot write k from byte 0 on"):
        store.put("k", pieces(DATA))
    assert bucket.objects == []
    assert open_uploads(bucket) == 0


@pytest.mark.fault("store.lies")
def test_a_service_that_forgot_what_it_held_is_not_believed(
    store: GcsStore, proxy: Proxy, bucket: Bucket
) -> None:
    proxy.rules.append(Rule(method="PUT", contains="upload_id", act=answer(308), skip=1, times=None))
    with pytest.raises(StoreError, match="holds 0 bytes of the"):
        store.put("k", pieces(DATA))
    assert bucket.objects == []


@pytest.mark.fault("store.source")
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_a_source_that_breaks_cancels_its_upload(bucket: Bucket, parts: int) -> None:
    with pytest.raises(SourceBrokeError) as caught:
        straight(bucket).put("k", broken_after([data_of(GRAIN)] * parts))
    assert not getattr(caught.value, "__notes__", [])
    assert (bucket.objects, open_uploads(bucket), bucket.cancelled) == ([], 0, 1)


def test_a_cancel_that_fails_hides_nothing(store: GcsStore, proxy: Proxy) -> None:
    proxy.rules.append(Rule(method="DELETE", act=answer(403)))
    with pytest.raises(SourceBrokeError) as caught:
        store.put("k", broken_after([data_of(GRAIN)]))
    note = str(caught.value.__notes__)
    assert "cannot cancel the upload of k" in note
    assert "upload_id=upload" not in note


@pytest.mark.parametrize("data", [SMALL, DATA, EVEN], ids=["small", "large", "even"])
def test_the_service_vouches_for_what_it_took(bucket: Bucket, data: bytes) -> None:
    assert straight(bucket).put("k", pieces(data)) is True


def without_md5(found: Answer) -> Answer:
    told = json.loads(found.body)
    told.pop("md5Hash")
    return replace(found, body=json.dumps(told).encode(), headers=(("Content-Type", "application/json"),))


@pytest.mark.parametrize("data", [SMALL, DATA], ids=["small", "large"])
def test_without_an_md5_nothing_is_vouched_for(store: GcsStore, proxy: Proxy, data: bytes) -> None:
    proxy.rules.append(Rule(method="GET", contains="/o/p%2Fk", act=changed(without_md5)))
    assert store.put("k", pieces(data)) is False


def flipped(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1])


def test_a_large_object_that_changed_on_its_way_fails_and_is_removed(
    store: GcsStore, proxy: Proxy, bucket: Bucket
) -> None:
    proxy.rules.append(Rule(method="PUT", contains="upload_id", act=changed_request(flipped), skip=1))
    with pytest.raises(StoreError, match="holds other bytes than were sent, and was deleted"):
        store.put("k", pieces(DATA))
    assert bucket.objects == []


def test_a_small_object_that_changed_on_its_way_is_refused_by_the_service(
    store: GcsStore, proxy: Proxy, bucket: Bucket
) -> None:
    def other(body: bytes) -> bytes:
        return body.replace(SMALL, SMALL[::-1])

    proxy.rules.append(Rule(method="POST", act=changed_request(other), times=None))
    with pytest.raises(StoreError, match="cannot write k"):
        store.put("k", [SMALL])
    assert bucket.objects == []


def test_an_object_that_is_gone_after_the_store_took_it_fails(store: GcsStore, proxy: Proxy) -> None:
    proxy.rules.append(Rule(method="GET", contains="/o/p%2Fk", act=answer(404)))
    with pytest.raises(StoreError, match="is not there, though the store took it"):
        store.put("k", pieces(DATA))


def test_the_loser_of_a_race_is_told_so_and_cancels(bucket: Bucket) -> None:
    store = straight(bucket)

    def source() -> Iterator[bytes]:
        yield DATA
        bucket.add("p/k", b"theirs", {}, absent=True)

    with pytest.raises(ExistsError):
        store.put("k", source(), absent=True)
    assert read(store) == b"theirs"
    assert open_uploads(bucket) == 0


def test_the_service_itself_guards_the_last_step(store: GcsStore, proxy: Proxy, bucket: Bucket) -> None:
    """The other writer comes after our last look, so that only the precondition can tell."""

    def raced(found: Answer) -> Answer:
        bucket.add("p/k", b"theirs", {}, absent=True)
        return found

    proxy.rules.append(Rule(method="GET", contains="/o/p%2Fk", act=changed(raced), skip=1))
    with pytest.raises(ExistsError):
        store.put("k", pieces(DATA), absent=True)
    assert [one.data for one in bucket.objects] == [b"theirs"]


@pytest.mark.parametrize(
    "act", [reset_download(100_000), cut_download(200_007), cut_download(0), answer(503)]
)
@pytest.mark.sampled(2)
def test_a_download_goes_on_where_it_broke_off(store: GcsStore, proxy: Proxy, act: Act) -> None:
    store.put("k", pieces(DATA))
    proxy.rules.append(Rule(method="GET", contains="alt=media", act=act, times=2))
    assert read(store) == DATA
    assert proxy.rules[0].times == 0


def test_a_download_never_mixes_two_objects(store: GcsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.stores.pieces.PIECE_BYTES", MIB)
    store.put("k", [data_of(3 * MIB)])
    reader = store.get("k")
    next(reader)
    store.put("k", [data_of(3 * MIB + 1)])
    with pytest.raises(StoreError, match="changed or deleted while it was read"):
        list(reader)


def test_a_proxy_that_ignores_ranges_is_noticed(store: GcsStore, proxy: Proxy) -> None:
    store.put("k", [DATA])
    proxy.rules.append(Rule(method="GET", contains="alt=media", act=answer(200, DATA)))
    with pytest.raises(RefusedError, match="came whole when a piece of it was asked for"):
        list(store.get("k", start=5, length=7))


@pytest.mark.fault("store.hang")
def test_a_store_that_hangs_is_given_up(proxy: Proxy) -> None:
    store = GcsStore(gcs_emulator.settings(proxy.url, read_timeout=0.2, patience=0.4))
    proxy.rules.append(Rule(method="GET", act=hang, times=None))
    with pytest.raises(StoreError, match="cannot look at k") as caught:
        store.stat("k")
    assert "did not answer" in (caught.value.hint or "")
    assert caught.value.retryable


def test_a_storm_that_asks_to_be_left_alone_is_left_alone(store: GcsStore, proxy: Proxy) -> None:
    proxy.rules.append(Rule(method="GET", act=answer(503, headers={"Retry-After": "60"}), times=None))
    with pytest.raises(StoreError, match="cannot look at k: 503"):
        store.stat("k")
    assert len(proxy.seen) == 1  # the pause would be longer than the patience
