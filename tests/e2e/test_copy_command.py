"""A second store that was away, and what brings it up to date."""

from __future__ import annotations

from support.home import Home


def test_a_store_that_was_away_catches_up(home: Home) -> None:
    other = home.folder / "other"
    home.config.write_text(home.config.read_text() + f'[stores.other]\nurl = "{other}"\n')
    other.write_text("no directory")
    home.run("backup", "-q", code=3)
    home.run("backup", "-q", code=3)
    said = home.run("copy", code=21).stdout
    assert "other still lacks 2 backups" in said
    other.unlink()
    (facts,) = home.facts("copy")
    assert facts["copied"] == [{"id": backup, "store": "other"} for backup in sorted(home.ids())]
    assert facts["left"] == [{"store": "disk", "count": 0}, {"store": "other", "count": 0}]
    assert {copy["state"] for row in home.facts("list") for copy in row["copies"]} == {"complete"}
    assert home.run("copy").stdout == "shop: every store has every backup\n"
    assert "SAFE" in home.run("status").stdout
