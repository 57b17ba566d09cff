"""A second store that was away, and what brings it up to date."""

from __future__ import annotations

from support.home import Home


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
