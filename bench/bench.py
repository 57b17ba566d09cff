"""Measures the speed of backups against the usual ways, in one interleaved run, and prints a Markdown table.

Times are ratios to `pg_dump -Fc -Z0 > /dev/null` of the same round, because machines differ and are shared. Nothing
is asserted: this prints, people judge.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg

from bench import data, report
from bench.contenders import HOLDFAST, Contender, Setting, backups, config_text, environment, prepare
from bench.measure import Measured, run, seconds_to_first_byte, seconds_to_judge, stored_bytes
from bench.restores import restores
from holdfast.model.errors import UsageError
from holdfast.postgres import tools
from holdfast.postgres.scratch import Cluster, scratch_cluster

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_SMALL = 100_000
_TIMES = 5
_JUDGED = 100_000
# As initdb leaves it: a server that would survive a crash, and that can be copied physically.
_ORDINARY = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_level": "replica",
    "max_wal_senders": "10",
}


def main(argv: Sequence[str]) -> None:
    """Run the benchmark."""
    options = _options(argv)
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=options.dir) as folder,
        scratch_cluster(settings=_ORDINARY) as source,
        scratch_cluster(settings=_ORDINARY) as destination,
        _sink() as s3_url,
    ):
        use_clients_of(source)
        versions = {"PostgreSQL": _server_version(source)}
        versions |= {name: report.version(name, "--version") for name in ("zstd", "age", "borg")}
        versions |= {name: report.version(name, "version") for name in ("restic", "pgbackrest")}
        machine = report.machine({k: v for k, v in versions.items() if v != "absent"})
        _say(f"filling a database of about {options.size / 1e6:.0f} MB")
        size = _database(source, "shop", options.size)
        _database(source, "small", _SMALL)
        setting = Setting(
            source=source.conninfo.with_database("shop").argv_dsn(),
            database="shop",
            destination=destination.conninfo.argv_dsn(),
            root=Path(folder),
            s3_url=s3_url,
            data_dir=source.data_dir,
            socket_dir=source.conninfo.params["host"],
            port=int(source.conninfo.params["port"]),
        )
        everyone = [*backups(setting), *restores(setting)]
        results = _measure(_chosen(everyone, options.only), Path(folder), options.rounds)
        first = _first_bytes(setting)
        judged = [seconds_to_judge(_JUDGED) for _ in range(_TIMES)]
    print(f"\n{machine}.\nThe database: {size / 1e6:.0f} MB on disk; rounds: {options.rounds}.\n")
    print(report.table(results))
    print(f"\n{report.first_byte(first)}\n{report.judged(judged, _JUDGED)}")
    for each in everyone:
        if each.missing():
            print(f"Skipped: {each.name}: no {', '.join(each.missing())} on this machine.")


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument(
        "--size",
        type=size_of,
        default=size_of("1GB"),
        help="of the database on disk: 300MB, 2GB (default: 1GB)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often all of it is run (default: 3)")
    parser.add_argument("--dir", help="where backups go (default: the directory for temporary files)")
    parser.add_argument("--only", help="measure only whose name holds this, and what it needs")
    return parser.parse_args(argv)


def size_of(text: str) -> int:
    """Read a size such as 300MB. Raise ArgumentTypeError."""
    found = re.fullmatch(r"(\d+)\s*([KMG]B)?", text.strip().upper())
    if not found:
        raise argparse.ArgumentTypeError(f"{text}: write 300MB or 2GB")
    return int(found[1]) * _UNITS[found[2] or ""]


def _chosen(everyone: Sequence[Contender], only: str | None) -> list[Contender]:
    """Leave out who is not asked for or lacks a program; keep who is compared with, and whose backup is restored."""
    able = [each for each in everyone if not each.missing()]
    named = [each for each in able if (only or "").lower() in each.name.lower()]
    folders = {each.folder for each in named}
    wanted = [each for each in able if each in named or (each.stored and each.folder in folders)]
    bases = {each.base for each in wanted}
    return [each for each in able if each in wanted or each.name in bases]


def _database(cluster: Cluster, name: str, size: int) -> int:
    with psycopg.connect(cluster.conninfo.dsn(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0'.encode())
    return data.fill(cluster.conninfo.with_database(name).dsn(), size)


def _measure(able: Sequence[Contender], root: Path, rounds: int) -> list[report.Result]:
    runs: dict[str, list[Measured]] = {each.name: [] for each in able}
    stored: dict[str, int] = {}
    for number in range(1, rounds + 1):
        for each in able:
            folder = root / each.folder
            folder.mkdir(exist_ok=True)
            prepare(each, folder)
            measured = run(each.argv, cwd=folder, env=environment(each))
            _say(f"round {number} of {rounds}: {measured.seconds:7.2f} s  {each.name}")
            runs[each.name].append(measured)
            if each.stored is not None:
                stored[each.name] = stored_bytes(folder / each.stored)
            if not each.lasting:
                shutil.rmtree(folder)
        for each in able:
            shutil.rmtree(root / each.folder, ignore_errors=True)
    return [
        report.Result(
            name=each.name,
            runs=runs[each.name],
            ratios=[
                mine.seconds / base.seconds
                for mine, base in zip(runs[each.name], runs[each.base], strict=True)
            ],
            stored=stored.get(each.name),
        )
        for each in able
    ]


def _first_bytes(setting: Setting) -> list[float]:
    found = []
    for number in range(_TIMES):
        folder = setting.root / f"first-{number}"
        folder.mkdir()
        (folder / "holdfast.toml").write_text(config_text(setting, database="small"), encoding="utf-8")
        argv = (*HOLDFAST, "backup", "--quiet")
        env = environment(Contender(name="", folder="", argv=argv))
        found.append(seconds_to_first_byte(argv, folder / "store", cwd=folder, env=env))
    return found


@contextlib.contextmanager
def _sink() -> Iterator[str]:
    """Run the S3 server that forgets, in a process of its own."""
    argv = (sys.executable, "-m", "bench.sink")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = process.stdout.readline().strip() if process.stdout else ""
            if not port:
                raise UsageError("the S3 server of the benchmark did not start")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def use_clients_of(cluster: Cluster) -> None:
    """Let all contenders find the client programs that fit the server."""
    found = tools.choose(tools.find_toolsets([cluster.bin_dir]), cluster.version_num)
    os.environ["PATH"] = f"{found.bin_dir}{os.pathsep}{os.environ['PATH']}"


def _server_version(cluster: Cluster) -> str:
    return f"{cluster.version_num // 10000}.{cluster.version_num % 10000}"


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
