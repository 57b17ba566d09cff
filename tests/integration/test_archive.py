"""Our reader of tables of contents against pg_restore's own listing, for every PostgreSQL of this machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from holdfast.postgres.archive import read_toc
from holdfast.postgres.conninfo import Conninfo, base_environment
from holdfast.postgres.entries import Toc, data_tables, defined_tables
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.tools import Toolset, find_servers, find_toolsets
from holdfast.system import proc
from holdfast.system.stop import Stop
from support.postgres import execute, new_database, query, run_tool, running_cluster, toolset

SCHEMA = """
CREATE ROLE "o'wner";
CREATE SCHEMA "sché ma";
CREATE TABLE plain (id int PRIMARY KEY, body text);
INSERT INTO plain SELECT i, repeat('x', i) FROM generate_series(1, 50) i;
CREATE TABLE "sché ma"."odd ""table" (id serial, parent int REFERENCES plain);
CREATE TABLE parted (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE UNLOGGED TABLE quick (id int);
CREATE VIEW seen AS SELECT * FROM plain;
CREATE MATERIALIZED VIEW kept AS SELECT count(*) FROM plain;
CREATE FUNCTION f(a int, b text) RETURNS int LANGUAGE sql AS 'SELECT 1';
COMMENT ON TABLE plain IS 'plain; -- $x$';
ALTER TABLE plain OWNER TO "o'wner";
GRANT SELECT ON plain TO PUBLIC;
CREATE FOREIGN DATA WRAPPER w;
CREATE SERVER s FOREIGN DATA WRAPPER w;
CREATE FOREIGN TABLE far (id int) SERVER s;
SELECT lo_create(0);
"""
RELATIONS = (
    "SELECT oid::int8 FROM pg_class WHERE relkind IN ('r','p','f','v','m') AND oid >= 16384 ORDER BY 1"
)
WITH_ROWS = "SELECT oid::int8 FROM pg_class WHERE relkind = 'r' AND oid >= 16384 ORDER BY 1"


def _listed(clients: Toolset, dump: Path) -> list[tuple[int, int, int, str]]:
    """Give dump id, table oid, oid and the rest of each line of `pg_restore -l`."""
    command = proc.Command(argv=(clients.program("pg_restore"), "-l", str(dump)), env=base_environment())
    lines = proc.output_of(command, Stop()).decode().splitlines()
    found = [re.fullmatch(r"(\d+); (\d+) (\d+) (.*)", line) for line in lines]
    return [(int(m[1]), int(m[2]), int(m[3]), m[4]) for m in found if m]


def _ours(toc: Toc) -> list[tuple[int, int, int, str]]:
    # pg_restore leaves the entries out that it never restores as such
    return [
        (e.dump_id, e.table_oid, e.oid, f"{e.desc} {e.namespace or '-'} {e.tag} {e.owner or ''}")
        for e in toc.entries
        if e.desc not in {"ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE", "DATABASE PROPERTIES"}
        and not (e.tag or "").startswith("DATABASE ")
    ]


@pytest.mark.parametrize("server", find_servers(), ids=lambda server: f"PostgreSQL {server.major}")
def test_the_listing_equals_pg_restores(server: Toolset, tmp_path: Path) -> None:
    with running_cluster(bin_dir=server.bin_dir) as cluster, new_database(cluster) as database:
        execute(database, *filter(str.strip, SCHEMA.split(";\n")))
        for clients in find_toolsets():
            if clients.major < server.major:
                continue
            dump = tmp_path / f"{clients.major}.dump"
            dump.write_bytes(run_tool(clients, "pg_dump", database, "--format=custom", "--compress=0"))
            toc = read_toc([dump.read_bytes()])
            assert _ours(toc) == _listed(clients, dump)
            assert toc.header.compression == "none"
            assert (toc.header.dump_version or "").startswith(clients.text.split()[0])
            assert [(oid,) for oid in sorted(defined_tables(toc.entries))] == query(database, RELATIONS)
            assert [(oid,) for oid in sorted(data_tables(toc.entries))] == query(database, WITH_ROWS)


def test_a_gzip_archive_says_so(cluster: Cluster, database: Conninfo) -> None:
    clients = toolset(cluster)
    data = run_tool(clients, "pg_dump", database, "--format=custom", "--compress=6")
    assert read_toc([data]).header.compression == "gzip"
