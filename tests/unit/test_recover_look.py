"""What a recovery says where it finds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.jobs import recover
from holdfast.model.errors import NotFoundError
from holdfast.stores.local import LocalStore
from support.world import world


@pytest.mark.parametrize(
    ("there", "said"),
    [("nothing", "there is no such directory"), ("a directory", "no backup of a known signer")],
)
def test_a_path_that_leads_nowhere_is_told_from_an_empty_one(
    tmp_path: Path,
    there: str,
    said: str,
) -> None:
    place = tmp_path / "backups"
    if there == "a directory":
        place.mkdir()
    with (
        world(tmp_path, "postgresql:///x", stores={"a": LocalStore("a", place)}) as home,
        pytest.raises(NotFoundError, match=f"{place}: {said}"),
    ):
        recover.look(home.services)
    assert place.exists() == (there == "a directory")
