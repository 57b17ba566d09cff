"""The ledger is a memory of what the stores hold: lost or damaged, it comes back, and nothing is lost with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from holdfast.postgres.scratch import Cluster
from holdfast.streams import sign
from support.home import Home, called
from support.postgres import execute, query


@pytest.fixture
def taken(home: Home) -> Home:
    """A home with one backup, verified."""
    home.run("backup", "--quiet")
    home.run("verify", "--quiet")
    return home


def test_without_its_state_directory_the_backups_are_listed_all_the_same(taken: Home) -> None:
    before = taken.facts("list")
    shutil.rmtree(taken.state)
    after = taken.facts("list")
    assert [row["id"] for row in after] == [row["id"] for row in before]
    assert {key: after[0][key] for key in after[0].keys() - {"copies"}} == {
        key: before[0][key] for key in before[0].keys() - {"copies"}
    }
    assert after[0]["copies"][0]["state"] == "complete"
    (told,) = taken.facts("status")
    assert "the ledger was gone" in told["notes"][0]
    taken.run("catalog", "rebuild")
    assert taken.facts("status")[0]["notes"] == []


def test_proofs_survive_a_rebuild_because_they_lie_signed_beside_the_backup(taken: Home) -> None:
    shutil.rmtree(taken.state)
    (row,) = taken.facts("list")
    assert row["proof"] == "verified"
    for proof in taken.store.glob("shop/*/proof-*.json"):
        proof.chmod(0o600)
        proof.write_bytes(proof.read_bytes().replace(b'"opened"', b'"digests"'))
    shutil.rmtree(taken.state)
    done = taken.run("list", "--json")
    assert '"proof": "stored"' in done.stdout
    assert "proof-" in done.stderr


@pytest.mark.fault("ledger.corrupt")
def test_a_damaged_ledger_is_set_aside_and_rebuilt_and_said(taken: Home, second_cluster: Cluster) -> None:
    ledger = taken.state / "ledger.sqlite"
    ids = taken.ids()
    size = ledger.stat().st_size
    ledger.write_bytes(b"\xff" * size)
    done = taken.run("list")
    assert ids[0] in done.stdout
    assert "damaged" in done.stderr
    (aside,) = taken.state.glob("ledger.sqlite.corrupt-*")
    assert aside.name in done.stderr
    assert aside.read_bytes() == b"\xff" * size
    assert "damaged" not in taken.run("list").stderr
    into = ("--to", second_cluster.conninfo.argv_dsn(), "--no-roles")
    name = str(taken.database.database)
    taken.run("restore", "latest", *into)
    restored = second_cluster.conninfo.with_database(name)
    assert query(restored, "SELECT count(*) FROM items") == [(1000,)]
    execute(second_cluster.conninfo, f'DROP DATABASE "{name}" WITH (FORCE)')


def test_a_store_that_cannot_be_read_is_warned_of_and_asked_again(taken: Home) -> None:
    ids = taken.ids()
    shutil.rmtree(taken.state)
    away = taken.store.with_name("away")
    taken.store.rename(away)
    taken.store.write_text("not a directory")
    done = taken.run("list")
    assert "no backups" in done.stdout
    assert str(taken.store) in done.stderr
    taken.store.unlink()
    away.rename(taken.store)
    assert taken.ids() == ids


def test_a_rebuild_forgets_nothing_on_account_of_a_store_that_cannot_be_read(taken: Home) -> None:
    ids = taken.ids()
    away = taken.store.with_name("away")
    taken.store.rename(away)
    taken.store.write_text("not a directory")
    facts = taken.facts("catalog", "rebuild", code=3)
    assert (facts["stores"], facts["forgotten"]) == ([], 0)
    assert taken.ids() == ids


def test_a_rebuild_forgets_what_is_gone(taken: Home) -> None:
    shutil.rmtree(taken.store)
    taken.store.mkdir()
    assert taken.facts("catalog", "rebuild")["forgotten"] == 0  # it may just not be mounted
    assert taken.facts("catalog", "rebuild", "--store", "disk")["forgotten"] == 1
    assert taken.ids() == []


@pytest.mark.fault("damage.gone")
def test_verify_tells_of_a_backup_that_is_gone_until_somebody_says_that_it_may_be(taken: Home) -> None:
    (backup_id,) = taken.ids()
    (taken.store / "shop" / backup_id / "manifest.json").unlink()
    for more in ((), ("--store", "disk")):
        done = taken.run("verify", *more, code=22)
        assert f"{backup_id}/manifest.json is missing" in done.stdout
    (row,) = taken.facts("list")
    assert (row["proof"], row["copies"][0]["state"]) == ("stored", "missing")
    assert backup_id in taken.run("status", code=4).stdout
    assert f"no configured store holds backup {backup_id}" in taken.run("restore", "latest", code=12).stderr
    assert taken.facts("catalog", "rebuild", "--store", "disk")["forgotten"] == 1
    assert taken.run("verify", code=12).stdout == ""


def test_backups_of_an_unknown_signer_are_not_listed(taken: Home, tmp_path: Path) -> None:
    """Whoever can write to the bucket cannot plant a backup, not even one that is well made."""
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    key = sign.generate()
    sign.write_signing_key(stranger / "signing.key", key)
    identity = (taken.folder / "identity.txt").read_text().splitlines()
    (stranger / "identity.txt").write_text("\n".join(line for line in identity if "signer" not in line))
    text = taken.config.read_text().replace('"store"', f'"{taken.store}"')
    (stranger / "holdfast.toml").write_text(text)
    done = called("list", cwd=stranger)
    assert done.returncode == 0
    assert "no backups" in done.stdout
    assert "not trusted" in done.stderr
    assert called("show", "latest", cwd=stranger).returncode == 12
    assert called("restore", "latest", cwd=stranger).returncode == 12
