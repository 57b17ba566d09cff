"""The files of a project's buckets are saved once, named by signed snapshots, kept as long as backups need them, and come back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.jobs import catalog
from holdfast.jobs.checks.platform import check_platform
from holdfast.jobs.supabase import storage_prune, storage_restore, storage_save
from holdfast.jobs.supabase.storage_folder import Folder
from holdfast.jobs.supabase.storage_restore import Brought, Choice
from holdfast.jobs.supabase.storage_shelf import Shelf
from holdfast.model.errors import (
    BusyError,
    ConfigError,
    IntegrityError,
    KeyFileError,
    NotFoundError,
    PartialError,
    StoreError,
    UsageError,
)
from holdfast.model.storage import Properties
from holdfast.model.supabase import Project
from holdfast.stores.bucket_files import BucketAccess, BucketFiles
from holdfast.system.stop import Stop
from support.buckets import ODD, REF, S3, fill, project, save, saving, store
from support.moto_server import ACCESS_KEY, SECRET_KEY
from support.world import World

LATER = timedelta(days=3)


@pytest.fixture
def made(bucket_server: str, tmp_path: Path) -> Iterator[World]:
    with saving(tmp_path, bucket_server) as opened:
        yield opened


def content_keys(made: World, name: str = "a") -> set[str]:
    return {key for key in store(made, name).objects if key.endswith(".age") and "zst" not in key}


def kept_of(made: World, name: str = "a") -> dict[str, bytes]:
    """All that lies in a store, leases aside."""
    return {key: data for key, data in store(made, name).objects.items() if key.startswith("shop/")}


def files(bucket_server: str) -> BucketFiles:
    access = project(bucket_server).storage
    assert access is not None
    assert access.region is not None
    return BucketFiles(
        BucketAccess(
            url=bucket_server,
            region=access.region,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            patience=2,
        )
    )


def restore(
    made: World, to: storage_restore.Destination, choice: Choice | None = None, word: str = "latest"
) -> Brought:
    found = storage_restore.choose(made.services, made.target, word)
    done = storage_restore.restore(made.services, made.target, found, to, choice or Choice(), made.stop)
    if (error := storage_restore.complaint(done)) is not None:
        raise error
    return done


def prune(made: World, *backups: str, later: timedelta = LATER) -> None:
    now = made.services.clock.now() + later
    storage_prune.prune(made.services, store(made), "shop", backups, made.stop, now)


def test_files_come_back_as_they_were_with_their_properties(made: World, s3: S3, bucket_server: str) -> None:
    fill(s3)
    saved = save(made)
    assert (saved.snapshot.buckets, saved.snapshot.files, saved.new_files) == (2, 4, 4)
    for bucket, name in (("avatars", "1.png"), ("avatars", ODD), ("papers", "large"), ("papers", "empty")):
        s3.delete_object(Bucket=bucket, Key=name)
    s3.delete_bucket(Bucket="papers")
    done = restore(made, files(bucket_server))
    assert (done.files, done.made_buckets) == (4, ["papers"])
    first = s3.get_object(Bucket="avatars", Key="1.png")
    assert first["Body"].read() == b"first"
    assert (first["ContentType"], first["CacheControl"], first["Metadata"]) == (
        "image/png",
        "max-age=60",
        {"who": "me"},
    )
    assert s3.get_object(Bucket="avatars", Key=ODD)["Body"].read() == b"odd"
    assert s3.get_object(Bucket="papers", Key="large")["Body"].read() == b"0123456789abcdef" * 600_000
    assert s3.get_object(Bucket="papers", Key="empty")["Body"].read() == b""


@pytest.mark.extended
def test_what_did_not_change_is_not_stored_again(made: World, s3: S3) -> None:
    fill(s3)
    save(made)
    before = content_keys(made)
    assert save(made).new_files == 0
    assert content_keys(made) == before
    s3.put_object(Bucket="avatars", Key="1.png", Body=b"other")
    s3.put_object(Bucket="avatars", Key="2.png", Body=b"new")
    assert save(made).new_files == 2
    assert len(content_keys(made)) == len(before) + 2


def test_a_deleted_file_is_kept_as_long_as_a_snapshot_that_names_it(
    made: World, s3: S3, tmp_path: Path
) -> None:
    fill(s3)
    old = save(made).snapshot.id
    s3.delete_object(Bucket="avatars", Key="1.png")
    save(made)
    count = len(content_keys(made))
    prune(made, old)
    assert len(content_keys(made)) == count
    restore(made, Folder(tmp_path / "out"), word=old)
    assert (tmp_path / "out/avatars/1.png").read_bytes() == b"first"
    prune(made)
    assert len(content_keys(made)) == count - 1
    assert [each.snapshot.id for each in storage_restore.snapshots(made.services, made.target)] != [old]
    restore(made, Folder(tmp_path / "new"))


@pytest.mark.extended
def test_what_is_young_is_not_swept(made: World, s3: S3) -> None:
    fill(s3)
    save(made)
    s3.delete_object(Bucket="avatars", Key="1.png")
    save(made)
    before = set(kept_of(made))
    prune(made, later=timedelta(days=1))
    assert set(kept_of(made)) == before


@pytest.mark.extended
def test_what_a_run_that_broke_off_left_goes_when_it_is_old(made: World, s3: S3) -> None:
    fill(s3)

    def fail(stage: str) -> None:
        if stage == "objects:manifest":
            raise StoreError("the power went")

    with pytest.raises(StoreError, match="the power went"):
        storage_save.save(made.staged(fail), made.target, made.stop)
    prune(made, later=timedelta(days=1))
    assert len(content_keys(made)) == 4
    prune(made)
    assert kept_of(made) == {}
    assert save(made).new_files == 4


@pytest.mark.extended
def test_a_run_that_broke_off_goes_on_where_it_was(made: World, s3: S3) -> None:
    fill(s3)
    seen = 0

    def fail(stage: str) -> None:
        nonlocal seen
        seen += stage == "objects:stored"
        if seen == 3:
            raise StoreError("the power went")

    with pytest.raises(StoreError, match="the power went"):
        storage_save.save(made.staged(fail), made.target, made.stop)
    assert storage_restore.snapshots(made.services, made.target) == []
    assert len(content_keys(made)) == 3
    assert save(made).new_files == 1
    assert len(content_keys(made)) == 4
    assert not list((made.services.state_dir / "objects").iterdir())


@pytest.mark.extended
def test_contents_that_are_there_and_not_known_are_never_touched(made: World, s3: S3, tmp_path: Path) -> None:
    fill(s3)
    save(made)
    kept = {key: store(made).objects[key] for key in content_keys(made)}
    for key in [key for key in store(made).objects if "manifest.json" in key]:
        store(made).delete(key)  # nothing names them any more
    assert save(made).new_files == 4
    assert kept.items() <= store(made).objects.items()
    restore(made, Folder(tmp_path / "out"))
    assert save(made).new_files == 0
    prune(made)
    assert len(content_keys(made)) == 4
    assert not kept.keys() & content_keys(made)


@pytest.mark.extended
def test_a_content_that_vanished_is_stored_anew(made: World, s3: S3, tmp_path: Path) -> None:
    fill(s3)
    save(made)
    store(made).delete(min(content_keys(made)))
    assert save(made).new_files == 1
    restore(made, Folder(tmp_path / "out"))


def test_a_planted_snapshot_pushes_none_of_ours_out(made: World, s3: S3) -> None:
    fill(s3)
    save(made)
    kept = dict(store(made).objects)
    for planted in ("20270101T000000Z-ffff", "20290101T000000Z-ffff"):
        store(made).objects[f"shop/objects/{planted}/manifest.json"] = b"{}"
    prune(made, "20280101T000000Z-ffff")
    assert {key: data for key, data in store(made).objects.items() if key in kept} == kept
    assert save(made).new_files == 0  # nor does it have all of them stored anew


@pytest.mark.extended
def test_a_second_store_gets_the_same_objects(made: World, s3: S3, tmp_path: Path) -> None:
    fill(s3)
    both = dataclasses.replace(made, target=dataclasses.replace(made.target, stores=("a", "b")))
    save(both)
    assert kept_of(made, "a") == kept_of(made, "b")
    store(made, "a").objects.clear()
    restore(both, Folder(tmp_path / "out"))


@pytest.mark.extended
@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_a_damaged_content_is_told_and_the_others_come_back(
    made: World,
    s3: S3,
    tmp_path: Path,
    harm: str,
) -> None:
    fill(s3)
    save(made)
    key = max(content_keys(made), key=lambda key: len(store(made).objects[key]))
    data = store(made).objects.pop(key)
    if harm != "gone":
        data = data[:-1] + bytes([data[-1] ^ 1]) if harm == "flip" else data[:-70_000]
        store(made).objects[key] = data
    with pytest.raises(IntegrityError, match="papers/large could not be restored"):
        restore(made, Folder(tmp_path / "out"))
    assert not (tmp_path / "out/papers/large").exists()
    assert (tmp_path / "out/avatars/1.png").read_bytes() == b"first"


def test_nothing_forged_is_believed(made: World, s3: S3, tmp_path: Path) -> None:
    fill(s3)
    save(made)
    for suffix in ("index.zst", "files.jsonl.zst.age", "manifest.json", "manifest.json.minisig"):
        kept = dict(store(made).objects)
        key = next(key for key in kept if key.endswith(suffix))
        store(made).objects[key] = kept[key][:-3] + b"abc"
        with pytest.raises((IntegrityError, NotFoundError)):
            restore(made, Folder(tmp_path / "out"))
        before = set(content_keys(made))
        s3.delete_object(Bucket="avatars", Key="1.png")
        prune(made)  # what cannot be read names who knows what
        assert content_keys(made) == before
        store(made).objects.clear()
        store(made).objects.update(kept)
    assert not (tmp_path / "out").exists()


@pytest.mark.extended
def test_files_that_differ_stay_unless_it_is_asked(made: World, s3: S3, bucket_server: str) -> None:
    fill(s3)
    save(made)
    s3.put_object(Bucket="avatars", Key="1.png", Body=b"newer")
    with pytest.raises(PartialError, match=r"avatars/1\.png were there already, and differ"):
        restore(made, files(bucket_server), Choice(bucket="avatars"))
    assert s3.get_object(Bucket="avatars", Key="1.png")["Body"].read() == b"newer"
    done = restore(made, files(bucket_server), Choice(bucket="avatars", prefix="1", overwrite=True))
    assert done.files == 1
    assert s3.get_object(Bucket="avatars", Key="1.png")["Body"].read() == b"first"


@pytest.mark.extended
def test_no_name_and_no_content_is_readable_in_the_store(made: World, s3: S3) -> None:
    fill(s3)
    save(made)
    everything = b"".join(key.encode() + data for key, data in store(made).objects.items())
    for secret in (b"avatars", b"1.png", b"first", b"image/png", b"papers"):
        assert secret not in everything
    state = b"".join(path.read_bytes() for path in made.services.state_dir.rglob("*") if path.is_file())
    assert b"avatars" not in state


@pytest.mark.extended
def test_without_the_identity_files_are_saved_and_not_restored(made: World, s3: S3, tmp_path: Path) -> None:
    fill(s3)
    keys = dataclasses.replace(made.services.keys, identities=())
    writer = dataclasses.replace(made, services=dataclasses.replace(made.services, keys=keys))
    save(writer)
    assert save(writer).new_files == 0
    with pytest.raises(KeyFileError):
        restore(writer, Folder(tmp_path / "out"))


def test_a_name_that_leads_out_of_the_directory_is_refused(tmp_path: Path) -> None:
    for name in ("../x", "a/../../x", "/etc/x", "a//b", ""):
        with pytest.raises(UsageError):
            Folder(tmp_path).put("b", name, Properties(), iter([b"x"]))
    assert list(tmp_path.rglob("*")) == []


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"a file")
    for call in (
        lambda: Folder(tmp_path).make_bucket("b"),
        lambda: Folder(tmp_path).put("b", "x", Properties(), iter([b"x"])),
    ):
        with pytest.raises(StoreError, match=str(tmp_path)):
            call()


@pytest.mark.extended
def test_two_runs_do_not_work_at_once_and_pruning_waits(made: World, s3: S3) -> None:
    fill(s3)
    caught: list[type[Exception]] = []

    def meanwhile(stage: str) -> None:
        if stage == "objects:stored" and not caught:
            with pytest.raises(BusyError):
                save(made)
            caught.append(BusyError)
            prune(made)

    storage_save.save(made.staged(meanwhile), made.target, Stop())
    assert caught
    assert any("left to the next time" in event for event, _ in made.recorder.infos)


@pytest.mark.extended
def test_check_looks_at_the_buckets(made: World, s3: S3) -> None:
    fill(s3)
    (found,) = check_platform(made.target, made.stop)
    assert (found.level, found.message) == ("ok", "the files can be read: 2 buckets")


@pytest.mark.extended
def test_a_target_without_keys_is_told_what_it_lacks(made: World) -> None:
    without = dataclasses.replace(made.target, supabase=Project(ref=REF))
    with pytest.raises(ConfigError, match="no keys for the files"):
        storage_save.save(made.services, without, made.stop)


@pytest.mark.extended
def test_snapshots_are_no_backups_and_no_debris(made: World, s3: S3) -> None:
    fill(s3)
    save(made)
    before = dict(store(made).objects)
    rebuilt = catalog.rebuild(made.services, quick=False, forget=True)
    assert rebuilt.problems == []
    assert made.services.ledger.backups() == []
    assert store(made).objects == before
    assert len(Shelf(store=store(made), target="shop").snapshots()) == 1
