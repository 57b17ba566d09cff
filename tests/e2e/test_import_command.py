"""`holdfast import`, as a user runs it."""

from __future__ import annotations

import json

from holdfast.postgres.scratch import Cluster
from support import scripts
from support.home import Home


def test_a_scripts_dumps_are_taken_over_listed_and_restored(home: Home, cluster: Cluster) -> None:
    name = str(home.database.database)
    dumps = home.folder / "dumps"
    dumps.mkdir()
    sql = scripts.zipped(scripts.dumped(cluster, home.database))
    (dumps / "a_20260131_0230.sql.gz.enc").write_bytes(scripts.encrypted(sql, "-md", "md5"))
    (dumps / "a_20260201_0230.sql.gz.enc").write_bytes(scripts.encrypted(sql[:-40], "-md", "md5"))
    (home.folder / "pass").write_text(f"{scripts.PASSPHRASE}\nmore\n")
    args = ("import", dumps, "--pattern", "a_%Y%m%d_%H%M.*", "--passphrase-file", home.folder / "pass")
    dry = home.facts(*args, "--dry-run", code=3)
    assert [each["state"] for each in dry] == ["would be imported", "broken"]
    done = home.run(*args, "--timezone", "Europe/Berlin", "--label", "old", code=3)
    assert "the compressed data ends early" in done.stdout
    assert "1 file of 2 could not be imported" in done.stderr
    (row,) = home.facts("list")
    assert (row["imported"], row["labels"], row["started_at"]) == (True, ["old"], "2026-01-31T01:30:00Z")
    assert "a_2026" not in json.dumps(row)
    home.run("verify")
    home.run("restore", "latest", "--database", name, "--as", f"{name}_again")
    home.run("restore", "latest", "--database", name, "--as", f"{name}_again", "--table", "items", code=2)
    home.run("export", "latest", "--format", "sql", "--output", home.folder / "out.sql")
    assert "PostgreSQL database dump complete" in (home.folder / "out.sql").read_text()
    assert "there already" in home.run(*args, "--timezone", "Europe/Berlin", code=3).stdout


def test_what_cannot_be_looked_for_is_said(home: Home) -> None:
    for args, code in (
        (("nowhere", "--pattern", "*"), 2),
        ((".", "--pattern", "%Q"), 2),
        ((".", "--pattern", "*.none"), 12),
        ((".", "--pattern", "*", "--passphrase-file", "none"), 23),
        ((".", "--pattern", "*", "--timezone", "Nowhere/Land"), 2),
    ):
        assert home.run("import", *args, code=code).stderr.startswith("holdfast: ")
