"""The commands about files of buckets save, list and restore them, and retention takes them along."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.jobs.supabase import storage_save
from holdfast.postgres import conninfo
from holdfast.system.stop import Stop
from support.buckets import ODD, REF, S3, fill, project
from support.home import Home
from support.moto_server import ACCESS_KEY, SECRET_KEY
from support.world import environment, write_config
from support.yard import yard

URL = "postgresql://postgres@127.0.0.1:1/postgres"


def home(folder: Path, bucket_server: str) -> Home:
    (folder / "key").write_text(SECRET_KEY)
    keys = f"""
provider = "supabase"
project_ref = "{REF}"
storage_objects = true
storage_url = "{bucket_server}"
storage_region = "us-east-1"
storage_access_key_id = "{ACCESS_KEY}"
storage_secret_access_key_file = "key"
"""
    return Home(folder=folder, config=write_config(folder, URL, target=keys), database=conninfo.parse(URL))


@pytest.mark.extended
def test_the_commands_save_list_and_restore(s3: S3, bucket_server: str, tmp_path: Path) -> None:
    fill(s3)
    here = home(tmp_path, bucket_server)
    assert here.facts("supabase", "save-objects", "shop")["new_files"] == 4
    said = here.run("supabase", "save-objects")
    assert "0 files were new" in said.stdout
    listed = here.facts("supabase", "objects")
    assert [each["files"] for each in listed] == [4, 4]
    out = tmp_path / "out"
    done = here.facts(
        "supabase", "restore-objects", "--snapshot", listed[1]["id"], "--to", out, "--bucket", "avatars"
    )
    assert done["files"] == 2
    assert (out / "avatars" / ODD).read_bytes() == b"odd"
    here.run("supabase", "restore-objects", "--to", out, code=3)
    here.run("supabase", "restore-objects", "--snapshot", "nope", code=12)
    here.run("supabase", "restore-objects", "--bucket", "avatar", code=12)
    here.run("supabase", "restore-objects", "--to", out, "--to-target", "shop", code=2)
    written = b"".join(path.read_bytes() for path in here.state.rglob("*") if path.is_file())
    assert SECRET_KEY.encode() not in written + said.stdout.encode() + said.stderr.encode()


def test_retention_takes_files_along(s3: S3, bucket_server: str, tmp_path: Path) -> None:
    """By the job that prunes: whoever removes backups removes what only they needed."""
    with yard(tmp_path) as place:
        fill(s3)
        place.target = dataclasses.replace(place.target, supabase=project(bucket_server))
        place.take(3)
        storage_save.save(place.services, place.target, Stop())
        s3.delete_object(Bucket="avatars", Key="1.png")
        place.clock.sleep(timedelta(days=1))
        storage_save.save(place.services, place.target, Stop())
        place.take(1)
        keys = place.stores["a"].objects

        def saved() -> int:
            return sum(1 for key in keys if key.endswith(".age") and "/objects/" in key and "zst" not in key)

        place.prune()
        assert saved() == 4
        place.rules(daily=1)
        place.clock.sleep(timedelta(days=10))
        place.put(place.clock.now())
        place.prune(allow=9)
        place.clock.sleep(timedelta(days=10))
        place.put(place.clock.now())
        place.prune(allow=9)
        assert saved() == 3


MEASURE = """
import sys
from holdfast.cli.program import main
def peak():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))) // 1024
assert main(["supabase", "save-objects", "--quiet", "--config", sys.argv[1]]) == 0
print(peak(), flush=True)
input()
assert main(["supabase", "save-objects", "--quiet", "--config", sys.argv[1]]) == 0
assert main(["supabase", "restore-objects", "--quiet", "--config", sys.argv[1], "--to", sys.argv[2]]) == 0
print(peak())
"""


@pytest.mark.extended
def test_a_large_file_takes_no_more_memory_than_a_small_one(
    s3: S3, bucket_server: str, tmp_path: Path
) -> None:
    fill(s3)
    here = home(tmp_path, bucket_server)
    out = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", MEASURE, str(here.config), str(out)],
        cwd=tmp_path,
        env=environment(PYTHONPATH=os.pathsep.join(sys.path)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        small = int(process.stdout.readline())
        s3.put_object(Bucket="papers", Key="huge", Body=bytes(200 * 1024 * 1024))
        said, _ = process.communicate("\n", timeout=250)
    assert (out / "papers/huge").stat().st_size == 200 * 1024 * 1024
    assert int(said) < small + 60, (small, said)
