"""Tables come back in every PostgreSQL major: TEST_POSTGRES_BINS names the directories of their programs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.postgres import tools
from support import torture
from support.postgres import execute, new_database, running_cluster
from support.restoring import take
from support.tables import bring_back, content, copy_of, rows, unlike
from support.world import world

pytestmark = pytest.mark.extended

_PLACES = [Path(text) for text in os.environ.get("TEST_POSTGRES_BINS", "").split(":") if text]
_SERVERS = {each.major: each.bin_dir for each in reversed(tools.find_servers(_PLACES))}
_LOST = (
    "DROP TABLE app.edges, sales, parent, hen, egg, tree, bookings, big_values, typed, app.secrets, hashed CASCADE",
    "DROP FOREIGN TABLE foreign_rows",
)
_WANTED = (
    *(
        "app.edges",
        "v_edges",
        "sales",
        "mv_base",
        "a_mv_on_mv",
        "parent",
        "child",
        "grandchild",
        "hen",
        "egg",
    ),
    *("tree", "bookings", "big_values", "typed", "app.secrets", "hashed", "foreign_rows"),
)


@pytest.fixture(autouse=True)
def _findable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", ":".join([*map(str, _PLACES), os.environ["PATH"]]))


@pytest.mark.parametrize("major", sorted(_SERVERS))
def test_tables_come_back_in_every_major_and_go_into_every_later_one(major: int, tmp_path: Path) -> None:
    with running_cluster(bin_dir=_SERVERS[major], tcp=False) as source:
        where = torture.load(source.conninfo, "torture")
        original = content(source, where)
        with world(tmp_path, source.conninfo.argv_dsn(), databases=("torture",)) as made:
            taken = take(made)
            with copy_of(source, "torture") as copy:
                execute(copy, *_LOST)
                report = bring_back(made, taken, source, "copy", tables=_WANTED)
                told = [
                    line for line in unlike(original, content(source, copy)) if "edges_id_seq" not in line
                ]
                assert [line for line in told if not line.startswith("@@")] == []
                assert report.skipped == ()
                bring_back(made, taken, source, "copy", tables=("sales", "hen", "egg"), into_schema="was")
                beside = rows(copy)
                assert beside["was.hen"] == beside["public.hen"]
                assert beside["was.sales_2025_rest"] == beside["public.sales_2025_rest"]
            for later in sorted(each for each in _SERVERS if each > major):
                with running_cluster(bin_dir=_SERVERS[later], tcp=False) as into, new_database(into) as empty:
                    execute(into.conninfo, *(f'CREATE ROLE "{role}"' for role in torture.ROLES))
                    wanted = ("sales", "hen", "egg", "tree", "big_values", "typed", "app.secrets")
                    bring_back(made, taken, into, empty.database or "", tables=wanted)
                    there = rows(empty)
                    assert there == {name: original.rows[name] for name in there}
                    assert {"public.hen", "public.typed", "app.sales_old", "app.secrets"} <= there.keys()
