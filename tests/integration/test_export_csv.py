"""Tables of a backup become the CSV that the server itself writes, and a server reads it back as it was."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from urllib.parse import unquote

import psycopg
import pytest
from psycopg import sql

from holdfast.jobs.export import Exported, Wish, export
from holdfast.jobs.reading import Opened
from holdfast.model.errors import Error, IntegrityError, NotFoundError, StoreError, UsageError
from holdfast.model.target import Compression
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support import torture
from support.faults import fill
from support.postgres import execute, new_database, query
from support.restoring import create, drop, take
from support.world import Recorder, World, world

NAME = "csv torture"
# What pg_dump sets in its own session.
AS_PG_DUMP = (
    "SET datestyle = ISO; SET intervalstyle = postgres; SET extra_float_digits = 3; SET bytea_output = hex"
)
TABLES = (
    "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r'"
    " AND n.nspname !~ '^pg_|^information_schema' AND NOT EXISTS (SELECT FROM pg_depend d"
    " WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"
)


@pytest.fixture(scope="module")
def tortured(cluster: Cluster) -> Iterator[Conninfo]:
    yield torture.load(cluster.conninfo, NAME)
    drop(cluster, NAME)


@pytest.fixture(scope="module")
def home(cluster: Cluster, tortured: Conninfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with world(folder, cluster.conninfo.argv_dsn(), databases=(str(tortured.database),)) as made:
        yield made


@pytest.fixture(scope="module")
def backup(home: World) -> Opened:
    return take(home)


def exported(
    home: World, opened: Opened, output: Path, *tables: str, schemas: tuple[str, ...] = ()
) -> Exported:
    wish = Wish(database=None, form="csv", output=output, tables=tables, schemas=schemas)
    return export(home.services, opened, wish, home.stop)


def copied(where: Conninfo, schema: str, table: str) -> bytes:
    """Give what the server writes for a table of its own."""
    statement = sql.SQL("COPY {} TO STDOUT (FORMAT csv, HEADER)").format(sql.Identifier(schema, table))
    with psycopg.connect(where.dsn()) as connection:
        connection.execute(sql.SQL(AS_PG_DUMP))
        with connection.cursor().copy(statement) as copy:
            return b"".join(map(bytes, copy))


def names(folder: Path) -> dict[tuple[str, ...], bytes]:
    """Give the content of each file, by the schema and the table that its name tells."""
    return {
        tuple(map(unquote, path.name.removesuffix(".csv").split("."))): path.read_bytes()
        for path in folder.iterdir()
    }


def test_every_table_is_written_as_the_server_writes_it(
    home: World, backup: Opened, tortured: Conninfo, tmp_path: Path
) -> None:
    done = exported(home, backup, tmp_path / "out")
    written = names(tmp_path / "out")
    tables = [(str(schema), str(table)) for schema, table in query(tortured, TABLES)]
    assert sorted(written) == sorted(tables)
    for table in tables:
        assert written[table] == copied(tortured, *table), table
    assert done.encoding == "UTF8"
    assert {(t.schema, t.table): (t.file, t.size) for t in done.tables} == {
        tuple(map(unquote, path.name.removesuffix(".csv").split("."))): (path.name, path.stat().st_size)
        for path in (tmp_path / "out").iterdir()
    }
    assert {(t.schema, t.table): t.rows for t in done.tables}["public", "unlogged"] == 10
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o600}
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


@pytest.mark.extended
def test_a_server_reads_the_rows_back_as_they_were(
    cluster: Cluster, database: Conninfo, tmp_path: Path
) -> None:
    values = "(NULL, ''), ('', NULL), ('\\.', 'a,b'), (E'a\\n\\n\"b', E'\\\\N'), (E'\\r\\t\\\\', ' x ')"
    execute(
        database,
        "CREATE TABLE t (a text, b text)",
        f"INSERT INTO t VALUES {values}",
        "CREATE TABLE u (LIKE t)",
    )
    with world(tmp_path, cluster.conninfo.argv_dsn(), databases=(str(database.database),)) as made:
        exported(made, take(made), tmp_path / "t.csv", "t")
    with (
        psycopg.connect(database.dsn()) as connection,
        connection.cursor().copy("COPY u FROM STDIN (FORMAT csv, HEADER)") as copy,
    ):
        copy.write((tmp_path / "t.csv").read_bytes())
    assert query(database, "SELECT * FROM t EXCEPT ALL SELECT * FROM u") == []
    assert query(database, "SELECT count(*) FROM u") == [(5,)]


def test_a_parent_brings_its_partitions_and_a_schema_its_tables(
    home: World, backup: Opened, tmp_path: Path
) -> None:
    done = exported(home, backup, tmp_path / "sales", "public.sales")
    assert {(each.schema, each.table) for each in done.tables} == {
        ("public", "sales_2025 nord"),
        ("public", "sales_2025_rest"),
        ("app", "sales_old"),
    }
    assert sum(each.rows for each in done.tables) == 90
    done = exported(home, backup, tmp_path / "app", schemas=("app",))
    assert {each.schema for each in done.tables} == {"app"}
    assert {"edges", "secrets", "sales_old"} <= {each.table for each in done.tables}


def test_one_table_goes_into_a_file_or_a_pipe_and_several_do_not(
    home: World, backup: Opened, tortured: Conninfo, tmp_path: Path
) -> None:
    exported(home, backup, tmp_path / "edges.csv", "app.edges")
    expected = copied(tortured, "app", "edges")
    assert (tmp_path / "edges.csv").read_bytes() == expected
    wish = Wish(database=None, form="csv", output=None, tables=("app.edges",))
    with (tmp_path / "piped").open("wb") as file:
        export(home.services, backup, wish, home.stop, descriptor=file.fileno())
    assert (tmp_path / "piped").read_bytes() == expected
    with pytest.raises(UsageError, match=r"2 tables .* one CSV file: app\.edges, public\.tree"):
        exported(home, backup, tmp_path / "two.csv", "app.edges", "public.tree")
    assert {path.name for path in tmp_path.iterdir()} == {"edges.csv", "piped"}


class _Meter(Recorder):
    """A reporter that keeps how many bytes were to be read, and how many were."""

    total = read = 0

    @contextmanager
    def progress(self, _label: str, total: int) -> Iterator[Callable[[int], None]]:
        self.total = total
        yield self._add

    def _add(self, count: int) -> None:
        self.read += count


@pytest.mark.extended
def test_a_small_table_beside_a_large_one_is_read_alone(
    cluster: Cluster, database: Conninfo, tmp_path: Path
) -> None:
    fill(database)
    meter = _Meter()
    with world(tmp_path, cluster.conninfo.argv_dsn(), databases=(str(database.database),)) as made:
        opened = take(made)
        made.services = replace(made.services, reporter=meter)
        exported(made, opened, tmp_path / "item.csv", "item")
    assert (tmp_path / "item.csv").read_bytes() == b"n\n1\n"
    assert 0 < meter.read == meter.total < opened.backup.size / 100


def test_what_has_no_rows_is_said(home: World, backup: Opened, tmp_path: Path) -> None:
    home.recorder.warnings.clear()
    done = exported(home, backup, tmp_path / "both", "tree", "v_edges", "sales")
    assert len(done.tables) == 4
    assert [event for event, _ in home.recorder.warnings] == ["no rows in the backup: view public.v_edges"]
    rmtree(tmp_path / "both")
    with pytest.raises(NotFoundError, match=r"no rows in the backup: view public\.v_edges"):
        exported(home, backup, tmp_path / "view", "v_edges")
    with pytest.raises(NotFoundError, match="no such table"):
        exported(home, backup, tmp_path / "none", "nothing_like_it")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["pg_dump", "none"])
def test_what_pg_dump_compressed_itself_and_what_is_plain_is_written_alike(
    home: World, tortured: Conninfo, tmp_path: Path, kind: str
) -> None:
    bare = replace(home, services=replace(home.services, keys=replace(home.keys, recipients=())))
    opened = take(bare, compression=Compression(kind=kind))  # type: ignore[arg-type] # one of its literals
    exported(bare, opened, tmp_path / "big.csv", "big_values")
    assert (tmp_path / "big.csv").read_bytes() == copied(tortured, "public", "big_values")


def test_the_bytes_stay_those_of_the_database(cluster: Cluster, tmp_path: Path) -> None:
    options = "TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"
    where = create(
        cluster, "latin", "CREATE TABLE gr\u00f6\u00dfe AS SELECT 'h\u00f6he' AS l\u00e4nge", options=options
    )
    try:
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=("latin",)) as made:
            done = exported(made, take(made), tmp_path / "out", "gr\u00f6\u00dfe")
    finally:
        drop(cluster, "latin")
    assert where.database == "latin"
    assert done.encoding == "LATIN1"
    assert names(tmp_path / "out") == {("public", "gr\u00f6\u00dfe"): b"l\xe4nge\nh\xf6he\n"}


def test_an_encoding_that_hides_backslashes_is_refused(
    cluster: Cluster, database: Conninfo, tmp_path: Path
) -> None:
    execute(database, "CREATE TABLE t AS SELECT 'ソ表' AS x")  # in SJIS their second byte is a backslash
    with world(tmp_path, cluster.conninfo.argv_dsn(), databases=(str(database.database),)) as made:
        opened = take(made, options=("--encoding=SJIS",))
        with pytest.raises(UsageError, match="SJIS"):
            exported(made, opened, tmp_path / "t.csv", "t")


def test_rows_that_are_commands_are_refused(home: World, tmp_path: Path) -> None:
    opened = take(home, options=("--inserts",))
    with pytest.raises(UsageError, match="dumped as INSERT commands") as caught:
        exported(home, opened, tmp_path / "out", "tree")
    assert "--format sql" in str(caught.value.hint)
    assert list(tmp_path.iterdir()) == []


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """Let no file grow larger: writing fails as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.fault("full.output")
@pytest.mark.parametrize("output", ["out", "out.csv"])
def test_a_full_disk_leaves_nothing(home: World, backup: Opened, tmp_path: Path, output: str) -> None:
    with small_files(1000), pytest.raises(StoreError, match="File too large"):
        exported(home, backup, tmp_path / output, "big_values")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_goes_away_ends_the_export(home: World, backup: Opened) -> None:
    wish = Wish(database=None, form="csv", output=None, tables=("big_values",))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        with pytest.raises(Error, match="the reader of the output went away"):
            export(home.services, backup, wish, home.stop, descriptor=writing)
    finally:
        os.close(writing)


