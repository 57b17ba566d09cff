"""A real server behind a proxy that answers wrongly, in the midst of each job: seen, undone, and nothing good is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from holdfast.jobs.backup import backup
from holdfast.jobs.catalog import rebuild
from holdfast.jobs.copies import catch_up
from holdfast.jobs.prune import Wish, complain, prune
from holdfast.jobs.verify import verify
from holdfast.model.errors import Error
from holdfast.model.retention import Policy
from holdfast.model.run import Job
from holdfast.model.target import Compression, Rules
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.stores.base import Store
from holdfast.stores.local import LocalStore
from holdfast.stores.s3 import S3Store
from support import moto_server as moto
from support.faults import fill
from support.oracle import Oracle
from support.postgres import new_database
from support.proxy import (
    Act,
    Answer,
    Proxy,
    Rule,
    answer,
    changed,
    cut_download,
    delayed,
    hang,
    lost_answer,
    proxy_to,
    reset_download,
    reset_upload,
    s3_error,
)
from support.world import World, world

pytestmark = pytest.mark.extended

ERROR_BODY = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>on its way</Message></Error>"


def lied(size: Callable[[int], int]) -> Act:
    """Tell another size than the server does."""

    def change(given: Answer) -> Answer:
        headers = tuple(
            (name, str(size(int(value))) if name.lower() == "content-length" else value)
            for name, value in given.headers
        )
        return replace(given, headers=headers)

    return changed(change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the proxy does to which requests from when on, during which job; `fails` says whether the job has to."""

    name: str
    job: str
    method: str
    contains: str
    act: Act
    fails: bool = True
    times: int | None = None
    skip: int = 0


