"""What was not signed by us, for the place where it lies, is neither listed nor believed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.jobs.backup import backup
from holdfast.jobs.catalog import rebuild
from holdfast.model import manifest
from holdfast.model.backup import Backup
from holdfast.model.errors import IntegrityError, KeyFileError
from holdfast.postgres.scratch import Cluster
from holdfast.streams import sign
from support.oracle import Good, Oracle
from support.restoring import databases
from support.shelf import (
    CATALOG,
    DATABASE,
    MANIFEST,
    Shelf,
    host,
    restored,
    row,
    state,
    stranger,
    verdict,
)
from support.world import World

NAME = "from a tampered backup"


@pytest.fixture(scope="module")
def good(original: Shelf, tmp_path_factory: pytest.TempPathFactory) -> Good:
    """What is good on the shelf before anybody tampers with it."""
    with host(original, tmp_path_factory.mktemp("good")) as made:
        folder = made.services.state_dir
        return Oracle(services=made.services, targets=(made.target,), folder=folder).before


def asked(made: World, good: Good, folder: Path, *given_up: Backup, cluster: Cluster | None = None) -> Oracle:
    """Give an oracle that remembers what was good, but for the backups that were tampered with.

    It reads the newest backup, or restores it where there is a cluster.
    """
    return Oracle(
        services=made.services,
        targets=(made.target,),
        folder=folder,
        before=good,
        given_up={each.id for each in given_up},
        cluster=cluster,
        source=cluster.conninfo.with_database(DATABASE) if cluster is not None else None,
    )


@pytest.mark.fault("attack.plant")
def test_a_folder_that_was_moved_is_not_listed(ours: Shelf, good: Good, tmp_path: Path) -> None:
    later = ours.first.id.replace("Z-", "Z-ffff")
    shutil.copytree(ours.folder(ours.first), ours.path / "shop" / later)
    shutil.copytree(ours.folder(ours.foreign), ours.path / "shop" / ours.foreign.id)
    with host(ours, tmp_path) as made, asked(made, good, tmp_path) as oracle:
        result = rebuild(made.services)
        oracle.reported(later, f"shop/{ours.foreign.id}")
        assert {known.backup.id for known in made.services.ledger.backups("shop")} == {
            ours.first.id,
            ours.second.id,
        }
        assert len(result.problems) == 2
        assert all("signed as 'holdfast" in problem for _, problem in result.problems)


@pytest.mark.fault("attack.plant")
def test_a_planted_backup_is_never_listed_nor_restored(ours: Shelf, good: Good, tmp_path: Path) -> None:
    with host(ours, tmp_path / "theirs", stranger(ours.keys)) as theirs:
        planted = backup(theirs.services, theirs.target, theirs.stop).backup
        assert state(theirs.services, planted) == "complete"
        known = row(theirs.services, planted)
        with (
            host(ours, tmp_path / "ours") as made,
            asked(made, good, tmp_path, cluster=ours.cluster) as oracle,
        ):
            assert state(made.services, planted) is None
            result = rebuild(made.services)
            assert [
                (planted.id in where, "not trusted" in problem) for where, problem in result.problems
            ] == [(True, True)]
            with pytest.raises(KeyFileError, match="not trusted") as caught:
                restored(made, known, ours, NAME)
            assert NAME not in databases(ours.cluster)
            oracle.told(caught.value)


@pytest.mark.fault("attack.plant")
def test_a_forged_proof_proves_nothing(ours: Shelf, good: Good, tmp_path: Path) -> None:
    with host(ours, tmp_path / "one") as made:
        assert verdict(made, row(made.services, ours.second)) is None
    (real,) = ours.folder(ours.second).glob("proof-*.json")
    text = (
        real.read_bytes()
        .replace(b'"verified"', b'"proven"')
        .replace(ours.second.id.encode(), ours.first.id.encode())
    )
    name = real.name
    forgeries: list[Callable[[], object]] = [
        lambda: ours.file(name).write_bytes(text),
        lambda: ours.sign(name, text, sign.generate()),
        lambda: ours.sign(name, text, ours.signing, as_of=ours.second),
        lambda: ours.sign(name, real.read_bytes(), ours.signing),
        lambda: ours.sign(name, b"{" * 100_000, ours.signing),
    ]
    for number, forge in enumerate(forgeries):
        forge()
        with host(ours, tmp_path / f"forged {number}") as made:
            assert row(made.services, ours.first).proof == "stored", number
            assert state(made.services, ours.first) == "complete"
            assert any(name in where for where, _ in rebuild(made.services).problems), number
    folder = tmp_path / "asked"
    with host(ours, folder) as made, asked(made, good, folder) as oracle:
        oracle.reported(name)
    ours.sign(name, text, ours.signing)
    with host(ours, tmp_path / "signed") as made:
        assert row(made.services, ours.first).proof == "proven"


@pytest.mark.fault("attack.plant")
@pytest.mark.parametrize(
    "name", ["../../escape", "/etc/passwd", "a/b", "..", ".hidden", "", "x" * 300, "a\n", CATALOG]
)
@pytest.mark.sampled(3)
def test_a_signed_manifest_with_hostile_names_is_refused(
    ours: Shelf, good: Good, tmp_path: Path, name: str
) -> None:
    value: dict[str, Any] = json.loads(manifest.dump(ours.first))
    value["parts"][0]["segments"][0]["name"] = name
    _refused(ours, good, tmp_path, value)


@pytest.mark.parametrize("size", [-1, 2**63, 10**400, 1.5, "1", None, True])
@pytest.mark.sampled(2)
def test_a_signed_manifest_with_impossible_sizes_is_refused(
    ours: Shelf, good: Good, tmp_path: Path, size: object
) -> None:
    value: dict[str, Any] = json.loads(manifest.dump(ours.first))
    value["parts"][0]["size"] = size
    _refused(ours, good, tmp_path, value)


def _refused(ours: Shelf, good: Good, folder: Path, value: object) -> None:
    with host(ours, folder) as made, asked(made, good, folder, ours.first) as oracle:
        known = row(made.services, ours.first)
        ours.sign(MANIFEST, json.dumps(value).encode(), ours.signing)
        found = verdict(made, known)
        assert type(found) is IntegrityError
        assert f"{ours.first.id}/{MANIFEST}: not a manifest" in found.message
        oracle.told(found)
        rebuild(made.services)
        assert state(made.services, ours.first) is None
