"""A change of keys, as its owner goes about it."""

from __future__ import annotations

import re
import time
import urllib.request

import pytest

from holdfast.streams import age_keys
from support.daemon import daemon
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


@pytest.mark.extended
def test_the_daemon_tries_the_identities_by_itself(home: Home) -> None:
    text = home.config.read_text()
    home.config.write_text(text.replace('canary_schedule = ""', 'canary_schedule = "* * * * *"'))
    home.run("backup", "-q")
    with daemon(home.config) as running:
        found = re.search(r"metrics are served\s+host=(\S+) port=(\d+)", running.said())
        assert found

        def told() -> bool:
            with urllib.request.urlopen(f"http://{found[1]}:{found[2]}/metrics", timeout=20) as answer:
                return 'holdfast_canary_last_result{target="shop"} 1' in answer.read().decode()

        deadline = time.monotonic() + 90  # it is tried at the full minute
        while not told():
            assert time.monotonic() < deadline, running.said()
            time.sleep(0.5)
    assert "opens" in home.run("keys").stdout
