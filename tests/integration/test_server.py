from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest

from holdfast.model.errors import BusyError, SourceError
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.errors import connection_error
from holdfast.postgres.pooler import transaction_pooling
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import (
    Blocked,
    backup_lock,
    blocked_sessions,
    connect,
    databases,
    facts,
)
from holdfast.postgres.snapshot import exported_snapshot
from support.postgres import execute, query, run_tool, toolset

_NAME = "holdfast test"


def _refusal(conninfo: Conninfo) -> SourceError:
    with pytest.raises(SourceError) as caught:
        connect(conninfo, application_name=_NAME, timeout=2).close()
    assert caught.value.hint
    assert conninfo.safe in caught.value.message
    return caught.value


def _tcp(cluster: Cluster) -> Conninfo:
    assert cluster.tcp is not None
    return cluster.tcp


def test_a_wrong_password_is_said_and_never_shown(cluster: Cluster) -> None:
    error = _refusal(replace(_tcp(cluster), password="hunter2-wrong"))
    assert "authentication failed" in error.message
    assert "hunter2" not in f"{error} {error.hint} {error.__cause__}"
    assert not error.retryable


def test_an_unknown_database_and_an_unknown_role_are_said(cluster: Cluster) -> None:
    assert "no such database" in _refusal(cluster.conninfo.with_database("no such")).message
    params = {**cluster.conninfo.params, "user": "nobody here"}
    assert "no such role" in _refusal(replace(cluster.conninfo, params=params)).message


def test_a_closed_port_is_unreachable_and_worth_another_try(cluster: Cluster) -> None:
    error = _refusal(replace(_tcp(cluster), params={**_tcp(cluster).params, "port": "1"}))
    assert "cannot be reached" in error.message
    assert error.retryable


def test_a_server_without_tls_is_a_tls_failure(cluster: Cluster) -> None:
    error = _refusal(replace(_tcp(cluster), params={**_tcp(cluster).params, "sslmode": "require"}))
    assert "encrypted connection" in error.message


def test_a_database_that_allows_no_connection_or_not_ours_is_said(
    cluster: Cluster, database: Conninfo
) -> None:
    name = database.database
    execute(cluster.conninfo, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    assert "does not allow connections" in _refusal(database).message
    execute(
        cluster.conninfo,
        f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true',
        f'REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC',
        f'ALTER DATABASE "{name}" CONNECTION LIMIT 0',
    )
    execute(cluster.conninfo, "DROP ROLE IF EXISTS stranger", "CREATE ROLE stranger LOGIN")
    stranger = replace(database, params={**database.params, "user": "stranger"})
    assert "may not connect" in _refusal(stranger).message
    execute(cluster.conninfo, f'GRANT CONNECT ON DATABASE "{name}" TO PUBLIC')
    assert "no connection left" in _refusal(stranger).message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("FATAL:  the database system is starting up", "starting up"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "b", SSL off', "pg_hba.conf lets no such"),
        ("[Errno -2] Name or service not known", "cannot be resolved"),
        ("connection timeout expired", "did not answer in time"),
        ("SSL error: certificate verify failed", "encrypted connection"),
        ('connection to server at "tls.example" failed: Connection refused', "cannot be reached"),
        (
            'server on socket "/run/.s.PGSQL.5432" failed: No such file or directory',
            "no server is there on this",
        ),
        ('FATAL:  could not access file "gone": No such file or directory', "a library that each session"),
        ("FATAL:  conversion between UTF8 and MULE_INTERNAL is not supported", "nothing to do with UTF-8"),
        ("FATAL:  invalid page in block 1 of relation base/17872/2659", "catalogs cannot be read"),
        ("FATAL:  sorry, too many clients already", "no connection left"),
        ("something never seen before", "something never seen before"),
    ],
)
def test_each_reason_of_a_failed_connection_has_its_words_and_a_hint(text: str, says: str) -> None:
    error = connection_error(psycopg.OperationalError(text), "db:5432/app as backup")
    assert says in error.message
    assert error.message.startswith("cannot connect to db:5432/app as backup: ")
    assert error.hint


