"""What becomes of two writers of one key where the store does not keep them apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from holdfast.stores.base import ExistsError
from holdfast.stores.s3 import S3Store
from support import moto_server
from support.proxy import Answer, Rule, changed, proxy_to


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with moto_server.moto_server() as url:
        yield url


def test_what_may_be_another_writers_is_not_removed(server: str) -> None:
    """A store that ignores conditions and keeps no metadata."""

    def overwritten(found: Answer) -> Answer:
        moto_server.raw_client(server).put_object(Bucket="backups", Key="two-writers/k", Body=b"theirs")
        silent = ("etag", "x-amz-meta-holdfast-upload")
        kept = tuple(pair for pair in found.headers if pair[0].lower() not in silent)
        return replace(found, headers=(*kept, ("ETag", '"opaque"')))

    with proxy_to(server) as proxy:
        store = S3Store(moto_server.settings(proxy.url, prefix="two-writers"))
        proxy.rules.append(Rule(method="HEAD", act=changed(overwritten), skip=2))
        with pytest.raises(ExistsError):
            store.put("k", [b"a manifest"], absent=True)
        assert b"".join(store.get("k")) == b"theirs"
