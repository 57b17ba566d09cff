from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.awsrequest import AWSPreparedRequest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from contract.store_contract import SourceBrokeError, StoreContract, broken_after, data_of
from holdfast.model.errors import ConfigError, StoreError
from holdfast.stores.base import Housekeeping, RefusedError, Space, Store
from holdfast.stores.s3 import S3Store
from support import moto_server

MIB = 1024 * 1024
PART = 5 * MIB  # the smallest part that S3 takes


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server.moto_server() as found:
        yield found


@pytest.fixture
def home(request: pytest.FixtureRequest) -> str:
    return "run/" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]


class TestS3Store(StoreContract):
    edge = PART
    many = 1005
    atomic_sizes = (0,)  # moto looks at the key before it joins the parts, without a lock

    @pytest.fixture
    def store(self, url: str, home: str) -> Store:
        return S3Store(moto_server.settings(url, prefix=home, part_bytes=self.edge))

    def fill(self, store: Store, keys: list[str]) -> None:
        assert isinstance(store, S3Store)
        behind = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]  # the server runs in this process
        for key in keys:
            behind.put_object("backups", store._path(key), b"x")


def uploads(url: str) -> list[object]:
    return list(moto_server.raw_client(url).list_multipart_uploads(Bucket="backups").get("Uploads", ()))


@pytest.mark.fault("store.source")
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_a_source_that_breaks_leaves_no_unfinished_upload(url: str, home: str, parts: int) -> None:
    store = S3Store(moto_server.settings(url, prefix=home, part_bytes=PART))
    with pytest.raises(SourceBrokeError):
        store.put("a", broken_after([data_of(PART)] * parts))
    assert uploads(url) == []


@pytest.mark.parametrize(
    "size",
    [0, PART, 2 * PART + 1, *(pytest.param(n, marks=pytest.mark.extended) for n in (1, PART - 1, 2 * PART))],
)
@pytest.mark.parametrize("checksum", ["sha256", "none"])
def test_the_store_vouches_for_what_it_took(url: str, home: str, size: int, checksum: str) -> None:
    store = S3Store(moto_server.settings(url, prefix=home, part_bytes=PART, checksum=checksum))
    assert store.put("a", [data_of(size)]) is True


