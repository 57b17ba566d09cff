"""A process that saves, prunes or restores files of buckets and is killed anywhere leaves what the next one finishes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.app import open_app
from holdfast.jobs.prune import Wish, complain, prune
from holdfast.jobs.supabase import storage_restore, storage_save
from holdfast.jobs.supabase.storage_folder import Folder
from support.buckets import REF, S3, fill
from support.kill_driver import OUT
from support.moto_server import ACCESS_KEY, SECRET_KEY
from support.oracle import asked_of
from support.world import Recorder, write_config

# The oracle knows of no snapshots of files: that the newest gives them back, `assert_whole` sees.
pytestmark = pytest.mark.fault("kill.objects")
Kill = Callable[..., int]
URL = "postgresql://nobody@127.0.0.1:1/"
THREE_DAYS = 3 * 86400


@pytest.fixture
def s3(s3: S3) -> S3:
    """The platform's buckets, filled."""
    fill(s3)
    return s3


@pytest.fixture
def config(bucket_server: str, tmp_path: Path) -> Path:
    keys = f"""
provider = "supabase"
project_ref = "{REF}"
storage_objects = true
storage_url = "{bucket_server}"
storage_region = "us-east-1"
storage_access_key_id = "{ACCESS_KEY}"
storage_secret_access_key = "{SECRET_KEY}"
"""
    return write_config(tmp_path, URL, stores={"a": 'url = "store-a"'}, target=keys)


def contents(config: Path) -> list[Path]:
    folder = config.parent / "store-a/shop/objects"
    return [path for path in folder.glob("??/*") if path.is_file()]


def snapshots(config: Path) -> list[Path]:
    return sorted((config.parent / "store-a/shop/objects").glob("*/manifest.json"))


def age(config: Path) -> None:
    """Let all that lies in the store be three days old."""
    then = time.time() - THREE_DAYS
    for path in (config.parent / "store-a").rglob("*"):
        os.utime(path, (then, then))


def run(config: Path, job: str) -> storage_save.Saved | None:
    with open_app(config, (), reporter=Recorder(), quiet=True) as app:
        (target,) = app.targets
        if job == "prune":
            complain(prune(app.writing_services(), target, app.stop, wish=Wish()))
            return None
        return storage_save.save(app.writing_services(), target, app.stop)


def assert_whole(config: Path, folder: str = OUT) -> None:
    with open_app(config, (), reporter=Recorder(), quiet=True) as app:
        (target,) = app.targets
        found = storage_restore.choose(app.services, target, "latest")
        to = Folder(config.parent / folder)
        choice = storage_restore.Choice(overwrite=True)
        done = storage_restore.restore(app.services, target, found, to, choice, app.stop)
        assert storage_restore.complaint(done) is None
    large = config.parent / folder / "papers/large"
    assert large.read_bytes() == b"0123456789abcdef" * 600_000


@pytest.mark.parametrize(
    ("point", "new"),
    [
        ("stage:objects:stored#3", 1),
        pytest.param("stage:objects:stored", 3, marks=pytest.mark.extended),
        pytest.param("stage:objects:manifest", 0, marks=pytest.mark.extended),
        pytest.param("stage:objects:committed", 0, marks=pytest.mark.extended),
        pytest.param("put:a:manifest.json", 0, marks=pytest.mark.extended),
    ],
)
def test_saving_goes_on_where_it_was(config: Path, s3: S3, kill: Kill, point: str, new: int) -> None:
    assert s3
    with asked_of(config) as oracle:
        assert kill(config, point, job="objects") == -9
        assert len(snapshots(config)) == (point == "stage:objects:committed")
        saved = run(config, "objects")
        assert saved is not None
        assert (saved.new_files, len(contents(config))) == (new, 4)
        oracle.visible("objects", "lost", later=1)
        assert_whole(config)


@pytest.mark.extended
@pytest.mark.parametrize("point", ["stage:objects:removing", "stage:objects:sweeping"])
def test_pruning_is_finished_by_the_next_run(config: Path, s3: S3, kill: Kill, point: str) -> None:
    run(config, "objects")
    s3.delete_object(Bucket="avatars", Key="1.png")
    run(config, "objects")
    age(config)
    with asked_of(config) as oracle:
        assert kill(config, point, job="prune") == -9
        assert_whole(config, "between")
        run(config, "prune")
        assert (len(snapshots(config)), len(contents(config))) == (1, 3)
        oracle.visible("prune", "lost", later=1)
        assert_whole(config)


@pytest.mark.extended
def test_restoring_leaves_whole_files_only(config: Path, s3: S3, kill: Kill) -> None:
    assert s3
    run(config, "objects")
    with asked_of(config) as oracle:
        assert kill(config, "stage:objects:restoring#3", job="restore_objects") == -9
        found = [path for path in (config.parent / OUT).rglob("*") if path.is_file()]
        assert len(found) == 2
        assert_whole(config)
        oracle.visible("restore_objects", "lost", later=1)
