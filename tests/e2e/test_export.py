"""The command export: into pipes and files, and what is left when it is ended on its way."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.postgres.scratch import Cluster
from support.documents import json_keys
from support.home import Home, shape
from support.postgres import execute, new_database
from support.world import argv, environment, write_config

LARGE = 30_000_000  # bytes; more than any pipe holds


@pytest.fixture(scope="module")
def stocked(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with a backup of a small and a large table."""
    folder = tmp_path_factory.mktemp("stocked")
    with new_database(cluster) as database:
        execute(
            database,
            "CREATE TABLE items AS SELECT g AS id, 'a,' || g AS word FROM generate_series(1, 3) AS g",
            f"CREATE TABLE large AS SELECT repeat('x', 1000) AS x FROM generate_series(1, {LARGE // 1000})",
        )
        target = f'databases = ["{database.database}"]'
        config = write_config(folder, cluster.conninfo.argv_dsn(), target=target)
        made = Home(folder=folder, config=config, database=database)
        made.run("backup", "--quiet")
        yield made


def started(home: Home, *args: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv("export", "latest", "-c", home.config, *args),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=home.folder,
    )


def test_csv_goes_to_stdout_or_into_files_and_json_tells_which(stocked: Home, tmp_path: Path) -> None:
    done = stocked.spawn("export", "latest", "--format", "csv", "--table", "items")
    assert done.stdout == 'id,word\n1,"a,1"\n2,"a,2"\n3,"a,3"\n'
    folder = tmp_path / "out"
    told = json.loads(stocked.run("export", "latest", "--format", "csv", "-o", folder, "--json").stdout)
    assert shape(told) | {"skipped"} == json_keys("export")
    assert {each["table"]: (each["file"], each["rows"]) for each in told["tables"]} == {
        "items": ("public.items.csv", 3),
        "large": ("public.large.csv", LARGE // 1000),
    }
    assert (folder / "public.items.csv").read_text() == done.stdout


def test_what_would_mix_or_overwrite_is_refused(stocked: Home, tmp_path: Path) -> None:
    assert "-o PATH" in stocked.run("export", "latest", "--json", code=2).stderr
    assert "2 tables" in stocked.run("export", "latest", "--format", "csv", code=2).stderr
    (tmp_path / "mine").write_text("mine")
    for form in ("csv", "sql", "archive"):
        stocked.run("export", "latest", "--format", form, "-o", tmp_path / "mine", code=2)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_closed_stdout_is_refused_before_another_file_takes_its_place(stocked: Home) -> None:
    command = argv("export", "latest", "-c", stocked.config, "--format", "sql")
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *command],
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=stocked.folder,
        check=False,
    )
    assert (done.returncode, b"stdout is closed" in done.stderr) == (2, True), done.stderr
    assert len(stocked.ids()) == 1


@pytest.mark.parametrize("form", ["archive", "sql", "csv"])
@pytest.mark.sampled(1)
def test_a_reader_that_has_enough_ends_it_with_a_word(stocked: Home, form: str) -> None:
    process = started(stocked, "--format", form, "--table", "large")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(1000)
    process.stdout.close()
    said = process.stderr.read().decode()
    assert process.wait(20) == 1
    assert "the reader of the output went away" in said
    assert "Traceback" not in said
    process.stderr.close()


@pytest.mark.parametrize("form", ["archive", "sql", "csv"])
@pytest.mark.extended
def test_it_ends_when_told_to_though_nobody_reads(stocked: Home, form: str) -> None:
    process = started(stocked, "--format", form, "--table", "large")
    assert process.stdout is not None
    assert process.stdout.read(1000)
    time.sleep(0.5)  # the pipe is full now
    process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(10) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("form", ["archive", "sql", "csv"])
@pytest.mark.sampled(1)
def test_nothing_is_left_when_it_is_ended_on_its_way(stocked: Home, tmp_path: Path, form: str) -> None:
    output = tmp_path / "out"
    process = started(stocked, "--format", form, "-o", output)
    deadline = time.monotonic() + 20
    while not any(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert list(tmp_path.iterdir()) == []