CASES = (
    Case(name="500 for every part of a dump", job="backup", method="PUT", contains="partNumber", act=s3_error(500, "InternalError")),
    Case(name="503 for everything", job="backup", method="PUT", contains="", act=s3_error(503, "SlowDown"), skip=1),
    Case(name="503 for a moment", job="backup", method="PUT", contains="", act=s3_error(503, "SlowDown"), times=2, fails=False),
    Case(name="403 half-way", job="backup", method="PUT", contains="partNumber=2", act=s3_error(403, "AccessDenied")),
    Case(name="403 for the manifest", job="backup", method="PUT", contains="manifest.json", act=s3_error(403, "AccessDenied")),
    Case(name="200 with an error for a completion", job="backup", method="POST", contains="uploadId=", act=answer(200, ERROR_BODY)),
    Case(name="200 for what was never taken", job="backup", method="PUT", contains="catalog.json", act=answer(200, b"", {"ETag": '"0"'})),
    Case(name="200 for a manifest that was never taken", job="backup", method="PUT", contains="manifest.json?", act=answer(200, b"", {"ETag": '"0"'}), fails=False),
    Case(name="resets after 100 kB", job="backup", method="PUT", contains="partNumber", act=reset_upload(100_000)),
    Case(name="an answer that got lost", job="backup", method="PUT", contains="manifest.json", act=lost_answer, times=1, fails=False),
    Case(name="hangs", job="backup", method="PUT", contains=".dump", act=hang),
    Case(name="hangs at a completion", job="backup", method="POST", contains="uploadId=", act=hang),
    Case(name="slow", job="backup", method="PUT", contains="", act=delayed(0.3), fails=False),
    Case(name="sizes that are too small", job="backup", method="HEAD", contains="", act=lied(lambda size: size - 1)),
    Case(name="downloads that never begin", job="verify", method="GET", contains=".dump", act=cut_download(0)),
    Case(name="downloads that are reset", job="verify", method="GET", contains=".dump", act=reset_download(1000)),
    Case(name="500 for a download", job="verify", method="GET", contains="manifest.json", act=s3_error(500, "InternalError")),
    Case(name="404 for what is there", job="verify", method="GET", contains=".dump", act=s3_error(404, "NoSuchKey")),
    Case(name="another object", job="verify", method="GET", contains=".dump", act=changed(lambda given: replace(given, body=given.body[::-1]))),
    Case(name="downloads that are cut", job="copy", method="GET", contains=".dump", act=cut_download(1_000_000), fails=False),
    Case(name="another object", job="copy", method="GET", contains="catalog", act=changed(lambda given: replace(given, body=given.body[::-1]))),
    Case(name="503 for deletions", job="prune", method="DELETE", contains="", act=s3_error(503, "SlowDown")),
    Case(name="403 for tombstones", job="prune", method="PUT", contains="tombstone", act=s3_error(403, "AccessDenied")),
    Case(name="500 for lists", job="prune", method="GET", contains="list-type", act=s3_error(500, "InternalError")),
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with moto.moto_server() as url:
        yield url


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[Conninfo]:
    with new_database(cluster) as database:
        fill(database, 8_000_000)
        yield database


@contextmanager
def host(folder: Path, server: str, shop: Conninfo) -> Iterator[tuple[World, Proxy]]:
    """Give a host with two good backups in a bucket behind a proxy, the first of which is not to be kept."""
    patience = {"patience": 0.3, "deadline": 0.5, "read_timeout": 1.0, "part_bytes": 5 * 1024**2}
    few = Rules(policy=Policy(keep_last=1, daily=0, weekly=0, monthly=0, yearly=0, minimum=1))
    with proxy_to(server) as proxy:
        stores: dict[str, Store] = {
            "cloud": S3Store(moto.settings(proxy.url, prefix=folder.name.replace("_", "-"), **patience)),
            "disk": LocalStore("disk", folder / "disk"),
        }
        with world(
            folder,
            shop.argv_dsn(),
            databases=(str(shop.database),),
            stores=stores,
            compression=Compression(kind="none"),
            retention=few,
        ) as made:
            for _ in range(2):
                backup(made.services, replace(made.target, stores=("cloud",)), made.stop)
            yield made, proxy


def work(made: World, job: str) -> None:
    """Do the job; raise what went wrong."""
    services, stop = made.services, made.stop
    if job == "backup":
        backup(services, replace(made.target, stores=("cloud",)), stop)
    elif job == "verify":
        for row in services.ledger.backups():
            for result in verify(services, row, stop):
                if result.error is not None:
                    raise result.error
    elif job == "copy":
        error = catch_up(services, made.target, stop).error()
        if error is not None:
            raise error
    else:
        complain(prune(services, replace(made.target, stores=("cloud",)), stop, wish=Wish()))


JOBS: dict[str, Job] = {"backup": "backup", "verify": "verify", "copy": "copy", "prune": "prune"}


@pytest.mark.fault(
    "store.passing", "store.lasting", "store.denied", "store.lies", "store.reads", "store.hang"
)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.job}: {case.name}")
def test_a_store_that_answers_wrongly_is_seen_and_costs_nothing_good(
    cluster: Cluster, server: str, shop: Conninfo, tmp_path: Path, case: Case
) -> None:
    client = moto.raw_client(server)
    with host(tmp_path, server, shop) as (made, proxy):
        prefix = tmp_path.name.replace("_", "-")
        if case.job == "prune":  # it removes nothing on the day that its ledger was made
            made.services.ledger.meta_set("created_at", "2020-01-01T00:00:00Z")
        oracle = Oracle(
            services=made.services,
            targets=(made.target,),
            folder=tmp_path,
            cluster=cluster,
            source=shop,
            uploads=lambda: client.list_multipart_uploads(Bucket=moto.BUCKET, Prefix=prefix).get(
                "Uploads", []
            ),
        )
        proxy.rules.append(
            Rule(method=case.method, contains=case.contains, act=case.act, times=case.times, skip=case.skip)
        )
        failed: Error | None = None
        try:
            work(made, case.job)
        except Error as error:
            failed = error
        assert (failed is not None) == case.fails, failed
        assert len(proxy.seen) > 1
        if failed is not None:
            oracle.texts.append(f"{failed.message} {failed.hint}")
            assert oracle.visible(JOBS[case.job], "failed") == failed.code
        else:
            oracle.silent("what passes, or is told from the truth, fails nothing")
        proxy.rules.clear()
        work(made, case.job)
        rebuild(made.services, forget=False)
        oracle.holds()


@pytest.mark.fault("store.stale")
@pytest.mark.parametrize("quick", [True, False], ids=["quick", "whole"])
def test_a_list_of_yesterday_takes_nothing_away(
    cluster: Cluster, server: str, shop: Conninfo, tmp_path: Path, *, quick: bool
) -> None:
    with host(tmp_path, server, shop) as (made, proxy):
        made.services.ledger.meta_set("created_at", "2020-01-01T00:00:00Z")
        old: list[Answer] = []
        proxy.rules.append(
            Rule(method="GET", contains="list-type", act=changed(lambda given: old.append(given) or given))  # type: ignore[func-returns-value]
        )
        list(made.services.store("cloud").list("shop/"))
        work(made, "backup")
        oracle = Oracle(
            services=made.services, targets=(made.target,), folder=tmp_path, cluster=cluster, source=shop
        )
        proxy.rules.append(
            Rule(method="GET", contains="list-type", act=changed(lambda _: old[0]), times=None)
        )
        rebuild(made.services, quick=quick, forget=False)
        try:
            work(made, "prune")
        except Error as error:
            oracle.texts.append(error.message)
        proxy.rules.clear()
        oracle.silent("an old list looks like a new one; the next says what is there")
        oracle.holds()
