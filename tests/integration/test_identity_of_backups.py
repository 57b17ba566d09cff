"""A backup that was restored by the usual way is held against its own parts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from holdfast.jobs.reading import Opened, plain_chunks, read_catalog, read_plain
from holdfast.methods.identity import Subject, compare_database, compare_globals
from holdfast.model.comparison import Comparison, GlobalsCompared
from holdfast.postgres.scratch import Cluster
from support.postgres import execute, running_cluster, toolset
from support.restoring import create, put_back, take
from support.world import World, world

# Each would keep a session that did not see to it from comparing, or have it see other texts.
_SETTINGS = (
    "default_transaction_read_only TO on",
    "statement_timeout TO '1ms'",
    "search_path TO ''",
    "row_security TO off",
    "client_encoding TO 'SQL_ASCII'",
    "datestyle TO 'SQL, DMY'",
    "intervalstyle TO 'iso_8601'",
    "timezone TO 'Asia/Tokyo'",
    "bytea_output TO 'escape'",
    "default_transaction_isolation TO 'serializable'",
    "standard_conforming_strings TO off",
    "array_nulls TO off",
    "my.secret TO 'hush'",
)
_CONTENT = (
    "CREATE TABLE times (at timestamptz, span interval, raw bytea, t text, words text[] DEFAULT '{NULL,a}')",
    r"INSERT INTO times SELECT timestamptz '2024-03-31 00:00+00' + i * interval '13 hours', i * interval '25 hours', decode('00ff5c', 'hex'), E'\\\n' FROM generate_series(1, 500) i",
    "CREATE TABLE listed (v varchar(3) CHECK (v IN ('a', 'b')), w text DEFAULT ('x'::varchar)::text)",
    "CREATE VIEW in_list AS SELECT v FROM listed WHERE v IN ('a', 'b', 'c')",
    # The hash of an enum's value is another after each restore: rows change their partitions.
    "CREATE TYPE mood AS ENUM ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p')",
    "CREATE TABLE moods (m mood, t text DEFAULT 'x', n integer DEFAULT 7) PARTITION BY HASH (m)",
    "CREATE TABLE moods_0 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
    "CREATE TABLE moods_1 (n integer, m mood, t text)",  # and with them the order of the columns
    "ALTER TABLE moods ATTACH PARTITION moods_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    "INSERT INTO moods SELECT m FROM unnest(enum_range(NULL::mood)) WITH ORDINALITY x(m, i), generate_series(1, i)",
    r"SELECT lo_from_bytea(77, '\x5c0027')",
    "COMMENT ON LARGE OBJECT 77 IS E'it''s \\\\ a\nline'",
    "CREATE MATERIALIZED VIEW old AS SELECT count(*) FROM times",
    "INSERT INTO times (t) VALUES ('later')",
    "CREATE MATERIALIZED VIEW older AS SELECT * FROM listed",
    "INSERT INTO listed VALUES ('a')",
)
_ROLES = (
    "CREATE ROLE \"o'dd\" LOGIN PASSWORD 'pass''word' VALID UNTIL '2038-01-01 00:00:00+05' CONNECTION LIMIT 3",
    "CREATE ROLE grp NOINHERIT BYPASSRLS CREATEDB",
    "CREATE ROLE app",
    'GRANT grp TO "o\'dd" WITH ADMIN OPTION',
    "GRANT app TO grp",
    "ALTER ROLE grp SET search_path TO a, \"B c\", 'd'",
    "ALTER ROLE app SET my.secret TO 'hush'",
    "COMMENT ON ROLE app IS 'an application'",
)


@pytest.fixture(scope="module")
def source() -> Iterator[Cluster]:
    with running_cluster(tcp=False, settings={"timezone": "America/New_York"}) as cluster:
        execute(cluster.conninfo, *_ROLES)
        create(cluster, "odd", *_CONTENT, options="TEMPLATE template0 ENCODING 'UTF8' OWNER app")
        for setting in _SETTINGS:
            execute(cluster.conninfo, f"ALTER DATABASE odd SET {setting}")
        yield cluster


def _compared(w: World, opened: Opened, into: Cluster, name: str) -> Comparison:
    part = next(part for part in opened.backup.parts if part.database == "odd")
    found = read_catalog(opened, w.keys).database("odd")
    assert found is not None
    subject = Subject(
        archive=partial(plain_chunks, opened.place, part, w.keys),
        found=found,
        where=into.conninfo.with_database(name),
        clients=toolset(into),
    )
    return compare_database(subject, stop=w.stop)


def _globals(w: World, opened: Opened, into: Cluster) -> GlobalsCompared:
    part = opened.backup.part("globals")
    assert part is not None
    return compare_globals(
        read_plain(opened.place, part, w.keys),
        into.conninfo,
        toolset(into),
        own={"postgres"},
        tablespaces=False,
        stop=w.stop,
    )


@pytest.mark.extended
def test_a_restored_backup_is_the_same_whatever_its_settings_are(source: Cluster, tmp_path: Path) -> None:
    with (
        world(tmp_path, source.conninfo.argv_dsn(), databases=("odd",)) as w,
        running_cluster(tcp=False, settings={"timezone": "Europe/Berlin"}) as into,
    ):
        opened = take(w)
        put_back(w, opened, into)
        done, roles = _compared(w, opened, into, "odd"), _globals(w, opened, into)
        execute(into.conninfo, *_TAMPERING)
        tampered = _globals(w, opened, into)
    assert done.differences == ()
    assert {(each.kind, each.name) for each in done.respelled} == {
        ("table", "public.listed"),
        ("view", "public.in_list"),
    }
    assert [note.split(":")[0] for note in done.notes] == ["materialised view public.older was filled anew"]
    assert (done.rows, done.large_objects) == (638, 1)
    assert {table.source_rows for table in done.tables} == {501, 1, 136}
    assert roles.differences == ()
    assert (roles.roles, roles.memberships, roles.settings) == (3, 2, 2)
    assert [(each.kind, each.name) for each in roles.left_out] == [("role", "postgres")]
    assert {(each.kind, each.name, each.how) for each in tampered.differences} == _TAMPERED
    assert "hush" not in repr((done, roles, tampered))
    assert "whisper" not in repr(tampered)
    assert "SCRAM" not in repr((roles, tampered))


_TAMPERING = (
    "ALTER ROLE \"o'dd\" PASSWORD 'another'",
    "ALTER ROLE grp NOBYPASSRLS",
    "REVOKE app FROM grp",
    "ALTER ROLE app SET my.secret TO 'whisper'",
    "ALTER ROLE grp RESET search_path",
    "COMMENT ON ROLE app IS NULL",
    "CREATE ROLE more",
)
_TAMPERED = {
    ("role password", "o'dd", "different"),
    ("role", "grp", "different"),
    ("membership", "grp in app", "missing"),
    ("role setting", "my.secret of app", "different"),
    ("role setting", "search_path of grp", "missing"),
    ("role comment", "app", "missing"),
    ("role", "more", "unexpected"),
}
