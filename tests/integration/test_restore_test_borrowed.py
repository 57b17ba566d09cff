"""A restore test on a server of the owner's leaves it as it was, and never takes production for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs import proofs
from holdfast.jobs.restore_test import Result, require_pass, run_one
from holdfast.methods import borrowed_server
from holdfast.model.errors import CouldNotTestError
from holdfast.model.testing import Check, RestoreTesting
from holdfast.postgres import borrowed
from holdfast.postgres.conninfo import Conninfo, keyword_string
from holdfast.postgres.scratch import Cluster
from holdfast.render import prove
from support import torture
from support.postgres import execute, new_database, query
from support.restoring import create, databases, drop, take
from support.world import Recorder, World, world

MARKED = f"IS '{borrowed.MARK}'"


def url_of(where: Conninfo) -> str:
    """What an owner would write: nothing that only the newest libpq knows."""
    return keyword_string({**where.params, **({"password": where.password} if where.password else {})})


def plan_of(where: Conninfo, **keys: object) -> RestoreTesting:
    plan = RestoreTesting(jobs=1, isolation="preferred", scratch_url=url_of(where))
    return replace(plan, **keys)  # type: ignore[arg-type] # its own fields


@pytest.fixture
def shop(cluster: Cluster, tmp_path: Path) -> Iterator[World]:
    """Give a world whose target is a database of a role that the other server does not have."""
    create(
        cluster,
        "lent",
        "CREATE ROLE lender",
        "ALTER DATABASE lent OWNER TO lender",
        "COMMENT ON DATABASE lent IS 'what we sell'",
        "ALTER DATABASE lent SET work_mem = '5MB'",
        "ALTER ROLE lender IN DATABASE lent SET work_mem = '6MB'",
        "CREATE TABLE orders (id int PRIMARY KEY, note text CHECK (note IN ('a', 'b')))",
        "INSERT INTO orders SELECT g, 'a' FROM generate_series(1, 500) g",
        "ALTER TABLE orders OWNER TO lender",
        "GRANT SELECT ON orders TO lender, PUBLIC",
        "ALTER DEFAULT PRIVILEGES FOR ROLE lender GRANT SELECT ON TABLES TO PUBLIC",
        "CREATE SEQUENCE numbers START 4711",
        "SELECT lo_from_bytea(77, '\\x00ff')",
        "ALTER LARGE OBJECT 77 OWNER TO lender",
        "CREATE SUBSCRIPTION far CONNECTION 'host=192.0.2.1' PUBLICATION p WITH (connect = false)",
    )
    try:
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=("lent",)) as made:
            yield made
    finally:
        where = cluster.conninfo.with_database("lent")
        execute(where, "ALTER SUBSCRIPTION far SET (slot_name = NONE)", "DROP SUBSCRIPTION far")
        drop(cluster, "lent")
        execute(cluster.conninfo, "DROP ROLE lender")


def put_to_test(made: World, plan: RestoreTesting) -> Result:
    return run_one(made.services, take(made), plan, made.stop)


def roles(cluster: Cluster) -> set[tuple[object, ...]]:
    return set(query(cluster.conninfo, "SELECT rolname FROM pg_roles"))


def test_a_backup_is_compared_there_and_nothing_stays(shop: World, second_cluster: Cluster) -> None:
    before, before_roles = databases(second_cluster), roles(second_cluster)
    seen: list[set[str]] = []

    class Watcher(Recorder):
        def doing(self, what: str) -> None:
            if what == "contents":  # the first phase of the comparison
                seen.append(databases(second_cluster) - before)

    checks = (
        Check(name="all there", sql="SELECT count(*) FROM orders", equals="500", database="lent"),
        Check(name="its settings", sql="SHOW work_mem", equals="5MB"),
    )
    made = replace(shop, services=replace(shop.services, reporter=Watcher()))
    assert second_cluster.tcp is not None
    done = put_to_test(made, plan_of(second_cluster.tcp, checks=checks))
    assert [each.failure for each in done.detail.databases] == [None]
    require_pass(done)
    tested = done.proof.tested
    assert tested is not None
    assert (tested.outcome, tested.isolation) == ("passed", "not isolated: a configured server")
    assert (tested.rows, tested.checks, tested.large_objects, tested.roles) == (500, 2, 1, 0)
    assert (done.proof.level, tested.owners) == ("verified", False)
    [found] = done.detail.databases
    assert found.name == "lent"
    assert [item.kind for item in found.left_out] == ["subscription", "owners and privileges", "comment"]
    assert done.detail.notes == (borrowed_server.NOTE,)
    row = shop.services.ledger.backup(done.proof.backup_id)
    assert row is not None
    assert row.proof == "verified"
    page = prove.document(proofs.show(shop.services, row))
    assert page.sections[0].title.startswith("IDENTICAL, but not all is proven")
    [[name]] = seen
    assert name.startswith("holdfast_test_")
    assert (databases(second_cluster), roles(second_cluster)) == (before, before_roles)


def test_what_differs_there_is_found(shop: World, second_cluster: Cluster) -> None:
    before = databases(second_cluster)

    class Meddler(Recorder):
        def doing(self, what: str) -> None:
            if what == "contents":
                [name] = databases(second_cluster) - before
                execute(
                    second_cluster.conninfo.with_database(name), "UPDATE orders SET note = 'b' WHERE id = 7"
                )

    made = replace(shop, services=replace(shop.services, reporter=Meddler()))
    done = put_to_test(made, plan_of(second_cluster.conninfo))
    assert done.proof.tested is not None
    assert (done.proof.tested.outcome, done.proof.tested.why) == ("failed", ("differences",))
    assert databases(second_cluster) == before


def test_production_and_what_could_give_no_honest_answer_is_refused(
    shop: World, cluster: Cluster, second_cluster: Cluster
) -> None:
    opened = take(shop)
    before = databases(cluster)
    unknown = replace(opened.backup, server=replace(opened.backup.server, system_identifier=None))
    older = replace(opened.backup, server=replace(opened.backup.server, version_num=90600))
    assert cluster.tcp is not None
    limited = Conninfo(params={**second_cluster.conninfo.params, "user": "lent_nothing"})
    execute(second_cluster.conninfo, "CREATE ROLE lent_nothing LOGIN")
    for plan, tested, said in (
        (plan_of(cluster.tcp), opened, "its system identifier is the same"),
        (
            plan_of(second_cluster.conninfo, source_url=second_cluster.conninfo.argv_dsn()),
            opened,
            "the target's own server",
        ),
        (plan_of(second_cluster.conninfo), replace(opened, backup=unknown), "is not known"),
        (plan_of(second_cluster.conninfo), replace(opened, backup=older), "the backup is of PostgreSQL 9"),
        (plan_of(limited), opened, "lent_nothing is not a superuser"),
        (plan_of(second_cluster.conninfo, isolation="required"), opened, "cannot be shut in"),
    ):
        with pytest.raises(CouldNotTestError, match=said) as caught:
            run_one(shop.services, tested, plan, shop.stop)
        assert caught.value.hint
    execute(second_cluster.conninfo, "DROP ROLE lent_nothing")
    assert databases(cluster) == before


def test_a_server_that_another_backup_came_from_is_refused(shop: World, second_cluster: Cluster) -> None:
    opened = take(shop)
    take(shop, name="other", url=second_cluster.conninfo.argv_dsn(), databases=("postgres",))
    before = databases(second_cluster)
    with pytest.raises(CouldNotTestError, match="is a server that is backed up"):
        run_one(shop.services, opened, plan_of(second_cluster.conninfo), shop.stop)
    assert databases(second_cluster) == before


def test_only_what_killed_tests_left_is_dropped_and_the_slots_of_its_subscriptions_stay(
    shop: World, cluster: Cluster, second_cluster: Cluster
) -> None:
    here = second_cluster.conninfo
    publisher = cluster.conninfo.with_database("lent")
    execute(publisher, "SELECT pg_create_logical_replication_slot('of_production', 'pgoutput')")
    connection = url_of(publisher).replace("'", "''")
    with (
        new_database(second_cluster, "holdfast_test_of_mine") as foreign,
        new_database(second_cluster, "mine") as other,
        new_database(second_cluster, "holdfast_test_0123456789abcdef") as left,
    ):
        execute(here, f'COMMENT ON DATABASE "{left.database}" {MARKED}', f"COMMENT ON DATABASE mine {MARKED}")
        execute(
            left,
            f"CREATE SUBSCRIPTION sub CONNECTION '{connection}' PUBLICATION p"
            " WITH (connect = false, slot_name = 'of_production')",
        )
        try:
            with borrowed_server.borrowed_server(
                url_of(here),
                take(shop).backup,
                source_url=None,
                sources=(),
                warn=(said := list[str]()).append,
            ) as into:
                there = databases(second_cluster)
                assert {foreign.database, other.database} <= there
                assert left.database not in there
                [told, alone] = said
                assert str(left.database) in told
                assert str(foreign.database) in alone
                with (
                    pytest.raises(CouldNotTestError, match="another restore test is using"),
                    borrowed_server.borrowed_server(
                        url_of(here), take(shop).backup, source_url=None, sources=(), warn=said.append
                    ),
                ):
                    pass
                assert into.facts.is_superuser
            slots = query(cluster.conninfo, "SELECT slot_name FROM pg_replication_slots")
            assert ("of_production",) in slots
        finally:
            execute(publisher, "SELECT pg_drop_replication_slot('of_production')")


@pytest.mark.extended
def test_a_role_that_a_policy_names_is_the_servers_lack_and_not_the_backups_fault(
    shop: World, cluster: Cluster, second_cluster: Cluster
) -> None:
    before = databases(second_cluster)
    where = cluster.conninfo.with_database("lent")
    execute(where, "CREATE POLICY own ON orders TO lender USING (true)")
    with pytest.raises(CouldNotTestError, match='role "lender" does not exist') as caught:
        put_to_test(shop, plan_of(second_cluster.conninfo))
    assert "Make the roles" in str(caught.value.hint)
    assert databases(second_cluster) == before


@pytest.mark.extended
def test_the_torture_database_is_identical_there(
    cluster: Cluster, second_cluster: Cluster, tmp_path: Path
) -> None:
    torture.load(cluster.conninfo, "tortured_loan", torture.MORE)
    names = {str(name) for (name,) in roles(cluster) - roles(second_cluster)}
    execute(
        second_cluster.conninfo, *(f'CREATE ROLE "{name.replace(chr(34), chr(34) * 2)}"' for name in names)
    )
    try:
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=("tortured_loan",)) as made:
            done = put_to_test(made, plan_of(second_cluster.conninfo))
        [found] = done.detail.databases
        assert found.failure is None
        assert found.comparison is not None
        assert list(found.comparison.differences) == []
        require_pass(done)
    finally:
        drop(cluster, "tortured_loan")
        execute(
            second_cluster.conninfo, *(f'DROP ROLE "{name.replace(chr(34), chr(34) * 2)}"' for name in names)
        )
