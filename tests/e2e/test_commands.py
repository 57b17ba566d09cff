"""The commands as a user runs them, one after the other: what they say, what they print as JSON, how they end."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from holdfast.postgres.scratch import Cluster
from support.documents import json_keys
from support.home import Done, Home, called, shape
from support.postgres import execute, query
from support.world import cli

ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


def undocumented(command: str, value: object, *known: str) -> set[str]:
    """Keys that the page does not have; and those of its first level that the value does not have."""
    documented, actual = json_keys(command), shape(value)
    first = {key for key in documented if "." not in key}
    allowed = documented.union(*(json_keys(name) for name in known))
    return (actual - allowed) | (first - actual)


def test_from_nothing_to_a_restored_database(
    cluster: Cluster, second_cluster: Cluster, tmp_path: Path
) -> None:
    """init → keygen → check → backup → list → status → verify → restore: the first ten minutes."""
    made = cli("keygen", "-o", "identity.txt", cwd=tmp_path)
    assert made.returncode == 0
    assert re.fullmatch(r"age1[0-9a-z]{58}\n", made.stdout)
    assert (tmp_path / "identity.txt").stat().st_mode & 0o777 == 0o600
    url = cluster.conninfo.argv_dsn()
    init = cli("init", "--url", url, "--store", "backups", "--recipient", made.stdout.strip(), cwd=tmp_path)
    assert init.returncode == 0
    assert "holdfast check" in init.stdout
    settings = (
        "--set",
        "daemon.state_dir=state",
        "--set",
        "encryption.identity_file=identity.txt",
        "--set",
        "encryption.signing_key_file=holdfast-signing.key",
        "--set",
        'targets.main.databases=["first_steps"]',
    )

    def run(*args: str, how: Callable[..., Done] = called) -> str:
        done = how(*args, *settings, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    execute(cluster.conninfo, "CREATE DATABASE first_steps")
    try:
        execute(cluster.conninfo.with_database("first_steps"), "CREATE TABLE steps AS SELECT 1 AS step")
        checked = run("check")
        assert re.search(r"^ok +store main: .*write, read, list and delete work$", checked, re.MULTILINE)
        assert "fail" not in checked
        taken = run("backup", how=cli)
        assert re.search(r"^main: backup \S+ is complete: 1 database, ", taken, re.MULTILINE)
        assert "covered 1 of 1 tables" in taken
        listed = run("list").splitlines()
        assert listed[0].split() == ["ID", "TARGET", "STARTED", "TOOK", "SIZE", "STORED", "PROOF", "COPIES"]
        assert ID.match(listed[1])
        assert run("status").startswith("SAFE  main\n")
        assert "opened to the last byte" in run("verify")
        into = second_cluster.conninfo.argv_dsn()
        restored = run("restore", "latest", "--to", into, "--no-roles", how=cli)
        assert "database first_steps: 1 table, 1 row, as in the backup" in restored
        assert query(second_cluster.conninfo.with_database("first_steps"), "SELECT step FROM steps") == [(1,)]
    finally:
        for server in (cluster, second_cluster):
            execute(server.conninfo, "DROP DATABASE IF EXISTS first_steps WITH (FORCE)")


def test_init_and_keygen_overwrite_nothing(tmp_path: Path) -> None:
    (tmp_path / "holdfast.toml").write_text("mine")
    (tmp_path / "identity.txt").write_text("mine")
    assert called("init", cwd=tmp_path).returncode == 10
    assert called("keygen", "-o", "identity.txt", cwd=tmp_path).returncode == 2
    assert {path.name for path in tmp_path.iterdir()} == {"holdfast.toml", "identity.txt"}
    assert {path.read_text() for path in tmp_path.iterdir()} == {"mine"}


def test_list_is_newest_first_and_has_the_documented_keys(stocked: Home) -> None:
    rows = stocked.facts("list")
    assert [row["labels"] for row in rows] == [["second"], []]
    assert rows[0]["started_at"] > rows[1]["started_at"]
    assert {"id", "target", "started_at", "proof", "size"} <= rows[0].keys()
    assert rows[0]["target"] == "shop"
    assert rows[0]["size"] > rows[0]["stored_size"] > 0
    assert rows[0]["encrypted"] is True
    assert undocumented("list", rows) == set()
    assert "no target 'other'" in stocked.run("list", "--target", "other", code=12).stderr


def test_show_tells_the_parts_and_the_coverage(stocked: Home) -> None:
    facts = stocked.facts("show", "latest")
    for mark in facts["marks"]:  # what is in it is its kind's own affair
        mark["content"] = None
    assert undocumented("show", facts, "list", "backup") == set()
    assert {part["role"] for part in facts["parts"]} == {"globals", "database", "catalog"}
    assert (facts["coverage"]["tables"], facts["coverage"]["rows"]) == (1, 1000)
    text = stocked.run("show", facts["id"]).stdout
    assert f"backup {facts['id']} of target shop" in text
    assert "covered 1 of 1 tables, 1,000 rows" in text


def test_status_answers_whether_all_is_well(stocked: Home) -> None:
    (facts,) = stocked.facts("status")
    assert undocumented("status", [facts]) - {f"last_good.{key}" for key in json_keys("list")} == set()
    assert (facts["safe"], facts["problems"], facts["backups"]) == (True, [], 2)
    assert facts["last_good"]["id"] == stocked.ids()[0]


def test_status_tells_of_a_failure(home: Home) -> None:
    home.run("backup", "--set", 'targets.shop.databases=["no such database"]', code=20)
    (facts,) = home.facts("status", code=4)
    assert facts["safe"] is False
    assert "no good backup" in facts["problems"]
    assert facts["last_failure"]["error_code"] == "source"
    assert "no such database" in home.run("status", code=4).stdout


def test_check_says_a_line_for_each_thing(stocked: Home) -> None:
    findings = stocked.facts("check")
    assert undocumented("check", findings) == set()
    assert {finding["subject"] for finding in findings} >= {
        "encryption",
        "identity",
        "store disk",
        "target shop",
    }
    assert "fail" not in {finding["level"] for finding in findings}
    quiet = stocked.run("check", "--quiet").stdout
    assert not re.search(r"^ok", quiet, re.MULTILINE)


def test_check_fails_where_the_server_is_not_there(stocked: Home, tmp_path: Path) -> None:
    dead = f"targets.shop.url=postgresql:///x?host={tmp_path}"
    done = stocked.run("check", "--set", dead, code=10)
    assert re.search(r"^fail +target shop: ", done.stdout, re.MULTILINE)
    assert "1 check failed" in done.stderr


def test_backup_prints_what_it_took(home: Home) -> None:
    (taken,) = home.facts("backup", "--label", "before the move")
    assert undocumented("backup", [taken]) == set()
    assert taken["labels"] == ["before the move"]
    assert home.ids() == [taken["id"]]
    assert home.run("backup", "--quiet").stdout == ""
    assert len(home.ids()) == 2


def test_verify_marks_what_it_proved(home: Home) -> None:
    home.run("backup", "--quiet")
    (result,) = home.facts("verify")
    assert undocumented("verify", [result]) == set()
    assert (result["ok"], result["proof"], result["method"]) == (True, "verified", "opened")
    assert home.facts("list")[0]["proof"] == "verified"
    assert home.run("verify", "--all", "--quiet").stdout == ""


def test_two_proofs_within_a_second_are_both_kept(home: Home) -> None:
    home.run("backup", "--quiet")
    for _ in range(2):
        assert home.run("verify").stderr == ""
    assert len(list(home.store.glob("shop/*/proof-*.json"))) == 2


def test_verify_without_an_identity_says_what_it_did_not_do(stocked: Home, tmp_path: Path) -> None:
    writer = tmp_path / "writer.toml"
    text = stocked.config.read_text().replace('identity_file = "identity.txt"\n', "")
    for name in ("state", "store", "signing.key"):
        text = text.replace(f'"{name}"', f'"{stocked.folder / name}"')
    writer.write_text(text)
    done = called("verify", "--config", writer, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not opened, as there is no identity here" in done.stdout
    assert called("restore", "latest", "--config", writer, cwd=tmp_path).returncode == 23


def test_verify_finds_a_flipped_bit(home: Home) -> None:
    home.run("backup", "--quiet")
    (dump,) = home.store.glob("shop/*/db_*.dump.zst.age")
    data = bytearray(dump.read_bytes())
    data[len(data) // 2] ^= 1
    dump.chmod(0o600)
    dump.write_bytes(data)
    (result,) = home.facts("verify", code=22)
    assert (result["ok"], result["error_code"]) == (False, "integrity")
    assert home.facts("list")[0]["copies"][0]["state"] == "damaged"
    assert "LOOK  shop: no good backup" in home.run("status", code=4).stdout
    done = home.run("restore", "latest", "--database", str(home.database.database), "--as", "never", code=22)
    assert dump.name in done.stderr


def test_restore_reports_and_refuses_to_overwrite(stocked: Home, second_cluster: Cluster) -> None:
    database = str(stocked.database.database)
    into = ("--to", second_cluster.conninfo.argv_dsn())
    wish = ("restore", "latest", *into, "--database", database, "--as", "again")
    try:
        report = stocked.facts(*wish)
        assert shape(report) <= json_keys("restore")  # the page also has those of other ways to restore
        assert report["databases"] == [
            {"name": "again", "created": True, "tables": 1, "rows": 1000, "notes": []}
        ]
        done = stocked.run(*wish, code=2)
        assert "is not empty" in done.stderr
        assert "--as NEW_NAME" in done.stderr
        assert "--to URL" in done.stderr
    finally:
        execute(second_cluster.conninfo, "DROP DATABASE IF EXISTS again WITH (FORCE)")


def test_export_writes_an_archive_that_pg_restore_reads(
    stocked: Home, cluster: Cluster, tmp_path: Path
) -> None:
    archive = tmp_path / "items.dump"
    stocked.run("export", "latest", "-o", archive)
    assert archive.stat().st_mode & 0o777 == 0o600
    listed = subprocess.run(
        [cluster.bin_dir / "pg_restore", "--list", archive], capture_output=True, text=True, check=True
    )
    assert "TABLE DATA public items" in listed.stdout
    assert stocked.run("export", "latest", "-o", archive, code=2).stdout == ""
    sql = stocked.spawn("export", "latest", "--format", "sql").stdout
    assert "COPY public.items (id, word) FROM stdin;" in sql


def test_catalog_rebuild_counts_what_it_found(stocked: Home) -> None:
    facts = stocked.facts("catalog", "rebuild")
    assert undocumented("catalog rebuild", facts) == set()
    assert (facts["backups"], facts["forgotten"], facts["stores"], facts["problems"]) == (2, 0, ["disk"], [])
    assert "2 copies of backups in disk" in stocked.run("catalog", "rebuild", "--store", "disk").stdout


def test_a_backup_is_found_by_what_identifies_it(stocked: Home) -> None:
    newest, older = stocked.facts("list")

    def shown(*args: str) -> object:
        return stocked.facts("show", *args)["id"]

    assert shown("latest", "--target", "shop") == newest["id"]
    assert shown(older["id"]) == older["id"]
    assert shown(newest["id"][:-1]) == newest["id"]
    assert shown("latest", "--before", newest["started_at"]) == older["id"]
    ambiguous = stocked.run("show", "2", code=2)
    assert newest["id"] in ambiguous.stderr
    assert older["id"] in ambiguous.stderr
    stocked.run("show", "1999", code=12)
    stocked.run("show", "latest", "--before", "2001-01-01", code=12)
    stocked.run("show", "latest", "--target", "nobody", code=12)
    stocked.run("show", "latest", "--before", "yesterday", code=2)
