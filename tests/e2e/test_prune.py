"""Old backups go by rules, as a user sees it: looked at first, hidden, brought back, pinned, and refused."""

from __future__ import annotations

import json

import pytest

from support.documents import json_keys
from support.home import Home, shape
from support.postgres import execute

RULES = "\n[defaults.retention]\nkeep_last = 1\ndaily = 0\nweekly = 0\nmonthly = 0\nyearly = 0\nminimum = 1\n"


def ruled(home: Home, rules: str = RULES) -> None:
    home.config.write_text(home.config.read_text().split("\n[defaults.retention]")[0] + rules)


def verdicts(home: Home, *args: str, code: int = 0) -> dict[str, str]:
    """Prune; give the verdict of each backup."""
    (result,) = json.loads(home.run("prune", *args, "--json", code=code).stdout)
    assert shape([result]) <= json_keys("prune")
    return {each["id"]: each["verdict"] for each in result["backups"]}


def test_from_the_first_look_to_the_way_back(home: Home) -> None:
    for _ in range(3):
        home.run("backup", "--quiet")
    newest, second, oldest = home.ids()
    ruled(home)
    home.run("pin", oldest, "--why", "the books of 2026")
    assert verdicts(home, "--dry-run") == {newest: "keep", second: "hide", oldest: "keep"}
    assert len(home.ids()) == 3

    text = home.run("prune").stdout
    assert "the newest good one" in text
    assert "pinned: the books of 2026" in text
    assert "hid 1 backup, brought back 0, removed 0" in text
    assert home.ids() == [newest, oldest]
    assert len(home.facts("list", "--all")) == 3
    assert "holdfast undelete" in home.run("show", second).stdout
    refused = home.run("restore", second, "--database", str(home.database.database), "--as", "x", code=12)
    assert "hidden by a tombstone" in refused.stderr
    assert "holdfast undelete" in refused.stderr
    home.run("verify", second, code=12)
    (status,) = home.facts("status")
    assert (status["backups"], status["hidden"], status["safe"]) == (2, 1, True)

    (home.state / "ledger.sqlite").unlink()  # a host that knows nothing yet sees the same
    assert home.ids() == [newest, oldest]
    home.run("undelete", second)
    assert home.ids() == [newest, second, oldest]
    assert "no good backup since" in home.run("prune", code=25).stderr
    assert "retention refuses" in home.run("status", code=4).stdout
    home.run("unpin", oldest)
    home.run("backup", "--quiet")
    assert set(verdicts(home).values()) == {"keep", "hide"}
    assert len(home.ids()) == 1
    assert home.run("status").stdout.startswith("SAFE")


def test_what_would_be_kept_on_a_later_day(home: Home) -> None:
    home.run("backup", "--quiet")
    (found,) = home.facts("prune", "--explain", "2028-02-01")
    kept = {each["started_at"][:10] for each in found["kept"] if each["planned"]}
    assert {"2028-01-31", "2028-01-30", "2027-12-01"} <= kept
    assert [
        each["id"] for each in found["kept"] if not each["planned"]
    ] == home.ids()  # the first of its year
    home.run("prune", "--explain", "2020-01-01", code=2)


@pytest.mark.fault("attack.plant")
def test_a_planted_backup_and_an_emptied_policy_take_nothing_away(home: Home) -> None:
    home.run("backup", "--quiet")
    ruled(home, "\n[defaults.retention]\ndaily = 0\nweekly = 0\nmonthly = 0\nyearly = 0\n")
    assert "no rule keeps anything" in home.run("prune", code=10).stderr
    ruled(home)
    home.run("backup", "--quiet")
    assert home.run("prune", "--target", "other", code=12).stdout == ""
    (home.store / "shop").rename(home.store / "shop-away")
    assert "lists no backup" in home.run("prune", code=21).stderr
    (home.store / "shop-away").rename(home.store / "shop")
    assert list(verdicts(home).values()) == ["hide", "keep"]


@pytest.mark.fault("retention.wrong")
@pytest.mark.extended
def test_a_database_that_lost_its_rows_keeps_its_good_copies(home: Home) -> None:
    execute(home.database, "INSERT INTO items SELECT g, md5(g::text) FROM generate_series(2000, 30000) g")
    for _ in range(6):
        home.run("backup", "--quiet")
    execute(home.database, "DELETE FROM items WHERE id > 10")
    home.run("backup", "--quiet")
    ruled(home)
    before = home.ids()
    said = home.run("prune", code=25).stderr
    assert "rows of database" in said
    assert home.ids() == before
    (unusual,) = home.facts("anomaly", "list")
    assert unusual["id"] == before[0]
    assert "retention refuses" in home.run("status", code=4).stdout
    home.run("anomaly", "ack", before[0], "--why", "the archive moved")
    assert home.facts("anomaly", "list") == []
    home.run("prune")
    assert home.ids() == before[:1]
    home.run("backup", "--quiet")  # few rows are the normal now
    assert home.facts("anomaly", "list") == []