def test_a_backup_that_is_damaged_leaves_nothing(home: World, backup: Opened, tmp_path: Path) -> None:
    (path,) = Path(backup.place.store.location, "shop", backup.backup.id).glob("*.dump.*")
    whole = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        with pytest.raises(IntegrityError):
            exported(home, backup, tmp_path / "out")
    finally:
        path.write_bytes(whole)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(home: World, backup: Opened, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    exported(home, backup, tmp_path / "empty", "tree")
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["public.tree.csv"]
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("empty", "file", "link"):
        with pytest.raises(UsageError, match="not an empty directory"):
            exported(home, backup, tmp_path / name, "tree")
    with pytest.raises(UsageError, match="cannot write"):
        exported(home, backup, tmp_path / "not" / "there", "tree")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "link"]


@pytest.mark.fault("full.output")
@pytest.mark.parametrize("there", [True, False])
def test_a_directory_that_fills_meanwhile_stays_as_it_is(
    home: World, backup: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    if there:
        (tmp_path / "out").mkdir()
    real = os.fsync

    def appears(handle: int) -> None:
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "another's").write_text("mine")
        real(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", appears)
        with pytest.raises(UsageError, match="not empty any more"):
            exported(home, backup, tmp_path / "out", "tree")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["another's"]


def test_files_that_cannot_all_be_moved_into_an_empty_directory_are_all_taken_back(
    home: World, backup: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, linked = os.link, list[object]()

    def second_fails(source: object, target: object) -> None:
        if linked:
            raise FileExistsError(errno.EEXIST, "File exists")
        linked.append(target)
        real(source, target)  # type: ignore[arg-type] # paths both

    monkeypatch.setattr(os, "link", second_fails)
    with pytest.raises(UsageError, match="not empty any more"):
        exported(home, backup, tmp_path, "tree", "hen")
    assert len(linked) == 1
    assert list(tmp_path.iterdir()) == []


def test_names_of_any_kind_make_files_of_their_own(cluster: Cluster, tmp_path: Path) -> None:
    hostile = [
        "a/b",
        "../../up",
        "a\nb",
        "a.b",
        "a%2Fb",
        'q"uote',
        "-rf",
        ".",
        "..",
        "/" * 63,
        "~",
        "\x7f",
        "a b",
    ]
    tables = [*(("public", name) for name in hostile), ("a", "b"), ("." * 63, "/" * 63)]
    with new_database(cluster) as database:
        for schema, table in tables:
            where = sql.Identifier(schema)
            execute(database, sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(where))
            name = sql.Identifier(schema, table)
            execute(
                database,
                sql.SQL("CREATE TABLE {} AS SELECT {} AS x").format(name, sql.Literal(schema + table)),
            )
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=(str(database.database),)) as made:
            done = exported(made, take(made), tmp_path / "out")
    long = next(each.file for each in done.tables if each.schema == "." * 63)
    assert long is not None
    assert long.startswith("%")
    content = names(tmp_path / "out")
    assert content.pop((unquote(long.removesuffix(".csv")),)) == f"x\n{'.' * 63}{'/' * 63}\n".encode()
    assert set(content) == set(tables[:-1])
    assert content["public", "../../up"] == b"x\npublic../../up\n"
