"""Ranges of an object over a broken network, and from a store that does not give what it was asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from holdfast.model.errors import StoreError
from holdfast.stores.base import NoRangesError
from holdfast.stores.s3 import S3Store
from support import moto_server
from support.proxy import Act, Answer, Proxy, Rule, answer, changed, cut_download, proxy_to, reset_download

MIB = 1024 * 1024
DATA = random.Random(7).randbytes(6 * MIB + 12345)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with moto_server.moto_server() as url:
        yield url


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    with proxy_to(server) as found:
        yield found


@pytest.fixture
def store(proxy: Proxy) -> S3Store:
    made = S3Store(moto_server.settings(proxy.url, prefix="p"))
    made.put("k", [DATA])
    return made


@pytest.mark.parametrize("act", [reset_download(2 * MIB), cut_download(3 * MIB + 7), cut_download(0)])
@pytest.mark.parametrize("start", [0, MIB + 1])
@pytest.mark.sampled(2)
def test_a_range_goes_on_where_it_broke_off(store: S3Store, proxy: Proxy, act: Act, start: int) -> None:
    proxy.rules.append(Rule(method="GET", contains="/p/k", act=act, times=2))
    assert b"".join(store.get("k", start=start, length=4 * MIB)) == DATA[start : start + 4 * MIB]


@pytest.mark.parametrize("start", [0, MIB])
def test_a_store_that_cannot_go_on_gives_nothing_twice(store: S3Store, proxy: Proxy, start: int) -> None:
    proxy.rules.append(Rule(method="GET", contains="/p/k", act=cut_download(2 * MIB)))
    proxy.rules.append(Rule(method="GET", contains="/p/k", act=answer(200, DATA)))
    given: list[bytes] = []
    with pytest.raises(StoreError, match=f"broke off at byte {start + 2 * MIB}, and the store cannot go on"):
        given.extend(store.get("k", start=start))
    assert b"".join(given) == DATA[start : start + 2 * MIB]


def _without_range(found: Answer) -> Answer:
    kept = tuple(pair for pair in found.headers if pair[0].lower() != "content-range")
    return replace(found, status=200, headers=kept)


def _another_range(found: Answer) -> Answer:
    kept = tuple(pair for pair in found.headers if pair[0].lower() != "content-range")
    return replace(found, headers=(*kept, ("Content-Range", f"bytes 7-{6 + len(found.body)}/{len(DATA)}")))


@pytest.mark.fault("store.reads")
@pytest.mark.parametrize(("start", "length"), [(0, 10), (5, 10), (5, None), (0, len(DATA) + 1)])
def test_a_store_that_ignores_a_range_is_noticed(
    store: S3Store, proxy: Proxy, start: int, length: int | None
) -> None:
    proxy.rules.append(Rule(method="GET", contains="/p/k", act=changed(_without_range)))
    with pytest.raises(NoRangesError, match="k came whole") as caught:
        next(store.get("k", start=start, length=length))
    assert caught.value.hint


@pytest.mark.fault("store.reads")
def test_another_range_than_the_one_asked_for_is_noticed(store: S3Store, proxy: Proxy) -> None:
    proxy.rules.append(Rule(method="GET", contains="/p/k", act=changed(_another_range)))
    with pytest.raises(StoreError, match="from byte 5 on, and came as bytes 7-16/"):
        next(store.get("k", start=5, length=10))
