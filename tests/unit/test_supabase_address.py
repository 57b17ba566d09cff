"""Which way to a project is taken, which is refused, and what a connection that failed means there."""

from __future__ import annotations

import psycopg
import pytest

from holdfast.model.errors import ConfigError, Error
from holdfast.model.platform import PoolerAddress
from holdfast.postgres import conninfo
from holdfast.postgres.errors import PermanentSourceError, connection_error
from holdfast.postgres.supabase_address import direct, direct_host, refuse_wrong_way, through_pooler

REF = "abcdefghijklmnopqrst"
POOLER = "aws-1-eu-central-1.pooler.supabase.com"


def pooler(
    *, host: str = POOLER, port: int = 6543, primary: bool = True, session: bool = False
) -> PoolerAddress:
    return PoolerAddress(
        host=host,
        port=port,
        user=f"postgres.{REF}",
        database="postgres",
        mode="session" if session else "transaction",
        primary=primary,
    )


def refused(url: str) -> Error:
    with pytest.raises((PermanentSourceError, ConfigError)) as caught:
        refuse_wrong_way(conninfo.parse(url), REF)
    return caught.value


@pytest.mark.parametrize(
    "host", [POOLER, direct_host(REF)], ids=["the shared pooler", "the dedicated one beside the server"]
)
def test_the_transaction_pooler_is_refused_with_the_address_to_use(host: str) -> None:
    error = refused(f"postgresql://postgres.{REF}:secret@{host}:6543/postgres")
    assert "is the transaction pooler" in error.message
    assert f"{host}:5432/postgres as postgres.{REF}" in (error.hint or "")
    assert "secret" not in error.message + (error.hint or "")


def test_a_user_whom_the_pooler_cannot_know_is_refused() -> None:
    error = refused(f"postgresql://postgres@{POOLER}:5432/postgres")
    assert f"takes the user postgres.{REF}, not postgres" in error.message


def test_the_server_of_another_project_is_refused() -> None:
    error = refused(f"postgresql://postgres@{direct_host('tsrqponmlkjihgfedcba')}:5432/postgres")
    assert f"is the server of another project than {REF}" in error.message


@pytest.mark.parametrize(
    "url", [f"postgresql://postgres.{REF}@{POOLER}:5432/postgres", f"host={direct_host(REF)}"]
)
def test_the_session_pooler_and_the_server_itself_are_good(url: str) -> None:
    refuse_wrong_way(conninfo.parse(url), REF)


def test_the_shared_pooler_is_taken_in_its_session_mode() -> None:
    replica = pooler(host="replica.pooler.supabase.com", primary=False)
    where = through_pooler([replica, pooler()], "secret")
    assert where is not None
    assert (where.params["host"], where.params["port"]) == (POOLER, "5432")
    assert where.params["user"] == f"postgres.{REF}"
    assert where.password == "secret"


def test_one_that_is_in_session_mode_comes_first_and_keeps_its_port() -> None:
    where = through_pooler([pooler(), pooler(host="own", port=7000, session=True)], None)
    assert where is not None
    assert (where.params["host"], where.params["port"]) == ("own", "7000")


def test_a_transaction_pooler_of_another_kind_is_no_way() -> None:
    assert through_pooler([pooler(host=direct_host(REF))], None) is None


def failed(said: str, where: str) -> Error:
    return connection_error(psycopg.OperationalError(said), where)


@pytest.mark.parametrize(
    ("said", "where", "means", "advice", "again"),
    [
        ("FATAL:  Tenant or user not found", "127.0.0.1", "knows no such user or project", "paused", False),
        (
            'FATAL:  password authentication failed for user "postgres"',
            f"{POOLER}:5432",
            "authentication failed",
            "takes minutes to reach the pooler",
            False,
        ),
        (
            "FATAL:  Circuit breaker open: Too many authentication errors",
            POOLER,
            "shut this address out",
            "wait",
            False,
        ),
        (
            "FATAL:  Address not in tenant allow_list: {1, 2}",
            POOLER,
            "network restrictions",
            "Add this machine",
            False,
        ),
        (
            "FATAL:  MaxClientsInSessionMode: max clients reached",
            POOLER,
            "no connection left",
            "pool size",
            True,
        ),
        (
            "connection failed: Network is unreachable",
            f"{direct_host(REF)}:5432",
            "IPv6 only",
            "session pooler",
            True,
        ),
        (
            "connection failed: Connection refused",
            f"{direct_host(REF)}:5432",
            "does not answer",
            "paused",
            True,
        ),
        (
            "connection failed: Network is unreachable",
            f"{POOLER}:5432",
            "cannot be reached",
            "host and port",
            True,
        ),
        (
            "connection failed: Connection refused",
            "db.example:5432",
            "cannot be reached",
            "host and port",
            True,
        ),
    ],
)
def test_what_a_failed_connection_means(said: str, where: str, means: str, advice: str, again: bool) -> None:  # noqa: FBT001 - a case
    error = failed(said, where)
    assert means in error.message
    assert advice in (error.hint or "")
    assert error.retryable is again


def test_the_direct_way_is_the_owners() -> None:
    assert direct(direct_host(REF), None).safe == f"db.{REF}.supabase.co:5432/postgres as postgres"
