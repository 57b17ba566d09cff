"""Backups of every make restore to the same content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs.reading import Opened, read_catalog
from holdfast.model.backup import Codec
from holdfast.model.catalog import coverage
from holdfast.model.target import Compression, CompressionKind, Selection
from holdfast.postgres.scratch import Cluster
from holdfast.streams import age_keys
from support.postgres import query
from support.restoring import create, differences, drop, put_back, take
from support.world import World, world

FILL = (
    "CREATE SCHEMA old",
    "CREATE TABLE old.kept AS SELECT generate_series(1, 100) AS x",
    "CREATE TABLE old.gone AS SELECT 1 AS x",
    "CREATE TABLE orders AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 2000) g",
    "CREATE TABLE log AS SELECT generate_series(1, 7) AS x",
    "CREATE TABLE secret AS SELECT 1 AS x",
    "SELECT lo_from_bytea(77, '\\x00ff')",
)


@pytest.fixture(scope="module")
def filled(cluster: Cluster) -> Iterator[str]:
    """Create a database with tables in two schemas; give its name."""
    create(cluster, "kinds", *FILL)
    yield "kinds"
    drop(cluster, "kinds")


@pytest.fixture
def shop(cluster: Cluster, filled: str, tmp_path: Path) -> Iterator[World]:
    """Give a world that backs up that database alone."""
    with world(tmp_path, cluster.conninfo.argv_dsn(), databases=(filled,)) as made:
        yield made


def _recipients(shop: World, *identities: age_keys.Identity, use: int) -> World:
    """Let a world encrypt to these identities, and open with one of them."""
    keys = replace(
        shop.keys,
        recipients=tuple(identity.recipient for identity in identities),
        identities=(identities[use],) if identities else (),
    )
    return replace(shop, services=replace(shop.services, keys=keys))


@pytest.mark.parametrize(
    ("kind", "codec", "name"),
    [
        ("zstd", "zstd", "kinds.dump.zst.age"),
        ("none", "none", "kinds.dump.age"),
        ("pg_dump", "none", "kinds.dump.age"),
    ],
)
@pytest.mark.sampled(1)
def test_every_compression_restores(
    cluster: Cluster, shop: World, filled: str, kind: CompressionKind, codec: Codec, name: str
) -> None:
    opened = take(shop, compression=Compression(kind=kind))
    part = opened.backup.part("database", filled)
    assert part is not None
    assert (part.codec, part.name) == (codec, name)
    assert (part.stored_size < part.size / 1.5) == (kind == "zstd")
    _restores(cluster, shop, filled, opened)


def test_a_backup_without_encryption_restores_without_an_identity(
    cluster: Cluster, shop: World, filled: str
) -> None:
    plain = _recipients(shop, use=0)
    opened = take(plain)
    assert {segment.name for part in opened.backup.parts for segment in part.segments} == {
        "globals.sql.zst",
        "kinds.dump.zst",
        "catalog.json.zst",
    }
    _restores(cluster, plain, filled, opened)


@pytest.mark.fault("loss.key")
def test_any_of_several_recipients_can_restore(cluster: Cluster, shop: World, filled: str) -> None:
    several = _recipients(shop, *(age_keys.generate() for _ in range(3)), use=2)
    opened = take(several)
    assert all(len(part.recipients) == 3 for part in opened.backup.parts)
    _restores(cluster, several, filled, opened)


def test_a_backup_to_post_quantum_recipients_restores(cluster: Cluster, shop: World, filled: str) -> None:
    quantum = _recipients(shop, *(age_keys.generate(post_quantum=True) for _ in range(2)), use=1)
    opened = take(quantum)
    assert all(text.startswith("age1pq1") for part in opened.backup.parts for text in part.recipients)
    _restores(cluster, quantum, filled, opened)


def test_what_patterns_leave_out_is_not_restored_and_told_in_the_coverage(
    cluster: Cluster, shop: World, filled: str
) -> None:
    selection = Selection(
        exclude_schemas=("ol*",), exclude_tables=("public.secret",), exclude_table_data=("public.log",)
    )
    opened = take(shop, selection=selection)
    told = coverage(read_catalog(opened, shop.keys))
    assert (told.tables, told.tables_covered) == (5, 2)
    reasons = {(item.kind, item.name): item.reason for item in told.left_out}
    assert "ol*" in reasons["table", "kinds: old.kept"]
    assert "ol*" in reasons["table", "kinds: old.gone"]
    assert "public.secret" in reasons["table", "kinds: public.secret"]
    assert "public.log" in reasons["rows", "kinds: public.log"]
    try:
        put_back(shop, opened, cluster, database=filled, rename="partly")
        where = cluster.conninfo.with_database("partly")
        assert query(where, "SELECT count(*) FROM orders") == [(2000,)]
        assert query(where, "SELECT count(*) FROM log") == [(0,)]
        found = "SELECT c.oid::regclass::text FROM pg_class c WHERE relkind = 'r' AND oid > 16384 AND relnamespace = 'public'::regnamespace ORDER BY 1"
        assert query(where, found) == [("log",), ("orders",)]
        assert query(where, "SELECT FROM pg_namespace WHERE nspname = 'old'") == []
    finally:
        drop(cluster, "partly")


def _restores(cluster: Cluster, shop: World, filled: str, opened: Opened) -> None:
    try:
        put_back(shop, opened, cluster, database=filled, rename="copy")
        assert differences((cluster, filled), (cluster, "copy")) == []
    finally:
        drop(cluster, "copy")
    assert shop.services.ledger.runs()[0].status == "succeeded"
