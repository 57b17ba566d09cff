"""The dumps of a script become backups like any other, and restore like any other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.jobs.find import open_best
from holdfast.jobs.importing import import_dumps
from holdfast.jobs.reading import read_catalog
from holdfast.jobs.verify import verify
from holdfast.methods.pg_restore import Options
from holdfast.model.errors import SourceError, UsageError
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support import scripts
from support.postgres import query
from support.restoring import create, databases, differences, drop, put_back
from support.world import World, world

FILL = (
    "CREATE TYPE mood AS ENUM ('fine', 'so; so')",
    "CREATE TABLE a (id int PRIMARY KEY, t text, m mood DEFAULT 'fine', b bytea)",
    "INSERT INTO a SELECT g, E'a\\tb\\\\c\\n\\\\.' || g, 'so; so', decode('00ff5c', 'hex') FROM generate_series(1, 500) g",
    "CREATE FUNCTION f(x int) RETURNS text LANGUAGE plpgsql AS $x$ BEGIN RETURN ';\n\\! echo no'; END $x$",
    "CREATE VIEW v AS SELECT id, f(id) FROM a",
    "SELECT lo_from_bytea(4711, 'large; object')",
    "COMMENT ON TABLE a IS 'it''s; so'",
    "CREATE TABLE p (id int) PARTITION BY LIST (id)",
    "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)",
    "INSERT INTO p VALUES (1)",
    "CREATE TABLE hollow ()",
)
KINDS = {
    "custom": ("-Fc", "--exclude-table-data=hollow"),
    "tar": ("-Ft", "--exclude-table-data=hollow"),
    "plain": (),
    "created": ("--create",),
    "cleaning": ("--clean",),
    "inserts": ("--inserts",),
}


@pytest.fixture(scope="module")
def source(cluster: Cluster) -> Iterator[Conninfo]:
    yield create(cluster, "scripted", *FILL)
    drop(cluster, "scripted")


@pytest.fixture
def host(cluster: Cluster, tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, cluster.conninfo.argv_dsn(), databases=("scripted",)) as made:
        yield made


@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=pytest.mark.extended if k not in {"tar", "plain"} else ()) for k in KINDS],
)
@pytest.mark.sampled(1)
def test_a_dump_of_every_kind_restores_as_it_was(
    kind: str, host: World, source: Conninfo, cluster: Cluster, tmp_path: Path
) -> None:
    folder = tmp_path / "dumps"
    folder.mkdir()
    data = scripts.dumped(cluster, source, *KINDS[kind])
    (folder / f"{kind}_20260131_023000.dump").write_bytes(data)
    wish = scripts.wish(folder, "*_%Y%m%d_%H%M%S.dump")
    report = import_dumps(host.services, host.target, wish, host.stop)
    assert [each.state for each in report.outcomes] == ["imported"], report
    (row,) = host.services.ledger.backups()
    backup = row.backup
    at = datetime(2026, 1, 31, 2, 30, tzinfo=UTC)
    assert (backup.started_at, backup.imported, backup.slot) == (at, True, None)
    assert backup.id.startswith("20260131T023000Z-")
    assert backup.format_version == (1 if kind == "custom" else 2)
    opened = open_best(host.services, row)
    catalog = read_catalog(opened, host.keys)
    assert catalog.imported_from == (f"{kind}_20260131_023000.dump",)
    (described,) = catalog.databases
    assert {table.name for table in described.tables} == {"a", "v", "p", "p1", "hollow"}
    archived = kind in {"custom", "tar"}
    assert [t.name for t in described.tables if t.kind == "p"] == (["p"] if archived else [])
    assert [t.name for t in described.tables if t.data_left_out] == (["hollow"] if archived else [])
    titles = {each.title for each in described.schema_objects or ()}
    assert ("table public.a" in titles) == archived
    (verified,) = verify(host.services, row, host.stop)
    assert verified.error is None
    try:
        put_back(host, opened, cluster, database="scripted", rename="again")
        assert differences((cluster, "scripted"), (cluster, "again")) == []
    finally:
        drop(cluster, "again")


def test_files_of_one_time_are_one_backup_and_the_broken_ones_are_named(
    host: World, source: Conninfo, cluster: Cluster, tmp_path: Path
) -> None:
    folder = tmp_path / "dumps"
    (folder / "daily").mkdir(parents=True)
    sql, archive = scripts.dumped(cluster, source), scripts.dumped(cluster, source, "-Fc")
    hostile = sql.replace(
        b"\n--\n-- PostgreSQL database dump complete",
        b"\n\\! touch /tmp/x\n--\n-- PostgreSQL database dump complete",
    )
    files = {
        "daily/globals_20260131.sql.gz": scripts.zipped(scripts.globals_of(cluster)),
        "daily/scripted_20260131.sql.gz.enc": scripts.encrypted(scripts.zipped(sql), "-pbkdf2"),
        "other_20260131.sql.enc": scripts.encrypted(sql, "-md", "md5"),
        "scripted_20260130.dump": archive,
        "cut_20260129.dump": archive[: len(archive) // 2],
        "cut_20260128.sql.gz": scripts.zipped(sql)[:-50],
        "cut_20260127.sql": sql[: len(sql) // 2],
        "empty_20260126.sql": b"",
        "hole_20260124.dump": archive[:-1200] + archive[-400:],
        "hostile_20260125.sql": hostile,
        "future_21000101.dump": archive,
        "twice_20260130.dump": archive,
        "notes.txt": b"not one of the pattern",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    before = {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()
    }
    wish = scripts.wish(folder, "{database}_%Y%m%d.*")
    dry = import_dumps(
        host.services, host.target, scripts.wish(folder, "{database}_%Y%m%d.*", dry_run=True), host.stop
    )
    assert dry.count("would be imported") == 4
    assert host.services.ledger.backups() == []
    report = import_dumps(host.services, host.target, wish, host.stop)
    assert report.count("imported") == 4
    assert {
        each.name.partition("_")[0]: str(each.error)
        for each in report.outcomes
        if each.error and not each.name.startswith("cut")
    } == {
        "empty": "it is empty",
        "hole": "it is damaged between its table of contents and its end",
        "hostile": "it has a command for psql (\\!), which pg_dump does not write",
        "future": "its time lies in the future",
        "twice": "scripted_20260130.dump is a dump of database scripted of the same time, too",
    }
    cut = [str(each.error) for each in report.outcomes if each.name.startswith("cut")]
    assert [each for each in cut if "ends" in each] == cut
    assert len(cut) == 3
    both = host.services.ledger.backups()[0].backup
    assert both.databases == ("other", "scripted")
    assert [(part.role, part.format) for part in both.parts] == [
        ("globals", "plain"),
        ("database", "plain"),
        ("database", "plain"),
        ("catalog", "json"),
    ]
    assert len(host.services.ledger.backups()) == 2
    assert before == {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()
    }
    again = import_dumps(host.services, host.target, wish, host.stop)
    assert (again.count("there already"), again.count("imported")) == (4, 0)
    assert len(host.services.ledger.backups()) == 2


def test_what_was_interrupted_goes_on_when_it_is_run_again(
    host: World, source: Conninfo, cluster: Cluster, tmp_path: Path
) -> None:
    folder = tmp_path / "dumps"
    folder.mkdir()
    for day in (1, 2, 3):
        (folder / f"scripted_2026010{day}.dump").write_bytes(scripts.dumped(cluster, source, "-Fc"))
    wish = scripts.wish(folder, "{database}_%Y%m%d.dump")
    seen: list[str] = []

    def broken_off(stage: str) -> None:
        seen.append(stage)
        if seen.count("parts_stored") == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_dumps(host.staged(broken_off), host.target, wish, host.stop)
    assert len(host.services.ledger.backups()) == 1
    report = import_dumps(host.services, host.target, wish, host.stop)
    assert [each.state for each in report.outcomes] == ["there already", "imported", "imported"]
    stored = {stored.key.split("/")[1] for stored in host.services.store("a").list()}
    assert stored == {row.backup.id for row in host.services.ledger.backups()}


def test_what_cannot_be_done_with_plain_sql_is_said_before_anything_is(
    host: World, source: Conninfo, cluster: Cluster, tmp_path: Path
) -> None:
    folder = tmp_path / "dumps"
    folder.mkdir()
    (folder / "scripted.sql").write_bytes(scripts.dumped(cluster, source))
    import_dumps(host.services, host.target, scripts.wish(folder, "{database}.sql"), host.stop)
    (row,) = host.services.ledger.backups()
    opened = open_best(host.services, row)
    for options in (
        Options(jobs=2),
        Options(clean=True),
        Options(no_owner=True),
        Options(sections=("data",)),
    ):
        with pytest.raises(UsageError, match="plain SQL, which does not go with"):
            put_back(host, opened, cluster, database="scripted", rename="again", options=options)
    with pytest.raises(UsageError, match="not empty"):
        put_back(host, opened, cluster, database="scripted")
    assert "again" not in databases(cluster)


def test_a_statement_that_fails_leaves_an_existing_database_as_it_was(
    host: World, source: Conninfo, cluster: Cluster, tmp_path: Path
) -> None:
    folder = tmp_path / "dumps"
    folder.mkdir()
    sql = scripts.dumped(cluster, source)
    (folder / "scripted.sql").write_bytes(sql.replace(b"COPY public.a (id", b"COPY public.a (it"))
    import_dumps(host.services, host.target, scripts.wish(folder, "{database}.sql"), host.stop)
    opened = open_best(host.services, host.services.ledger.backups()[0])
    there = create(cluster, "there")
    try:
        for name in ("there", "absent"):
            with pytest.raises(SourceError, match=r"table public\.a.*column \"it\""):
                put_back(host, opened, cluster, database="scripted", rename=name)
        assert query(there, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [
            (0,)
        ]
        assert "absent" not in databases(cluster)
    finally:
        drop(cluster, "there")
