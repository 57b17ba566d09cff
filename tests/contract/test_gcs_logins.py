"""Logging in to Google with a real key of a service account and with a federation, against a token server of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from contract.store_contract import data_of
from holdfast.model.errors import StoreError
from holdfast.stores.base import RefusedError
from holdfast.stores.gcs import GcsStore
from support import gcs_emulator
from support.gcs_server import GRAIN, gcs_server
from support.proxy import Act, Proxy, Rule, answer, proxy_to

DATA = data_of(2 * GRAIN + 1)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with gcs_server() as bucket, proxy_to(bucket.url) as found:
        yield found


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def token(text: str) -> Act:
    told = {"access_token": text, "expires_in": 3600, "token_type": "Bearer"}
    return answer(200, json.dumps(told).encode(), {"Content-Type": "application/json"})


def refused(description: str) -> Act:
    told = {"error": "invalid_grant", "error_description": description}
    return answer(400, json.dumps(told).encode(), {"Content-Type": "application/json"})


def store(proxy: Proxy, private_key: str) -> GcsStore:
    told = {
        "type": "service_account",
        "client_email": "backup@acme.iam.gserviceaccount.com",
        "private_key": private_key,
        "token_uri": f"{proxy.url}/token",
    }
    return GcsStore(
        gcs_emulator.settings(proxy.url, anonymous=False, credentials=json.dumps(told), part_bytes=GRAIN)
    )


def test_a_key_of_a_service_account_logs_in(proxy: Proxy, private_key: str) -> None:
    proxy.rules.append(Rule(method="POST", contains="/token", act=token("first")))
    opened = store(proxy, private_key)
    assert opened.put("k", [DATA]) is True
    assert proxy.count("/token") == 1
    assert not [line for line in proxy.seen if "/b/backups?" in line], "the bucket itself was asked for"


@pytest.mark.fault("store.denied")
@pytest.mark.parametrize("skip", [0, 1, 2])
def test_a_login_that_expires_in_an_upload_is_renewed(proxy: Proxy, private_key: str, skip: int) -> None:
    proxy.rules.append(Rule(method="POST", contains="/token", act=token("x"), times=2))
    proxy.rules.append(Rule(method="PUT", contains="upload_id", act=answer(401), skip=skip))
    opened = store(proxy, private_key)
    assert opened.put("k", [DATA], absent=True) is True
    assert b"".join(opened.get("k")) == DATA
    assert proxy.count("/token") == 2


@pytest.mark.extended  # the library itself sleeps for seconds before it asks again
def test_a_token_server_that_is_away_for_a_moment_is_waited_for(proxy: Proxy, private_key: str) -> None:
    proxy.rules.append(Rule(method="POST", contains="/token", act=answer(503), times=2))
    proxy.rules.append(Rule(method="POST", contains="/token", act=token("x")))
    assert store(proxy, private_key).stat("k") is None


@pytest.mark.parametrize(
    ("description", "hint"),
    [
        (
            "Invalid JWT: Token must be short-lived and in a reasonable timeframe. Check your iat and exp",
            "clock",
        ),
        ("Invalid JWT Signature.", "new key"),
        ("account not found", "new key"),
    ],
)
def test_a_login_that_is_refused_is_told_with_what_to_do(
    proxy: Proxy, private_key: str, description: str, hint: str
) -> None:
    proxy.rules.append(Rule(method="POST", contains="/token", act=refused(description), times=None))
    with pytest.raises(RefusedError, match=r"cannot look at k: .*invalid_grant") as caught:
        store(proxy, private_key).stat("k")
    assert hint in (caught.value.hint or "")
    assert "PRIVATE" not in str(caught.value)


@pytest.mark.fault("store.denied")
def test_credentials_that_are_refused_for_good_end_an_upload(proxy: Proxy, private_key: str) -> None:
    proxy.rules.append(Rule(method="POST", contains="/token", act=token("x"), times=None))
    proxy.rules.append(Rule(method="PUT", contains="upload_id", act=answer(401), skip=1, times=None))
    with pytest.raises(StoreError, match="401") as caught:
        store(proxy, private_key).put("k", [DATA])
    assert "expired" in (caught.value.hint or "")
    assert not caught.value.retryable


def test_a_workload_identity_logs_in_by_a_file_that_holds_no_secret(proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("the pod's own token")
    told = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{proxy.url}/token",
        "credential_source": {"file": str(tmp_path / "token")},
    }
    proxy.rules.append(Rule(method="POST", contains="/token", act=token("federated")))
    opened = GcsStore(gcs_emulator.settings(proxy.url, anonymous=False, credentials=json.dumps(told)))
    opened.put("k", [b"x"])
    assert b"".join(opened.get("k")) == b"x"
    assert proxy.count("/token") == 1
