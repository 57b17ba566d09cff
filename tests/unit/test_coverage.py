"""The coverage of a backup tells of each database what the backup holds of it."""

from __future__ import annotations

import pytest

from holdfast.model.catalog import Catalog, Database, DatabaseCoverage, Properties, Table, coverage

PROPERTIES = Properties(
    owner="o",
    encoding="UTF8",
    collate="C",
    ctype="C",
    provider="c",
    locale=None,
    icu_rules=None,
    collation_version=None,
    tablespace="pg_default",
    connection_limit=-1,
    comment=None,
    grants=None,
    settings=(),
)
COUNTED = Table(oid=1, schema="public", name="a", kind="r", rows=7, rows_estimate=5)
UNCOUNTED = Table(oid=2, schema="public", name="b", kind="m", rows_estimate=40)
NEVER_ANALYZED = Table(oid=3, schema="public", name="c", kind="r", rows_estimate=-1)
PARTITIONED = Table(oid=4, schema="public", name="d", kind="p", rows_estimate=100)
EMPTIED = Table(oid=5, schema="public", name="e", kind="r", rows_estimate=9, data_left_out="asked for")
LEFT_OUT = Table(oid=6, schema="public", name="f", kind="r", rows_estimate=9, left_out="asked for")
OTHERS = (
    Table(oid=7, schema="public", name="v", kind="v"),
    Table(oid=8, schema="public", name="x", kind="r", rows=1, extension="postgis"),
    Table(oid=9, schema="pg_temp", name="t", kind="r", rows=1, persistence="t"),
)


def catalog_of(*tables: Table) -> Catalog:
    database = Database(
        name="app",
        properties=PROPERTIES,
        schemas=("public",),
        tables=tables,
        sequences=(),
        large_objects=0,
        extensions=(),
        collations=(),
    )
    return Catalog(
        version=1,
        server_version="17.4",
        version_num=170004,
        system_identifier=None,
        roles=(),
        tablespaces={},
        role_passwords=True,
        databases=(database,),
    )


@pytest.mark.parametrize(
    ("tables", "held", "rows"),
    [
        pytest.param((), 0, 0, id="none"),
        pytest.param((COUNTED,), 1, 7, id="counted"),
        pytest.param((COUNTED, UNCOUNTED), 2, 47, id="an estimate stands in"),
        pytest.param((COUNTED, NEVER_ANALYZED), 2, 7, id="without an estimate"),
        pytest.param((UNCOUNTED,), 1, None, id="nothing counted"),
        pytest.param((COUNTED, PARTITIONED, EMPTIED), 3, 7, id="tables without rows of their own"),
        pytest.param((EMPTIED,), 1, 0, id="definitions only"),
        pytest.param((COUNTED, LEFT_OUT, *OTHERS), 1, 7, id="what is not in the backup, or not the user's"),
    ],
)
def test_each_database_is_told_of(tables: tuple[Table, ...], held: int, rows: int | None) -> None:
    assert coverage(catalog_of(*tables)).databases == (DatabaseCoverage(name="app", tables=held, rows=rows),)