def test_parts_carry_the_sha256_of_their_bytes(url: str, home: str) -> None:
    S3Store(moto_server.settings(url, prefix=home, part_bytes=PART)).put("a", [data_of(PART + 1)])
    head = moto_server.raw_client(url).head_object(Bucket="backups", Key=f"{home}/a", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"]
    assert head["ETag"].endswith('-2"')


@pytest.mark.parametrize(
    ("checksum", "tells", "with_md5"),
    [
        ("sha256", True, [True, False, False]),
        ("sha256", False, [True, True, True]),
        ("none", False, [True, True, True]),
    ],
)
def test_a_store_that_tells_the_sha256_of_a_part_gets_no_md5_of_the_next(
    url: str,
    home: str,
    checksum: str,
    tells: bool,  # noqa: FBT001 - a parameter of the test
    with_md5: list[bool],
) -> None:
    def note(request: AWSPreparedRequest, **_: object) -> None:
        if request.method == "PUT":
            sent.append("Content-MD5" in request.headers)
            told = request.headers.get("x-amz-checksum-sha256")
            declared.append(told.decode() if isinstance(told, bytes) else told)

    def tell(parsed: dict[str, object], **_: object) -> None:
        if tells:  # as Amazon does, and moto does not
            parsed["ChecksumSHA256"] = declared[-1]

    sent: list[bool] = []
    declared: list[str | None] = []
    store = S3Store(moto_server.settings(url, prefix=home, part_bytes=PART, checksum=checksum))
    store._client.meta.events.register("before-send.s3", note)
    store._client.meta.events.register("after-call.s3.UploadPart", tell)
    assert store.put("a", [data_of(2 * PART + 1)]) is True
    assert sent == with_md5


def test_a_part_of_which_the_store_tells_another_sha256_is_not_kept(url: str, home: str) -> None:
    def spoil(parsed: dict[str, object], **_: object) -> None:
        answers.append(parsed)
        if len(answers) == 2:
            parsed["ChecksumSHA256"] = base64.b64encode(bytes(32)).decode()

    answers: list[dict[str, object]] = []
    store = S3Store(moto_server.settings(url, prefix=home, part_bytes=PART))
    store._client.meta.events.register("after-call.s3.UploadPart", spoil)
    with pytest.raises(StoreError, match="arrived with other bytes than were sent, and was deleted"):
        store.put("a", [data_of(2 * PART + 1)])
    assert store.stat("a") is None


def test_what_is_sent_is_signed_by_its_digest_and_hashed_for_that_once(
    url: str, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_little(data: bytes = b"") -> hashlib._Hash:
        assert len(data) < PART, "the body was hashed again"
        return hashlib.sha256(data)

    def note(request: AWSPreparedRequest, **_: object) -> None:
        if request.method == "PUT":
            assert isinstance(request.body, bytearray)
            signed.append((str(request.headers["X-Amz-Content-SHA256"]), request.body))

    signed: list[tuple[str, bytearray]] = []
    store = S3Store(moto_server.settings(url, prefix=home, part_bytes=PART))
    store._client.meta.events.register("before-send.s3", note)
    monkeypatch.setattr("botocore.auth.sha256", of_little)
    for size in (10, 2 * PART):
        assert store.put(f"of-{size}", [data_of(size)])
    assert len(signed) == 3
    assert all(hashlib.sha256(body).hexdigest() in told for told, body in signed)


def test_an_object_encrypted_by_kms_is_not_vouched_for_by_its_etag(url: str, home: str) -> None:
    store = S3Store(moto_server.settings(url, prefix=home, part_bytes=PART, sse="aws:kms"))
    assert store.put("large", [data_of(PART + 1)]) is False
    assert store.put("small", [b"x"]) is True  # read back
    assert b"".join(store.get("large")) == data_of(PART + 1)


def test_storage_class_and_encryption_go_with_every_object(url: str, home: str) -> None:
    store = S3Store(
        moto_server.settings(url, prefix=home, part_bytes=PART, sse="AES256", storage_class="STANDARD_IA")
    )
    store.put("small", [b"x"])
    store.put("large", [data_of(PART + 1)])
    client = moto_server.raw_client(url)
    for key in ("small", "large"):
        head = client.head_object(Bucket="backups", Key=f"{home}/{key}")
        assert (head["StorageClass"], head["ServerSideEncryption"]) == ("STANDARD_IA", "AES256")


def test_stays_under_its_prefix_and_skips_foreign_keys(url: str, home: str) -> None:
    client = moto_server.raw_client(url)
    for key in (f"{home}x/a", f"{home}/../a", f"{home}/a//b", f"{home}/", f"{home}/caf\u00e9"):
        client.put_object(Bucket="backups", Key=key, Body=b"foreign")
    store = S3Store(moto_server.settings(url, prefix=f"/{home}/"))
    store.put("ours", [b"x"])
    assert [found.key for found in store.list()] == ["ours"]


@pytest.mark.fault("store.sizes")
def test_more_parts_than_s3_takes_fail_and_leave_nothing(
    url: str, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.stores.s3_upload.MOST_PARTS", 2)
    store = S3Store(moto_server.settings(url, prefix=home, part_bytes=PART))
    with pytest.raises(Exception, match="larger than 2 parts"):
        store.put("a", [data_of(PART * 3)])
    assert store.stat("a") is None
    assert uploads(url) == []


def test_a_bucket_that_does_not_exist_is_refused_with_a_hint(url: str) -> None:
    with pytest.raises(
        RefusedError, match=r"s3://nowhere at .*: cannot list the bucket: NoSuchBucket"
    ) as caught:
        list(S3Store(moto_server.settings(url, bucket="nowhere")).list())
    assert "bucket" in (caught.value.hint or "")


@pytest.mark.fault("store.denied")
def test_a_role_is_taken_on(url: str, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
    store = S3Store(moto_server.settings(url, prefix=home, role_arn="arn:aws:iam::123456789012:role/backups"))
    store.put("a", [b"x"])
    key = store._client._request_signer._credentials.get_frozen_credentials().access_key
    assert key.startswith("ASIA")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prefix": "a//b"}, "cannot be a prefix"),
        ({"prefix": "../a"}, "cannot be a prefix"),
        ({"endpoint_url": "https://key:hunter2@host"}, "endpoint_url"),
        ({"endpoint_url": "host:9000"}, "endpoint_url"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        S3Store(moto_server.settings("http://127.0.0.1:1", **changes))
    assert caught.value.hint
    assert "hunter2" not in str(caught.value)


def test_an_unknown_profile_is_refused_with_a_hint() -> None:
    with pytest.raises(RefusedError, match="store cloud: cannot set up the S3 client") as caught:
        S3Store(
            moto_server.settings(
                "http://127.0.0.1:1", profile="nobody", access_key_id=None, secret_access_key=None
            )
        )
    assert "profile" in (caught.value.hint or "")


def test_no_credentials_at_all_are_refused_with_a_hint(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    store = S3Store(moto_server.settings(url, access_key_id=None, secret_access_key=None))
    with pytest.raises(RefusedError) as caught:
        store.stat("a")
    assert "AWS_ACCESS_KEY_ID" in (caught.value.hint or "")


def test_secrets_are_in_no_text(url: str) -> None:
    settings = moto_server.settings(url, session_token="token-secret")
    assert "secret" not in repr(settings).replace("secret_access_key", "")
    assert moto_server.ACCESS_KEY not in repr(settings)
    assert S3Store(moto_server.settings(url, prefix="x/")).location == f"s3://backups/x at {url[7:]}"


def test_tells_what_it_can_do_besides(url: str) -> None:
    store = S3Store(moto_server.settings(url))
    assert isinstance(store, Housekeeping)
    assert not isinstance(store, Space)


def test_boto3_is_not_imported_before_a_store_is_made() -> None:
    code = "import sys, holdfast.stores.s3 as m; m.S3Settings(name='a', bucket='b'); print('boto3' in sys.modules, 'botocore' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


MEASURE = """
import sys
from holdfast.stores.s3 import S3Settings, S3Store
url, key, secret = sys.argv[1:]
store = S3Store(S3Settings(name="m", bucket="backups", prefix="memory", endpoint_url=url, path_style=True,
                           region="us-east-1", access_key_id=key, secret_access_key=secret))
block = bytes(1024 * 1024)
store.put("big", (block for _ in range(200)))
assert sum(len(chunk) for chunk in store.get("big")) == 200 * len(block)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.fault("memory")
@pytest.mark.extended
def test_a_long_upload_and_download_stay_within_150_mb_of_memory(url: str) -> None:
    keys = (moto_server.ACCESS_KEY, moto_server.SECRET_KEY)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, url, *keys], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) * 1024 < 150_000_000
