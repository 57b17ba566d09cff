"""A change of keys, as its owner goes about it."""

from __future__ import annotations

from holdfast.streams import age_keys
from support.home import Home


def test_an_old_identity_is_needed_until_its_last_backup_is_gone(home: Home) -> None:
    home.run("backup", "-q")
    [backup], identities, new = home.ids(), home.folder / "identity.txt", age_keys.generate()
    old = age_keys.read_identity_file(identities).identities[0]
    home.config.write_text(home.config.read_text().replace(old.recipient.text, new.recipient.text))
    with identities.open("a") as file:
        file.write(f"{new.secret_text()}\n")
    said = home.run("keys", "--prove").stdout
    assert f"opens      1 backup in 1 copy, from {backup} to {backup}; 1 of them nothing else opens" in said
    assert f"never, by today's rules: {backup} is kept for good" in said
    assert f"oldest     {backup} of shop in disk opens" in said
    lines = identities.read_text().splitlines()
    identities.write_text("\n".join(line for line in lines if old.secret_text() not in line))
    assert "no identity here is one of its recipients" in home.run("keys", "--prove", code=23).stderr
    assert "the newest backup does not open" in home.run("status", code=4).stdout
    facts = {each["recipient"]: each for each in home.facts("keys")["recipients"]}
    assert (facts[old.recipient.text]["here"], facts[old.recipient.text]["forever"]) == (False, True)
    assert facts[new.recipient.text]["current"]
