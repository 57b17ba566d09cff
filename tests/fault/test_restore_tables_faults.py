"""What goes wrong while tables are restored leaves the database as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs.reading import Opened
from holdfast.model.errors import IntegrityError, KeyFileError
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.streams import age_keys
from support.oracle import Oracle, asked_of
from support.postgres import execute, new_database, query
from support.restoring import take
from support.tables import bring_back, scratches, state
from support.world import World, cli, environment, world, write_config

MARKER = "plaintext of the customers"
PLAIN = {"a row": MARKER.encode()}
FILL = (
    f"CREATE TABLE told AS SELECT '{MARKER}' AS word",
    "CREATE TABLE customers (id int PRIMARY KEY, name text)",
    "CREATE TABLE orders (id serial PRIMARY KEY, customer int REFERENCES customers, note text)",
    "INSERT INTO customers SELECT g, md5(g::text) FROM generate_series(1, 1000) g",
    "INSERT INTO orders (customer, note) SELECT 1 + g % 1000, repeat(md5(g::text), 8) FROM generate_series(1, 20000) g",
    "CREATE TABLE later AS SELECT g, md5(g::text) AS m FROM generate_series(1, 20000) g",
)

SLOWLY = (
    """CREATE FUNCTION slowly() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN
    IF current_query() LIKE '%ADD CONSTRAINT orders_pkey%' THEN PERFORM pg_sleep(5); END IF; END$$""",
    "CREATE EVENT TRIGGER slowly ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION slowly()",
)


@pytest.fixture
def shop(cluster: Cluster) -> Iterator[Conninfo]:
    """Give a database with a few tables."""
    with new_database(cluster) as database:
        execute(database, *FILL)
        yield database


def lost(database: Conninfo) -> None:
    execute(database, "DROP TABLE orders, later")


def dump_file(folder: Path) -> Path:
    (found,) = (path for path in (folder / "store-a").rglob("*.dump.*") if "minisig" not in path.name)
    return found


def backed_up(made: World) -> Opened:
    return take(made)


def asked(made: World, cluster: Cluster, shop: Conninfo, folder: Path, **more: set[str]) -> Oracle:
    return Oracle(
        services=made.services,
        targets=(made.target,),
        folder=folder,
        cluster=cluster,
        source=shop,
        secrets=PLAIN,
        **more,  # type: ignore[arg-type] # ids
    )


@pytest.mark.fault("damage.bits")
@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
@pytest.mark.parametrize("at", [0.5, -40], ids=["middle", "end"])
@pytest.mark.sampled(1)
def test_a_damaged_backup_commits_nothing(
    cluster: Cluster, shop: Conninfo, tmp_path: Path, *, encrypted: bool, at: float
) -> None:
    name = shop.database or ""
    with world(tmp_path, cluster.conninfo.argv_dsn(), databases=(name,), encrypted=encrypted) as made:
        opened = backed_up(made)
        damaged = {opened.backup.id}
        oracle = asked(made, cluster, shop, tmp_path, given_up=damaged)
        lost(shop)
        before = state(cluster, shop)
        path = dump_file(tmp_path)
        data = bytearray(path.read_bytes())
        data[int(len(data) * at) if at > 0 else int(at)] ^= 1
        path.chmod(0o600)
        path.write_bytes(data)

        with oracle:
            for wish in ({"tables": ("orders", "later")}, {"rename": {"orders": "o", "later": "l"}}):
                with pytest.raises(IntegrityError) as caught:
                    bring_back(made, opened, cluster, name, **wish)
                oracle.told(caught.value)
                assert oracle.visible("restore", "failed") == "integrity"
            assert state(cluster, shop) == before
            assert scratches(cluster) == []
            backed_up(made)


@pytest.mark.extended
def test_a_backup_that_is_not_encrypted_is_restored_like_another(
    cluster: Cluster, shop: Conninfo, tmp_path: Path
) -> None:
    name = shop.database or ""
    with world(tmp_path, cluster.conninfo.argv_dsn(), databases=(name,), encrypted=False) as made:
        opened = backed_up(made)
        before = state(cluster, shop)
        lost(shop)
        report = bring_back(made, opened, cluster, name, tables=("orders", "later"))
        assert state(cluster, shop) == before
    assert {(table.name, table.rows) for table in report.tables} == {
        ("public.orders", 20000),
        ("public.later", 20000),
    }
    part = opened.backup.part("database", name)
    assert part is not None
    assert report.size == 2 * part.size  # read whole before anything of it was executed


@pytest.mark.fault("loss.key")
def test_the_wrong_identity_restores_nothing(cluster: Cluster, shop: Conninfo, tmp_path: Path) -> None:
    name = shop.database or ""
    with world(tmp_path, cluster.conninfo.argv_dsn(), databases=(name,)) as made:
        opened = backed_up(made)
        whole = state(cluster, shop)
        lost(shop)
        before = state(cluster, shop)
        with asked(made, cluster, shop, tmp_path) as oracle:
            for identities in ((), (age_keys.generate(),)):
                services = replace(made.services, keys=replace(made.keys, identities=identities))
                with pytest.raises(KeyFileError) as caught:
                    bring_back(replace(made, services=services), opened, cluster, name, tables=("orders",))
                oracle.told(caught.value)
            assert oracle.visible("restore", "failed") == "key"
            assert state(cluster, shop) == before
            bring_back(made, opened, cluster, name, tables=("orders", "later"))
            assert state(cluster, shop) == whole


def killed(config: Path, name: str, point: str, **wish: object) -> int:
    """Restore in a process that dies at the point; give how it ended."""
    path = os.pathsep.join(filter(None, sys.path))
    words = [sys.executable, "-m", "support.tables_child", str(config), name, point, json.dumps(wish)]
    return subprocess.run(words, env=environment(PYTHONPATH=path), timeout=60, check=False).returncode


def quiet(cluster: Cluster) -> None:
    """Wait until no session of a restore is left."""
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holdfast restore'"
    deadline = time.monotonic() + 20
    while query(cluster.conninfo, sessions) != [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.fault("kill.restore")
@pytest.mark.extended
def test_a_killed_restore_leaves_the_database_as_it_was_and_the_next_one_succeeds(
    cluster: Cluster, shop: Conninfo, tmp_path: Path
) -> None:
    name = shop.database or ""
    config = write_config(tmp_path, cluster.conninfo.argv_dsn(), target=f'databases = ["{name}"]')
    assert cli("backup", "shop", "--config", config).returncode == 0
    with asked_of(config, cluster=cluster, source=shop, secrets=PLAIN) as oracle:
        killed_at_each_step(oracle, cluster, shop, config)
        execute(shop, "DROP TABLE customers_2")


def killed_at_each_step(oracle: Oracle, cluster: Cluster, shop: Conninfo, config: Path) -> None:
    name = shop.database or ""
    whole = state(cluster, shop)
    lost(shop)
    execute(shop, *SLOWLY)  # or the small tables are there before anybody is killed
    before = state(cluster, shop)

    for point in ("doing:table public.orders", "doing:constraint public.orders orders_pkey"):
        assert killed(config, name, point, tables=["orders", "later"]) == -9
        quiet(cluster)
        assert state(cluster, shop) == before
    assert oracle.visible("restore", "lost", later=1) == "lost"
    for point in ("stage:scratch_made", "stage:scratch_filled"):
        assert killed(config, name, point, rename={"customers": "customers_2"}) == -9
        quiet(cluster)
        assert state(cluster, shop) == before
        assert len(scratches(cluster)) == 1  # the one before was swept

    execute(shop, "DROP EVENT TRIGGER slowly", "DROP FUNCTION slowly")
    assert killed(config, name, "stage:never", tables=["orders", "later"]) == 0
    assert state(cluster, shop) == whole
    assert killed(config, name, "stage:never", rename={"customers": "customers_2"}) == 0
    assert query(shop, "SELECT count(*) FROM customers_2") == [(1000,)]
    assert scratches(cluster) == []
