"""Makes a golden backup: one of each format version is kept for ever, and every test run restores it.

Run it once for a new format version, never again for an old one: an old backup that no longer restores is a bug of
the program. `PYTHONPATH=tests python tests/golden/make.py` writes tests/golden/v<FORMAT_VERSION>/ (with a word as its
argument, v<FORMAT_VERSION>-<word>/, for what is new within a version; `frames` has frames with a note and a seek table;
`tar` and `plain` are imported from dumps of those formats, with the globals; `settings` has those of a project):

- `store/`: the store, with one backup of the target `golden`
- `identity.txt`: the identity that opens it, with its signer. A test's secret, made for this and used for nothing else
- `expected.json`: queries, and the rows that they gave in the server that was backed up
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

from holdfast.jobs.backup import backup
from holdfast.jobs.importing import import_dumps
from holdfast.jobs.services import Services
from holdfast.jobs.supabase import platform_settings
from holdfast.methods.base import Source
from holdfast.model.backup import FORMAT_VERSION, Backup
from holdfast.model.supabase import Project
from holdfast.model.target import Target
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.streams import age_keys
from holdfast.system.stop import Stop
from support import scripts
from support.frames import small_frames
from support.postgres import execute, query, running_cluster
from support.supabase_api_server import supabase_api
from support.world import World, world

HERE = Path(__file__).parent
ROLES = (
    "CREATE ROLE golden_owner NOLOGIN",
    "CREATE ROLE golden_reader LOGIN PASSWORD 'golden' CONNECTION LIMIT 7",
    "GRANT golden_owner TO golden_reader",
)
DATABASE = (
    "CREATE DATABASE golden TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' OWNER golden_owner",
    "ALTER DATABASE golden SET work_mem TO '5MB'",
    "COMMENT ON DATABASE golden IS 'a golden database'",
)
QUERIES = (
    "SELECT id, name, price::text, tags, about::text, encode(picture, 'hex') FROM products ORDER BY id",
    "SELECT id, (placed_at AT TIME ZONE 'UTC')::text, state::text, product, weight::text FROM orders ORDER BY id",
    "SELECT tableoid::regclass::text, count(*) FROM orders GROUP BY 1 ORDER BY 1",
    "SELECT last_value, is_called FROM invoices",
    "SELECT revenue('paid')::text, (SELECT count(*) FROM paid)",
    "SELECT state::text, orders FROM by_state ORDER BY state",
    "SELECT oid::text, encode(sha256(lo_get(oid)), 'hex') FROM pg_largeobject_metadata ORDER BY 1",
    "SELECT obj_description(oid), pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'products'",
    "SELECT has_table_privilege('golden_reader', name, 'SELECT') FROM (VALUES ('paid'), ('orders')) AS v (name)",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "SELECT pg_get_userbyid(datdba), shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'golden'",
    "SELECT current_setting('work_mem')",
    "SELECT rolname, rolcanlogin, rolconnlimit FROM pg_roles WHERE rolname LIKE 'golden%' ORDER BY 1",
)


def answers(database: Conninfo) -> dict[str, list[list[object]]]:
    """Give the rows of all queries, as JSON has them."""
    rows = {text: [list(row) for row in query(database, text)] for text in QUERIES}
    given: dict[str, list[list[object]]] = json.loads(json.dumps(rows))
    return given


IMPORTED = {"tar": "-Ft", "plain": "--create"}


def take(host: World, cluster: Cluster, scratch: Path, kind: str) -> Backup:
    """Take the backup, or import dumps of a kind."""
    services = replace(host.services, host="golden")
    if kind == "settings":
        with supabase_api() as platform:
            project = Project(
                ref=platform.ref, access_token=platform.token, api_url=platform.url, config_snapshot=True
            )
            asked = replace(host.target, supabase=project)

            def settings(services: Services, _: Target, stop: Stop) -> Iterator[Source]:
                return given(services, asked, stop)

            given = platform_settings.sources
            with mock.patch.object(platform_settings, "sources", settings):
                return backup(services, host.target, host.stop).backup
    if kind not in IMPORTED:
        return backup(services, host.target, host.stop).backup
    dumps = scratch / "dumps"
    dumps.mkdir()
    dumped = scripts.dumped(cluster, cluster.conninfo.with_database("golden"), IMPORTED[kind])
    (dumps / "golden_20260131.dump").write_bytes(dumped)
    (dumps / "globals_20260131.dump").write_bytes(scripts.globals_of(cluster))
    import_dumps(services, host.target, scripts.wish(dumps, "*_%Y%m%d.dump"), host.stop)
    return host.services.ledger.backups()[0].backup


def make(folder: Path, kind: str) -> None:
    """Fill a server, back it up into the new folder, and write down what is to come back."""
    folder.mkdir()
    with running_cluster() as cluster, tempfile.TemporaryDirectory() as scratch:
        execute(cluster.conninfo, *ROLES, *DATABASE)
        database = cluster.conninfo.with_database("golden")
        execute(database, (HERE / "shop.sql").read_text())
        with world(Path(scratch), cluster.conninfo.argv_dsn(), name="golden", databases=("golden",)) as host:
            taken = take(host, cluster, Path(scratch), kind)
            (Path(scratch) / "store-a").rename(folder / "store")
            signer, now = host.keys.signer().public, taken.started_at
            age_keys.write_identity_file(folder / "identity.txt", host.identity, signer, now)
        text = json.dumps(answers(database), indent=1, ensure_ascii=False)
    (folder / "expected.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    destination = HERE / "-".join((f"v{FORMAT_VERSION}", *sys.argv[1:]))
    if destination.exists():
        sys.exit(f"{destination} exists: a golden backup is made once")
    with small_frames(1024):
        make(destination, "".join(sys.argv[1:]))
