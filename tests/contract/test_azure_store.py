"""The contract on a small server of ours that speaks Azure's protocol, and what the store makes of broken ways."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from contract.store_contract import MIB, SourceBrokeError, StoreContract, broken_after, data_of
from holdfast.model.errors import ConfigError, StoreError
from holdfast.stores.azure import AzureStore
from holdfast.stores.base import ExistsError, RefusedError, Store
from support import azurite
from support.azure_server import Container, azure_server
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

BLOCK = 256 * 1024
DATA = data_of(2 * BLOCK + 12345)
EVEN = data_of(2 * BLOCK)
SMALL = b"a manifest"


@pytest.fixture(scope="module")
def service() -> Iterator[Container]:
    with azure_server() as found:
        yield found


@pytest.fixture
def container(service: Container) -> Container:
    service.blobs.clear()
    service.staged.clear()
    return service


@pytest.mark.extended  # the same server as below, for all of the contract
class TestAzureStore(StoreContract):
    edge = BLOCK
    many = 1005

    @pytest.fixture
    def store(self, service: Container, request: pytest.FixtureRequest) -> Store:
        prefix = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
        return AzureStore(azurite.settings(service.url, prefix=prefix, block_bytes=self.edge))

    @pytest.fixture(autouse=True)
    def _behind(self, service: Container) -> None:
        self.service = service

    def fill(self, store: Store, keys: list[str]) -> None:
        assert isinstance(store, AzureStore)
        for key in keys:
            self.service.add(store._path(key), b"x", {}, md5=None, blocks=[])


@pytest.fixture
def proxy(container: Container) -> Iterator[Proxy]:
    with proxy_to(container.url) as found:
        yield found


@pytest.fixture
def store(proxy: Proxy) -> AzureStore:
    return AzureStore(azurite.settings(proxy.url, prefix="p", block_bytes=BLOCK))


def straight(server: Container, **changes: object) -> AzureStore:
    return AzureStore(azurite.settings(server.url, prefix="p", block_bytes=BLOCK, **changes))


def pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


def read(store: AzureStore, key: str = "k") -> bytes:
    return b"".join(store.get(key))


@pytest.mark.fault("store.passing")
@pytest.mark.extended
@pytest.mark.parametrize(
    ("data", "absent"), [(DATA, False), (DATA, True), (EVEN, True)], ids=["any", "absent", "even"]
)
@pytest.mark.parametrize(
    "rule",
    [
        Rule(method="PUT", contains="comp=block&", act=reset_upload(100_000)),
        Rule(method="PUT", contains="comp=block&", act=answer(503), times=4),
        Rule(method="PUT", contains="comp=block&", act=answer(500), skip=1),
        Rule(method="PUT", contains="comp=block&", act=lost_answer),
        Rule(method="PUT", contains="comp=blocklist", act=lost_answer),
        Rule(method="PUT", contains="comp=blocklist", act=answer(503)),
        Rule(method="HEAD", act=answer(503)),
        Rule(method="GET", contains="comp=blocklist", act=answer(200, b"<html>")),
        Rule(method="PUT", contains="comp=block&", act=answer(429, headers={"Retry-After": "0"})),
    ],
    ids=lambda rule: f"{rule.method} {rule.contains} {rule.act.__qualname__} {rule.skip} {rule.times}",
)
def test_a_large_upload_survives_what_passes(
    store: AzureStore, proxy: Proxy, container: Container, rule: Rule, data: bytes, *, absent: bool
) -> None:
    proxy.rules.append(replace(rule))
    assert store.put("k", pieces(data), absent=absent) is True
    assert proxy.rules[0].times == 0, "the fault was never met"
    assert read(store) == data
    assert len(container.blobs) == 1


@pytest.mark.extended
@pytest.mark.parametrize(
    "act", [reset_upload(3), answer(500), answer(502), lost_answer], ids=lambda act: act.__qualname__
)
@pytest.mark.parametrize("absent", [False, True])
def test_a_small_put_survives_what_passes(
    store: AzureStore,
    proxy: Proxy,
    act: Act,
    absent: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    proxy.rules.append(Rule(method="PUT", act=act))
    assert store.put("k", [SMALL], absent=absent) is True
    assert read(store) == SMALL


def test_an_upload_survives_a_lost_last_answer(store: AzureStore, proxy: Proxy) -> None:
    proxy.rules.append(Rule(method="PUT", contains="comp=blocklist", act=lost_answer))
    assert store.put("k", pieces(DATA), absent=True) is True
    assert read(store) == DATA


@pytest.mark.fault("store.source")
@pytest.mark.parametrize("parts", [1, 4])
def test_a_source_that_breaks_makes_no_blob(container: Container, parts: int) -> None:
    with pytest.raises(SourceBrokeError):
        straight(container).put("k", broken_after([data_of(BLOCK)] * parts))
    assert container.blobs == []


@pytest.mark.fault("store.lasting")
def test_a_store_that_dies_half_way_fails_within_the_deadline(proxy: Proxy) -> None:
    proxy.rules.append(Rule(method="PUT", contains="comp=block&", act=reset_upload(1000), skip=1, times=None))
    with pytest.raises(StoreError, match="cannot write block 2 of k") as caught:
        AzureStore(azurite.settings(proxy.url, block_bytes=BLOCK, deadline=0.5)).put("k", pieces(DATA))
    assert caught.value.retryable
    assert caught.value.hint


@pytest.mark.parametrize("data", [b"", SMALL, DATA, EVEN], ids=["empty", "small", "large", "even"])
def test_the_service_vouches_for_what_it_took(container: Container, data: bytes) -> None:
    assert straight(container).put("k", pieces(data)) is True


def without_md5(found: Answer) -> Answer:
    return replace(found, headers=tuple(pair for pair in found.headers if pair[0].lower() != "content-md5"))


@pytest.mark.parametrize(
    ("data", "method", "text"), [(SMALL, "HEAD", ""), (DATA, "PUT", "comp=block&")], ids=["small", "large"]
)
def test_without_an_md5_nothing_is_vouched_for(
    store: AzureStore, proxy: Proxy, data: bytes, method: str, text: str
) -> None:
    proxy.rules.append(Rule(method=method, contains=text, act=changed(without_md5)))
    assert store.put("k", pieces(data)) is False


def flipped(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1])


@pytest.mark.parametrize("data", [SMALL, DATA], ids=["small", "large"])
def test_what_changes_on_its_way_is_refused_by_the_service_and_sent_again(
    store: AzureStore, proxy: Proxy, data: bytes
) -> None:
    proxy.rules.append(Rule(method="PUT", act=changed_request(flipped)))
    assert store.put("k", pieces(data)) is True
    assert read(store) == data


def test_two_writers_of_one_key_do_not_mix(container: Container) -> None:
    store = straight(container)

    def source() -> Iterator[bytes]:
        yield DATA[:BLOCK]
        store.put("k", pieces(DATA[::-1]))
        yield DATA[BLOCK:]

    with pytest.raises(StoreError, match="its blocks are gone"):
        store.put("k", source())
    assert read(store) == DATA[::-1]


def test_the_loser_of_a_race_is_told_so(container: Container) -> None:
    store = straight(container)

    def source() -> Iterator[bytes]:
        yield DATA[:BLOCK]
        store.put("k", pieces(DATA[::-1]), absent=True)
        yield DATA[BLOCK:]

    with pytest.raises(ExistsError):
        store.put("k", source(), absent=True)
    assert read(store) == DATA[::-1]


@pytest.mark.parametrize("data", [SMALL, DATA], ids=["small", "large"])
def test_the_service_itself_guards_the_last_step(
    store: AzureStore, proxy: Proxy, container: Container, data: bytes
) -> None:
    def raced(found: Answer) -> Answer:
        container.add("p/k", b"theirs", {}, md5=None, blocks=[])
        return found

    proxy.rules.append(Rule(method="HEAD", act=changed(raced), skip=1))
    with pytest.raises(ExistsError):
        store.put("k", pieces(data), absent=True)
    assert [one.data for one in container.blobs] == [b"theirs"]


@pytest.mark.parametrize("act", [reset_download(100_000), cut_download(0), answer(503)])
@pytest.mark.extended  # the library itself sleeps for a second before it asks again
def test_a_download_goes_on_where_it_broke_off(store: AzureStore, proxy: Proxy, act: Act) -> None:
    store.put("k", pieces(DATA))
    proxy.rules.append(Rule(method="GET", contains="/p/k", act=act, times=2))
    assert read(store) == DATA
    assert proxy.rules[0].times == 0


def test_a_download_never_mixes_two_objects(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.stores.pieces.PIECE_BYTES", MIB)
    store = straight(container)
    store.put("k", [data_of(3 * MIB)])
    reader = store.get("k")
    next(reader)
    store.put("k", [data_of(3 * MIB + 1)])
    with pytest.raises(StoreError, match="changed or deleted while it was read"):
        list(reader)


def test_a_proxy_that_ignores_ranges_is_noticed(store: AzureStore, proxy: Proxy) -> None:
    store.put("k", [DATA])
    proxy.rules.append(Rule(method="GET", contains="/p/k", act=answer(200, DATA)))
    with pytest.raises(RefusedError, match="came whole when a piece of it was asked for"):
        list(store.get("k", start=5, length=7))


@pytest.mark.fault("store.hang")
def test_a_store_that_hangs_is_given_up(proxy: Proxy) -> None:
    store = AzureStore(azurite.settings(proxy.url, read_timeout=0.2, patience=0.4))
    proxy.rules.append(Rule(method="HEAD", act=hang, times=None))
    with pytest.raises(StoreError, match="cannot look at k") as caught:
        store.stat("k")
    assert "did not answer" in (caught.value.hint or "")
    assert caught.value.retryable


def refusal(status: int, code: str, detail: str = "") -> Act:
    told = f"<Error><Code>{code}</Code><Message>No.\nRequestId:1</Message><AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail></Error>"
    return answer(status, told.encode(), {"Content-Type": "application/xml", "x-ms-error-code": code})


@pytest.mark.parametrize(
    ("act", "hint"),
    [
        (refusal(403, "AuthenticationFailed", "The MAC signature found is not the same"), "account_key"),
        (refusal(403, "AuthenticationFailed", "Request date header too old: 'x'"), "clock"),
        (
            refusal(403, "AuthenticationFailed", "Signature not valid in the specified key time frame"),
            "sas_token",
        ),
        (refusal(403, "AuthorizationPermissionMismatch"), "Storage Blob Data Contributor"),
        (refusal(403, "AuthorizationFailure"), "firewall"),
        (refusal(403, "KeyBasedAuthenticationNotPermitted"), "identity"),
        (refusal(404, "ContainerNotFound"), "container"),
        (refusal(409, "AccountIsDisabled"), "disabled"),
    ],
)
def test_a_refusal_is_told_at_once_with_what_to_do(
    store: AzureStore, proxy: Proxy, act: Act, hint: str
) -> None:
    proxy.rules.append(Rule(method="GET", act=act, times=None))
    with pytest.raises(
        RefusedError,
        match=r"azblob://throwaway/backups/p at 127.0.0.1:\d+: cannot list the container: \w+: No$",
    ) as caught:
        list(store.list())
    assert re.search(hint, caught.value.hint or ""), caught.value.hint
    assert len(proxy.seen) == 1


def test_a_container_that_does_not_exist_is_not_a_missing_object(container: Container) -> None:
    with pytest.raises(RefusedError, match="ContainerNotFound"):
        straight(container, container="nowhere").stat("k")


def test_nobody_listening_is_a_store_error_with_a_hint_and_no_signature() -> None:
    store = AzureStore(
        azurite.settings("http://127.0.0.1:1", account_key=None, sas_token="sv=1&sig=hunter2", patience=0.1)
    )
    with pytest.raises(StoreError, match="cannot look at k") as caught:
        store.stat("k")
    assert "hunter2" not in str(caught.value)
    assert "endpoint_url" in (caught.value.hint or "")
    assert caught.value.retryable


def test_a_key_that_is_none_is_refused_without_being_shown(container: Container) -> None:
    with pytest.raises(RefusedError, match="cannot look at k") as caught:
        straight(container, account_key="hunter2!").stat("k")
    assert "hunter2" not in str(caught.value)
    assert "account_key" in (caught.value.hint or "")


def test_the_tier_goes_with_every_object(container: Container) -> None:
    store = straight(container, access_tier="Cool")
    store.put("small", [SMALL])
    store.put("large", [DATA])
    assert {one.tier for one in container.blobs} == {"Cool"}


@pytest.mark.fault("store.sizes")
def test_keys_of_every_allowed_character_come_back(container: Container) -> None:
    key = "".join(chr(code) for code in range(32, 127) if chr(code) not in "/\\")
    store = straight(container)
    store.put(f"a/{key}", [SMALL])
    store.put(f"b/{key}", [DATA])
    assert [found.key for found in store.list()] == [f"a/{key}", f"b/{key}"]
    assert read(store, f"a/{key}") == SMALL
    store.delete(f"a/{key}")
    assert [found.key for found in store.list()] == [f"b/{key}"]


def test_folders_and_foreign_keys_are_skipped(container: Container) -> None:
    for name in ("px/a", "p/../a", "p/a//b", "p/", "p/caf\u00e9"):
        container.add(name, b"foreign", {}, md5=None, blocks=[])
    container.add("p/shop", b"", {"x-ms-meta-hdi_isfolder": "true"}, md5=None, blocks=[])
    store = straight(container)
    store.put("ours", [b"x"])
    assert [found.key for found in store.list()] == ["ours"]


def test_conditions_are_seen_to_be_honoured(container: Container) -> None:
    store = straight(container)
    store.put("probe", [b"x"])
    assert store.conditions("probe") == "honoured"


@pytest.mark.fault("store.sizes")
def test_more_blocks_than_azure_takes_fail(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.stores.azure_upload.MOST_BLOCKS", 2)
    with pytest.raises(StoreError, match="larger than 2 blocks"):
        straight(container).put("k", [data_of(BLOCK * 3)])
    assert container.blobs == []


def test_an_identity_is_not_shown_in_the_clear(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.setenv(name, "hunter2")
    with pytest.raises(ConfigError, match="only supported with HTTPS") as caught:
        straight(container, account_key=None).stat("k")
    assert "https" in (caught.value.hint or "")
    assert "hunter2" not in str(caught.value)
