"""RESTORE.txt, followed to the letter, restores a backup without Holdfast."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs.find import open_best
from holdfast.jobs.importing import import_dumps
from holdfast.jobs.reading import Opened
from holdfast.model import layout
from holdfast.postgres.scratch import Cluster
from holdfast.streams import age_keys
from support import scripts, torture
from support.postgres import clean_environment, execute, running_cluster
from support.programs import make_stand_ins
from support.restoring import create, databases, differences, drop, globals_text, take
from support.world import World, world

NAMES = ("""it's "quoted"$(exit 9)`exit 9`;%s""", "new\nline", "--clean", "postgresql://x/y?a=b")


@pytest.fixture(scope="module")
def source() -> Iterator[Cluster]:
    """Run a server with hostile names, and a database that is read-only."""
    with running_cluster(tcp=False) as cluster:
        execute(
            cluster.conninfo,
            "CREATE ROLE \"o'dd\" LOGIN PASSWORD 'pass''word'",
            'CREATE TABLE "in postgres" AS SELECT 1 AS x',
        )
        torture.load(cluster.conninfo, "torture")
        for name in NAMES:
            create(cluster, name, "CREATE TABLE \"a 'table'\" AS SELECT generate_series(1, 9) AS x")
        create(
            cluster,
            "large",
            "CREATE TABLE t AS SELECT md5(g::text), '{NULL,a}'::text[] FROM generate_series(1, 20000) g",
        )
        for setting in ("default_transaction_read_only TO on", "array_nulls TO off"):
            execute(cluster.conninfo, f"ALTER DATABASE large SET {setting}")
        yield cluster


@pytest.fixture(scope="module")
def other() -> Iterator[Cluster]:
    """Run a server to restore single databases into."""
    with running_cluster(tcp=False) as cluster:
        yield cluster


@pytest.fixture
def shop(source: Cluster, tmp_path: Path) -> Iterator[World]:
    """Give a world whose target is that server."""
    with world(tmp_path, source.conninfo.argv_dsn()) as made:
        yield made


@pytest.fixture
def stand_ins(tmp_path: Path) -> Path:
    """Make a folder with an `age` and a `zstd` that do what is asked of them here, and nothing else."""
    return make_stand_ins(tmp_path / "stand-ins")


def commands(opened: Opened) -> str:
    """Give the commands of a RESTORE.txt: its lines that begin with four spaces."""
    text = b"".join(opened.place.store.get(opened.place.key(layout.RESTORE_TEXT))).decode()
    return "".join(f"{line[4:]}\n" for line in text.splitlines() if line.startswith("    "))


def follow(opened: Opened, shop: World, into: Cluster, folder: Path, *, programs: Path | None) -> str:
    """Run the commands in a copy of the backup's folder, stopping at the first that fails; give what they print."""
    copy = folder / "copy"
    shutil.copytree(folder / "store-a" / opened.place.prefix, copy)
    path = os.pathsep.join(map(str, filter(None, (programs, into.bin_dir, os.environ["PATH"]))))
    age_keys.write_identity_file(folder / "id entity.txt", shop.identity, None, opened.backup.started_at)
    params = into.conninfo.params
    env = {
        **clean_environment(),
        "PATH": path,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PGHOST": params["host"],
        "PGPORT": params["port"],
        "PGUSER": params["user"],
        "IDENTITY": str(folder / "id entity.txt"),
    }
    done = subprocess.run(
        ["/bin/bash", "-e"],
        input=commands(opened),
        env=env,
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def same(source: Cluster, into: Cluster) -> None:
    """Hold the two servers against each other."""
    assert databases(source) == databases(into)
    for name in sorted(databases(source)):
        options = () if "\n" in name else ("--create",)
        found = differences((source, name), (into, name), *options)
        assert not found, "\n".join([name, *found])
    assert globals_text(source) == globals_text(into)


@pytest.mark.extended
def test_the_commands_restore_a_server_of_hostile_names(
    source: Cluster, shop: World, stand_ins: Path, tmp_path: Path
) -> None:
    opened = take(shop)
    with running_cluster(tcp=False) as into:
        said = follow(opened, shop, into, tmp_path, programs=stand_ins)
        same(source, into)
    sums = [line for line in said.splitlines() if line.endswith(": OK")]
    assert len(sums) == sum(len(part.segments) for part in opened.backup.parts)
    assert '"server_version"' in said


@pytest.mark.extended
def test_the_commands_restore_with_the_real_programs(source: Cluster, shop: World, tmp_path: Path) -> None:
    opened = take(shop)
    with running_cluster(tcp=False) as into:
        follow(opened, shop, into, tmp_path, programs=None)
        same(source, into)


@pytest.mark.extended
def test_segments_are_joined(
    source: Cluster,
    other: Cluster,
    shop: World,
    stand_ins: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layout, "SEGMENT_BYTES", 100_000)
    opened = take(shop, databases=("large",))
    part = opened.backup.part("database", "large")
    assert part is not None
    assert [segment.name[-5:] for segment in part.segments][:3] == [".0001", ".0002", ".0003"]
    try:
        follow(opened, shop, other, tmp_path, programs=stand_ins)
        assert differences((source, "large"), (other, "large"), "--create") == []
    finally:
        drop(other, "large")


@pytest.mark.extended
def test_without_encryption_no_age_is_needed_and_none_is_named(
    source: Cluster, other: Cluster, shop: World, stand_ins: Path, tmp_path: Path
) -> None:
    plain = replace(shop, services=replace(shop.services, keys=replace(shop.keys, recipients=())))
    opened = take(plain, databases=("large",))
    (stand_ins / "age").write_text("#!/bin/sh\nexit 1\n")
    assert "age" not in commands(opened).split()
    assert "IDENTITY" not in commands(opened)
    try:
        follow(opened, shop, other, tmp_path, programs=stand_ins)
        assert differences((source, "large"), (other, "large"), "--create") == []
    finally:
        drop(other, "large")


@pytest.mark.extended
def test_a_damaged_object_stops_at_the_check(
    source: Cluster, shop: World, stand_ins: Path, tmp_path: Path
) -> None:
    opened = take(shop, databases=("large",))
    path = tmp_path / "store-a" / opened.place.prefix / "large.dump.zst.age"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(AssertionError, match="did NOT match"):
        follow(opened, shop, source, tmp_path, programs=stand_ins)


@pytest.mark.parametrize(
    "options",
    [(), *(pytest.param((each,), marks=pytest.mark.extended) for each in ("--format=tar", "--create"))],
)
@pytest.mark.extended
def test_the_commands_restore_what_was_imported(
    options: tuple[str, ...], source: Cluster, other: Cluster, shop: World, stand_ins: Path, tmp_path: Path
) -> None:
    name = NAMES[0].replace("/", "") if "--format=tar" not in options else "large"
    (tmp_path / "dumps").mkdir()
    dumped = scripts.dumped(source, source.conninfo.with_database(name), *options)
    (tmp_path / "dumps" / "nightly.dump").write_bytes(dumped)
    wish = scripts.wish(tmp_path / "dumps", "*.dump", database=name)
    import_dumps(shop.services, shop.target, wish, shop.stop)
    opened = open_best(shop.services, shop.services.ledger.backups()[0])
    assert name not in databases(other)
    try:
        follow(opened, shop, other, tmp_path, programs=stand_ins)
        assert differences((source, name), (other, name)) == []
    finally:
        drop(other, name)