def test_facts_tell_the_server_and_the_role(cluster: Cluster, database: Conninfo) -> None:
    with connect(database, application_name=_NAME) as conn:
        told = facts(conn)
    assert told.version_num == cluster.version_num
    assert told.version_text.startswith(str(told.version_num // 10000))
    assert str(told.system_identifier).isdigit()
    assert (told.user, told.is_superuser) == ("postgres", True)
    assert (told.encoding, told.in_recovery, told.pooler) == ("UTF8", False, False)
    assert told.data_directory == str(cluster.data_dir)


def test_facts_do_without_what_a_plain_role_may_not_ask(cluster: Cluster, database: Conninfo) -> None:
    execute(cluster.conninfo, "DROP ROLE IF EXISTS plain", "CREATE ROLE plain LOGIN")
    execute(database, "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    plain = replace(database, params={**database.params, "user": "plain"})
    with connect(plain, application_name=_NAME) as conn, conn.transaction():
        told = facts(conn)
        assert conn.execute("SELECT 1").fetchall() == [(1,)]
    assert (told.system_identifier, told.data_directory) == (None, None)
    assert not told.is_superuser


def test_databases_are_listed_with_what_they_allow(cluster: Cluster, database: Conninfo) -> None:
    with connect(cluster.conninfo, application_name=_NAME) as conn:
        listed = {item.name: item for item in databases(conn)}
    assert listed["template0"].is_template
    assert not listed["template0"].allow_connections
    ours = listed[str(database.database)]
    assert (ours.is_template, ours.allow_connections) == (False, True)
    assert (ours.size_bytes or 0) > 1_000_000


def test_a_direct_connection_is_no_transaction_pooler(database: Conninfo) -> None:
    assert not transaction_pooling(database)


def test_the_backup_lock_names_its_holder_to_the_second(database: Conninfo) -> None:
    with backup_lock(database, "shop", "holdfast backup on host-a") as first:
        first.check()
        with pytest.raises(
            BusyError, match=r"shop .* holdfast backup on host-a \(pid \d+, from .* since \d{4}-"
        ):
            backup_lock(database, "shop", "holdfast backup on host-b").__enter__()
        with backup_lock(database, "another", "holdfast backup on host-b") as second:
            assert second.alive()
    with backup_lock(database, "shop", "holdfast backup on host-b") as again:
        assert again.alive()


def test_a_lost_lock_session_is_noticed(database: Conninfo) -> None:
    with backup_lock(database, "shop", "holdfast victim") as lock:
        execute(
            database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holdfast victim'",
        )
        assert not lock.alive()
        with pytest.raises(SourceError, match="lost the session that holds the backup lock"):
            lock.check()


def test_the_lock_session_outlives_the_owners_timeouts(cluster: Cluster, database: Conninfo) -> None:
    execute(cluster.conninfo, f"ALTER DATABASE \"{database.database}\" SET idle_session_timeout = '100ms'")
    with backup_lock(database, "shop", _NAME) as lock:
        time.sleep(0.4)
        assert lock.alive()


def _until(found: Callable[[], tuple[Blocked, ...]], seconds: float = 10) -> tuple[Blocked, ...]:
    end = time.monotonic() + seconds
    while not (answer := found()) and time.monotonic() < end:
        time.sleep(0.05)
    return answer


def test_a_plain_role_finds_who_waits_behind_our_locks_without_the_query(
    cluster: Cluster, database: Conninfo
) -> None:
    execute(cluster.conninfo, "DROP ROLE IF EXISTS plain", "CREATE ROLE plain LOGIN")
    plain = replace(database, params={**database.params, "user": "plain"})
    execute(database, "CREATE TABLE busy (secret text)", "GRANT SELECT ON busy TO plain")
    with (
        connect(plain, application_name="holdfast dump") as ours,
        connect(plain, application_name="watch") as conn,
    ):
        ours.execute("BEGIN")
        ours.execute("LOCK TABLE public.busy IN ACCESS SHARE MODE")
        assert blocked_sessions(conn, "holdfast dump") == ()
        deployment = threading.Thread(target=execute, args=(database, "ALTER TABLE busy ADD hunter2 integer"))
        deployment.start()
        try:
            waiting = _until(lambda: blocked_sessions(conn, "holdfast dump"))
            time.sleep(0.2)
            (later,) = blocked_sessions(conn, "holdfast dump")
            assert blocked_sessions(conn, "somebody else") == ()
        finally:
            ours.execute("ROLLBACK")
            deployment.join()
    assert [(w.user, w.database, w.mode, w.relation) for w in waiting] == [
        ("postgres", database.database, "AccessExclusiveLock", "public.busy")
    ]
    assert waiting[0].waited + 0.1 < later.waited < 60
    assert "hunter2" not in str(waiting)


def test_others_see_what_the_snapshot_sees(cluster: Cluster, database: Conninfo) -> None:
    execute(database, "CREATE TABLE t (i integer)", "INSERT INTO t VALUES (1)")
    with exported_snapshot(database, application_name=_NAME, lock_wait_timeout=5) as snapshot:
        execute(database, "INSERT INTO t VALUES (2)")
        dump = run_tool(
            toolset(cluster), "pg_dump", database, "--data-only", f"--snapshot={snapshot.id}"
        ).decode()
        assert snapshot.connection.execute("SELECT count(*) FROM public.t").fetchall() == [(1,)]
    assert "\n1\n\\." in dump
    assert query(database, "SELECT count(*) FROM t") == [(2,)]


def test_the_snapshots_session_is_pinned_and_has_no_limit_but_for_locks(
    cluster: Cluster, database: Conninfo
) -> None:
    name = database.database
    for setting in (
        "statement_timeout = '20ms'",
        "datestyle = 'German'",
        "search_path = 'x'",
        "extra_float_digits = -15",
    ):
        execute(cluster.conninfo, f'ALTER DATABASE "{name}" SET {setting}')
    with exported_snapshot(database, application_name=_NAME, lock_wait_timeout=1.5) as snapshot:
        rows = snapshot.connection.execute(
            "SELECT name, current_setting(name) FROM unnest(ARRAY['statement_timeout', 'DateStyle', 'search_path',"
            " 'extra_float_digits', 'lock_timeout', 'transaction_read_only', 'transaction_isolation', 'row_security'])"
            " AS name, pg_sleep(0.05)"
        ).fetchall()
    assert dict(rows) == {
        "statement_timeout": "0",
        "DateStyle": "ISO, MDY",
        "search_path": "pg_catalog",
        "extra_float_digits": "1",
        "lock_timeout": "1500ms",
        "transaction_read_only": "on",
        "transaction_isolation": "repeatable read",
        "row_security": "off",
    }


def test_a_table_that_became_a_view_is_not_read_in_the_snapshot(cluster: Cluster, database: Conninfo) -> None:
    known = "SELECT 1 FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'"
    assert query(cluster.conninfo, known), "this minor release of PostgreSQL is older than August 2024"
    execute(database, "CREATE VIEW swapped AS SELECT 1 AS one")
    with (
        exported_snapshot(database, application_name=_NAME, lock_wait_timeout=5) as snapshot,
        pytest.raises(psycopg.Error, match="non-system view"),
    ):
        snapshot.connection.execute("SELECT count(*) FROM ONLY public.swapped")


def test_an_owners_limit_for_idle_transactions_ends_no_session_of_ours(
    cluster: Cluster, database: Conninfo
) -> None:
    execute(
        cluster.conninfo,
        f"ALTER DATABASE \"{database.database}\" SET idle_in_transaction_session_timeout TO '1ms'",
    )
    with connect(database, application_name=_NAME) as conn, conn.transaction():
        time.sleep(0.05)
        assert conn.execute("SELECT 1").fetchall() == [(1,)]


def test_names_mean_postgresqls_own_in_every_session_but_a_shared_one(database: Conninfo) -> None:
    with connect(database, application_name=_NAME) as conn:
        assert conn.execute("SHOW search_path").fetchall() == [("pg_catalog",)]
