"""What stores do to a backup under way: it ends as failed, says why, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.app import open_app
from holdfast.jobs.backup import backup
from holdfast.model.errors import StoreError
from holdfast.model.target import Compression
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.stores.s3 import S3Store
from support import moto_server as moto
from support.faults import assert_failed, assert_nothing_runs, fill
from support.oracle import Oracle, asked_of
from support.postgres import execute, new_database
from support.proxy import Proxy, Rule, proxy_to, reset_upload
from support.runs import assert_next_is_good, at, files, home, last_run
from support.world import Recorder, World, argv, environment, world

MARKER = "plaintext of the customers"
PLAIN = {"a row": MARKER.encode()}
TWO = {"a": 'url = "a"', "b": 'url = "b"'}


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[Conninfo]:
    with new_database(cluster) as database:
        fill(database)
        execute(database, f"CREATE TABLE told AS SELECT '{MARKER}' AS word")
        yield database


# Full disks


@pytest.mark.fault("full.store")
@pytest.mark.extended
def test_a_file_limit_ends_the_run_and_leaves_no_file(
    cluster: Cluster, shop: Conninfo, tmp_path: Path
) -> None:
    short = home(tmp_path, shop)
    short.run("backup")
    before = files(short.store)
    with asked_of(short.config, cluster=cluster, source=shop, secrets=PLAIN) as oracle:
        done = subprocess.run(
            argv("backup", "--config", short.config),
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000)),
        )
        assert done.returncode == StoreError.exit_code
        assert "ulimit -f" in done.stderr
        assert last_run(short) == ("failed", "store")
        assert files(short.store) == before
        oracle.told(done)
        assert oracle.visible("backup", "failed") == "store"
        assert_next_is_good(short, 2)


@pytest.mark.fault("full.store")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount; the file limit shows the same path")
def test_a_full_filesystem_ends_the_run_and_leaves_no_file(
    cluster: Cluster, shop: Conninfo, tmp_path: Path
) -> None:
    if subprocess.run(["/usr/bin/env", "unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("mount namespaces are not allowed here; the file limit shows the same path")
    full = home(tmp_path, shop)
    full.store.mkdir()
    script = 'mount -t tmpfs -o size=2m tmpfs "$1"; store=$1; shift; "$@"; code=$?; find "$store" -type f; exit $code'
    command = argv("backup", "--config", full.config)
    with asked_of(full.config, cluster=cluster, source=shop, secrets=PLAIN) as oracle:
        done = subprocess.run(
            ["/usr/bin/env", "unshare", "-m", "sh", "-c", script, "sh", full.store, *command],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == StoreError.exit_code, done.stderr
        assert "filesystem is full" in done.stderr
        assert done.stdout == ""
        assert last_run(full) == ("failed", "store")
        oracle.told(done)
        assert oracle.visible("backup", "failed") == "store"
        assert_next_is_good(full)


# A store that goes away


@contextmanager
def troubled(host: World, folder: Path, cluster: Cluster, shop: Conninfo, **more: Any) -> Iterator[Oracle]:  # noqa: ANN401 - what an Oracle takes
    """Ask about the trouble of a host that has a good backup. A run after it is good, and clears away what could not be cleared away before."""
    first = backup(host.services, host.target, host.stop).backup
    with Oracle(
        services=host.services,
        targets=(host.target,),
        folder=folder,
        cluster=cluster,
        source=shop,
        secrets=PLAIN,
        **more,
    ) as oracle:
        yield oracle
        assert oracle.visible("backup", "failed") == "store"
        second = backup(host.services, host.target, host.stop).backup
        assert {row.backup.id for row in host.services.ledger.backups()} == {first.id, second.id}
        for store in host.services.stores.values():
            assert {stored.key.split("/")[1] for stored in store.list("shop/")} == {first.id, second.id}


@pytest.mark.fault("readonly")
@pytest.mark.parametrize(
    ("stage", "replacement"),
    [
        ("streaming:database", "nothing"),
        ("manifest", "nothing"),
        ("parts_stored", "a file"),
        pytest.param("streaming:globals", "nothing", marks=pytest.mark.extended),
        pytest.param("parts_stored", "nothing", marks=pytest.mark.extended),
        pytest.param("streaming:database", "a file", marks=pytest.mark.extended),
        pytest.param("manifest", "a file", marks=pytest.mark.extended),
    ],
)
@pytest.mark.sampled(1)
def test_a_local_store_that_goes_away_ends_the_run(
    cluster: Cluster, shop: Conninfo, tmp_path: Path, stage: str, replacement: str
) -> None:
    path = tmp_path / "store-a"

    def vanish() -> None:
        path.rename(tmp_path / "unmounted")
        if replacement == "a file":
            path.write_text("in the way")

    with (
        world(tmp_path, shop.argv_dsn(), databases=(str(shop.database),)) as host,
        troubled(host, tmp_path, cluster, shop) as oracle,
    ):
        with pytest.raises(StoreError) as caught:
            backup(host.staged(at(stage, vanish)), host.target, host.stop)
        oracle.told(caught.value)
        if replacement == "a file":
            path.unlink()
        assert_failed(host, "store")
        if path.exists():
            shutil.rmtree(path)  # a lease may lie there, given back after the disk was gone
        (tmp_path / "unmounted").rename(path)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with moto.moto_server() as url:
        yield url


@pytest.fixture
def proxy(bucket: str) -> Iterator[Proxy]:
    with proxy_to(bucket) as found:
        yield found


def cut(proxy: Proxy) -> None:
    """Let no request through any more."""
    proxy.rules += [
        Rule(method=method, act=reset_upload(0), times=None)
        for method in ("GET", "PUT", "POST", "HEAD", "DELETE")
    ]


@pytest.mark.fault("store.lasting")
@pytest.mark.parametrize(
    "stage",
    [
        "streaming:database",
        *(
            pytest.param(name, marks=pytest.mark.extended)
            for name in ("part:database", "stored:catalog", "manifest")
        ),
    ],
)
@pytest.mark.extended
def test_a_bucket_that_goes_away_ends_the_run_and_is_tidied_up_later(
    cluster: Cluster, shop: Conninfo, bucket: str, proxy: Proxy, tmp_path: Path, stage: str
) -> None:
    patience = {
        "patience": 0.3,
        "deadline": 0.3,
        "part_bytes": 5 * 1024 * 1024,
        "prefix": f"gone-{stage[:8]}",
    }
    store = S3Store(moto.settings(proxy.url, **patience))
    where = {"Bucket": moto.BUCKET, "Prefix": str(patience["prefix"])}
    listed = moto.raw_client(bucket).list_multipart_uploads
    with (
        world(
            tmp_path,
            shop.argv_dsn(),
            stores={"cloud": store},
            databases=(str(shop.database),),
            compression=Compression(kind="none"),
        ) as host,
        troubled(host, tmp_path, cluster, shop, uploads=lambda: listed(**where).get("Uploads", [])) as oracle,
    ):
        before = len(list(store.list("shop/")))
        with pytest.raises(StoreError) as caught:
            backup(host.staged(at(stage, lambda: cut(proxy))), host.target, host.stop)
        oracle.told(caught.value)
        assert_nothing_runs(cluster, shop)
        assert len(host.services.ledger.backups()) == 1
        proxy.rules.clear()
        left = [stored.key for stored in store.list("shop/")]
        assert len(left) > before
        assert len([key for key in left if key.endswith("manifest.json")]) == 1


@pytest.mark.fault("store.lasting")
def test_a_copy_that_fails_leaves_the_backup_good_and_is_seen(
    cluster: Cluster, shop: Conninfo, tmp_path: Path
) -> None:
    folder = home(tmp_path, shop, stores=TWO)
    with asked_of(folder.config, cluster=cluster, source=shop, secrets=PLAIN) as oracle:
        (tmp_path / "b").write_text("in the way")
        done = folder.run("backup", code=3)
        assert "b" in done.stderr
        oracle.told(done)
        assert oracle.value(oracle.scrape(), "holdfast_copy_lag_backups", target="shop", store="b") == 1
        assert last_run(folder) == ("succeeded", None)
        [status] = folder.facts("status", code=4)
        assert not status["safe"]
        assert any("is not in b" in problem for problem in status["problems"])
        folder.run("verify")
        (tmp_path / "b").unlink()
        time.sleep(1)  # ids of the same second are in no order
        folder.run("backup")
        [status] = folder.facts("status")
        assert status["safe"]
        folder.run("verify", "--all")


@pytest.mark.extended
def test_a_copy_that_breaks_off_leaves_nothing_half_in_the_second_store(
    shop: Conninfo, tmp_path: Path
) -> None:
    full = home(tmp_path, shop, stores=TWO, target='compression = "none"')
    with open_app(full.config, (), reporter=Recorder(), quiet=True) as app:
        [target] = app.targets

        class Breaking(Recorder):
            def progress(self, label: str, total: int):  # type: ignore[no-untyped-def]  # noqa: ANN202 - as in Recorder
                if label == "copy to b":
                    raise StoreError("the disk of b broke")
                return super().progress(label, total)

        services = dataclasses.replace(app.services, reporter=Breaking())
        taken = backup(services, target, app.stop)
        assert taken.failed_copies == (("b", "the disk of b broke"),)
        [row] = app.services.ledger.backups()
        assert {copy.store: copy.state for copy in row.copies} == {"a": "complete", "b": "missing"}
        assert list(app.services.store("b").list("shop/")) == []
