"""What root makes in somebody's directory belongs to that somebody, who runs the daemon."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.ledger import Ledger
from holdfast.stores.local import LocalStore
from holdfast.system.lock import exclusive
from support.model_values import NOW


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    if os.geteuid() == 0:
        os.chown(home, 65534, 65534)
    return home


def _owners(folder: Path) -> set[int]:
    return {path.lstat().st_uid for path in folder.rglob("*")}


def test_a_lock_file_belongs_to_the_owner_of_its_directory(home: Path) -> None:
    with exclusive(home / "shop.lock", what="shop", holder="me"):
        assert _owners(home) == {home.stat().st_uid}


def test_a_ledger_belongs_to_the_owner_of_its_directory(home: Path) -> None:
    with Ledger.open(home / "ledger.sqlite", now=NOW) as ledger:
        ledger.meta_set("a", "b")
        assert _owners(home) == {home.stat().st_uid}


@pytest.mark.parametrize("absent", [True, False])
def test_objects_and_their_folders_belong_to_the_owner_of_the_store(home: Path, absent: bool) -> None:  # noqa: FBT001 - a parameter
    LocalStore("a", home).put("shop/one/object", [b"x"], absent=absent)
    assert _owners(home) == {home.stat().st_uid}
    assert len(list(home.rglob("*"))) == 3


def test_a_lock_file_that_is_a_link_is_not_followed(home: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    (home / "shop.lock").symlink_to(elsewhere)
    with (
        pytest.raises(Exception, match="cannot use the lock file"),
        exclusive(home / "shop.lock", what="", holder="me"),
    ):
        pytest.fail("took another file for the lock")
    assert elsewhere.read_text() == "precious"
