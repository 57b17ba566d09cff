"""The globals of a real server, split and applied one by one to another."""

from __future__ import annotations

import os

import psycopg
import pytest
from psycopg import sql

from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.statements import Global, classify, relocated, split_statements
from support.postgres import execute, run_tool, running_cluster, toolset

SETUP = (
    """CREATE ROLE "We""ird; role" LOGIN PASSWORD 'pa;''ss' VALID UNTIL '2030-01-01' CONNECTION LIMIT 3""",
    "CREATE ROLE grp",
    """GRANT grp TO "We""ird; role" WITH ADMIN OPTION""",
    'ALTER ROLE grp SET search_path TO a, "B;b"',
    r"ALTER ROLE grp SET my.var = 'x;''y\z'",
    "COMMENT ON ROLE grp IS 'it''s -- a; /* $$ \\ x\n\\connect y'",
)


def _globals(cluster: Cluster) -> list[Global]:
    printed = run_tool(toolset(cluster), "pg_dumpall", cluster.conninfo, "--globals-only", "--encoding=UTF8")
    return [classify(statement) for statement in split_statements([printed])]


def _mkdir(cluster: Cluster, name: str) -> str:
    path = cluster.data_dir.parent / name
    path.mkdir()
    owner = cluster.data_dir.stat()
    if owner.st_uid != os.geteuid():
        os.chown(path, owner.st_uid, owner.st_gid)
    return str(path)


def _apply(conninfo: Conninfo, found: list[Global], location: str) -> None:
    with psycopg.connect(conninfo.dsn(), autocommit=True) as connection:
        for item in found:
            if item.kind == "create_role" and item.name == "postgres":
                continue
            moved = relocated(item, location) if item.kind == "create_tablespace" else item.statement
            connection.execute(sql.SQL(moved.text))


@pytest.mark.extended
def test_globals_applied_one_by_one_are_the_same_globals() -> None:
    with running_cluster() as source, running_cluster() as copy:
        execute(source.conninfo, *SETUP)
        execute(
            source.conninfo,
            f"CREATE TABLESPACE \"t s\" OWNER grp LOCATION '{_mkdir(source, 'old place')}'",
            'ALTER TABLESPACE "t s" SET (seq_page_cost=2)',
            """GRANT CREATE ON TABLESPACE "t s" TO "We""ird; role" WITH GRANT OPTION""",
            "COMMENT ON TABLESPACE \"t s\" IS 'x'",
        )
        before = _globals(source)
        assert "other" not in {item.kind for item in before}
        _apply(copy.conninfo, before, _mkdir(copy, "new place"))
        after = _globals(copy)
        # the server's own superuser has a password of its own in each cluster
        mine = [
            item.statement for item in before if item.kind != "create_tablespace" and item.name != "postgres"
        ]
        theirs = [
            item.statement for item in after if item.kind != "create_tablespace" and item.name != "postgres"
        ]
        assert mine == theirs
        (space,) = [item for item in after if item.kind == "create_tablespace"]
        assert (space.name, space.owner) == ("t s", "grp")
        assert (space.location or "").endswith("/new place")
