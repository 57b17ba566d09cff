"""A second store that was away, and what brings it up to date."""

from __future__ import annotations

import pytest

from holdfast.streams import age_keys
from support.home import Home, called
from support.postgres import execute, query


@pytest.mark.fault("store.away")
def test_a_store_that_was_away_catches_up(home: Home) -> None:
    other = home.folder / "other"
    config = home.config.read_text().replace("[targets.shop]", "[targets.shop]\nrequire_copies = 2")
    home.config.write_text(config + f'[stores.other]\nurl = "{other}"\noff_site = true\n')
    other.write_text("no directory")
    home.run("backup", "-q", code=3)
    assert "not good yet" in home.run("backup", code=3).stdout
    assert "no good backup; the newest backup is in 1 of 2 stores" in home.run("status", code=4).stdout
    assert "waiting for copies, 1 of 2" in home.run("list").stdout
    said = home.run("copy", code=21).stdout
    assert "other still lacks 2 backups" in said
    other.unlink()
    (facts,) = home.facts("copy")
    assert facts["copied"] == [{"id": backup, "store": "other"} for backup in sorted(home.ids())]
    assert facts["left"] == [{"store": "disk", "count": 0}, {"store": "other", "count": 0}]
    assert {copy["state"] for row in home.facts("list") for copy in row["copies"]} == {"complete"}
    assert home.run("copy").stdout == "shop: every store has every backup\n"
    said = home.run("status").stdout
    assert "SAFE" in said
    assert (
        "3-2-1      met: 2 copies (disk, other), off-site (other), not locked, encrypted, not proven" in said
    )


def test_a_copy_for_somebody_else_restores_with_their_key_alone(home: Home) -> None:
    partner, other = home.folder / "partner", age_keys.generate()
    text = home.config.read_text().replace("[targets.shop]", '[targets.shop]\nstores = ["disk"]')
    home.config.write_text(text + f'[stores.partner]\nurl = "{partner}"\n')
    home.run("backup", "-q")
    said = home.run("copy", "--to", "partner", "--recipient", other.recipient.text).stdout
    assert "was copied to partner" in said
    (row,) = home.facts("list")
    assert [(copy["store"], copy["state"]) for copy in row["copies"]] == [
        ("disk", "complete"),
        ("partner", "complete"),
    ]
    assert "opened to the last byte" in home.run("verify", "--store", "disk").stdout
    assert "not opened" in home.run("verify", "--store", "partner").stdout
    signer = next(
        line for line in (home.folder / "identity.txt").read_text().splitlines() if "holdfast-signer" in line
    )
    theirs = home.folder / "theirs.txt"
    theirs.write_text(f"{signer}\n{other.secret_text()}\n")
    theirs.chmod(0o600)
    elsewhere = home.folder / "elsewhere.toml"
    elsewhere.write_text(
        'daemon.state_dir = "elsewhere"\nencryption.identity_file = "theirs.txt"\nstores.main.url = "partner"\n'
    )
    source, copy = str(home.database.database), f"{home.database.database}_copy"
    to = ("--to", home.database.argv_dsn(), "--config", elsewhere)
    done = called("restore", "latest", "--database", source, "--as", copy, *to, cwd=home.folder)
    assert done.returncode == 0, done.stderr
    try:
        assert query(home.database.with_database(copy), "SELECT count(*) FROM items") == [(1000,)]
    finally:
        execute(home.database, f'DROP DATABASE "{copy}"')
