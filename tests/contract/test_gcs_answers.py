"""What the store of Google tells when the service says no, and which keys and logins it takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from contract.store_contract import data_of
from holdfast.stores.base import RefusedError
from holdfast.stores.gcs import GcsStore
from support import gcs_emulator
from support.gcs_server import GRAIN, Bucket, gcs_server
from support.proxy import Act, Proxy, Rule, answer, proxy_to

DATA = data_of(2 * GRAIN + 12345)
SMALL = b"a manifest"
BAD_LOGINS = (
    *("{", "{}", "[]", '"x"', '{"type": "service_account"}', '{"type": "odd"}'),
    '{"private_key": "hunter2", "type": "service_account", "client_email": "x", "token_uri": "y"}',
)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with gcs_server() as found:
        yield found


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[Proxy]:
    with proxy_to(bucket.url) as found:
        yield found


@pytest.fixture
def store(proxy: Proxy) -> GcsStore:
    return GcsStore(gcs_emulator.settings(proxy.url, prefix="p", part_bytes=GRAIN))


def straight(server: Bucket, **changes: object) -> GcsStore:
    return GcsStore(gcs_emulator.settings(server.url, prefix="p", part_bytes=GRAIN, **changes))


def read(store: GcsStore, key: str = "k") -> bytes:
    return b"".join(store.get(key))


def refusal(status: int, reason: str, message: str) -> Act:
    told = {"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}}
    return answer(status, json.dumps(told).encode(), {"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("act", "hint"),
    [
        (
            refusal(403, "forbidden", "x@y does not have storage.objects.list access to the bucket."),
            r"storage\.objects\.list.*objectViewer",
        ),
        (refusal(403, "forbidden", "Access denied."), r"gcs\.md"),
        (refusal(401, "authError", "Invalid Credentials"), "credentials_file"),
        (refusal(404, "notFound", "The specified bucket does not exist."), "bucket"),
        (refusal(403, "quotaExceeded", "too much"), "quota"),
        (refusal(403, "accountDisabled", "The account is closed"), "billing"),
        (refusal(403, "forbidden", "cloudkms.cryptoKeyVersions.useToEncrypt denied"), "cloudkms"),
    ],
)
def test_a_refusal_is_told_at_once_with_what_to_do(
    store: GcsStore, proxy: Proxy, act: Act, hint: str
) -> None:
    proxy.rules.append(Rule(method="GET", act=act, times=None))
    with pytest.raises(
        RefusedError, match=r"gs://backups/p at 127.0.0.1:\d+: cannot list the bucket: "
    ) as caught:
        list(store.list())
    assert re.search(hint, caught.value.hint or ""), caught.value.hint
    assert len(proxy.seen) <= 2  # the login is refreshed once


def test_a_bucket_that_does_not_exist_is_not_a_missing_object(bucket: Bucket) -> None:
    with pytest.raises(RefusedError, match="bucket does not exist"):
        straight(bucket, bucket="nowhere").stat("k")


def test_storage_class_and_key_go_with_every_object(bucket: Bucket) -> None:
    store = straight(bucket, storage_class="NEARLINE")
    store.put("small", [SMALL])
    store.put("large", [DATA])
    assert {one.metadata["storageClass"] for one in bucket.objects} == {"NEARLINE"}


@pytest.mark.parametrize("text", BAD_LOGINS)
def test_credentials_that_are_none_are_refused_without_being_shown(bucket: Bucket, text: str) -> None:
    with pytest.raises(RefusedError, match="credentials") as caught:
        straight(bucket, anonymous=False, credentials=text).stat("k")
    assert "hunter2" not in str(caught.value)
    assert caught.value.hint


def test_no_login_at_all_is_told_with_what_to_do(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(RefusedError, match="cannot look at k") as caught:
        straight(bucket, anonymous=False).stat("k")
    assert "credentials_file" in (caught.value.hint or "")


def test_keys_of_every_allowed_character_come_back(bucket: Bucket) -> None:
    key = "".join(chr(code) for code in range(32, 127) if chr(code) not in "/\\")
    store = straight(bucket)
    store.put(f"a/{key}", [SMALL])
    assert [found.key for found in store.list()] == [f"a/{key}"]
    assert read(store, f"a/{key}") == SMALL
    store.delete(f"a/{key}")
    assert list(store.list()) == []


def test_stays_under_its_prefix_and_skips_foreign_keys(bucket: Bucket) -> None:
    for name in ("px/a", "p/../a", "p/a//b", "p/", "p/caf\u00e9"):
        bucket.add(name, b"foreign", {}, absent=True)
    store = straight(bucket)
    store.put("ours", [b"x"])
    assert [found.key for found in store.list()] == ["ours"]


def test_conditions_are_seen_to_be_honoured(bucket: Bucket) -> None:
    store = straight(bucket)
    store.put("probe", [b"x"])
    assert store.conditions("probe") == "honoured"
