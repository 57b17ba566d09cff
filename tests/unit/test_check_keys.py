"""What `check` says of the keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.jobs.checks.keys import check_config, check_keys
from holdfast.jobs.services import Keys
from holdfast.streams import age_keys, sign

OURS, OTHER = age_keys.generate(), age_keys.generate()
SIGNING = sign.generate()


def found(keys: Keys, *, encrypted: bool = True) -> dict[str, tuple[str, str]]:
    return {each.subject: (each.level, each.message) for each in check_keys(keys, encrypted=encrypted)}


def test_encryption_that_is_off_is_a_warning() -> None:
    assert found(Keys(), encrypted=False)["encryption"][0] == "warn"


@pytest.mark.parametrize(
    ("recipients", "identities", "level", "says"),
    [
        ((OURS,), (), "ok", "none here"),
        ((OURS,), (OURS,), "ok", "opens what is encrypted"),
        ((OURS, OTHER), (OURS,), "ok", "1 of the recipients"),
        ((OTHER,), (OURS,), "fail", "opens none"),
    ],
)
def test_the_identity_is_held_against_the_recipients(
    recipients: tuple[age_keys.Identity, ...],
    identities: tuple[age_keys.Identity, ...],
    level: str,
    says: str,
) -> None:
    keys = Keys(recipients=tuple(each.recipient for each in recipients), identities=identities)
    assert found(keys)["identity"][0] == level
    assert says in found(keys)["identity"][1]


def test_a_signer_that_the_identity_file_does_not_name_is_a_warning() -> None:
    stranger = Keys(recipients=(OURS.recipient,), identities=(OURS,), signing=SIGNING)
    named = Keys(recipients=(OURS.recipient,), identities=(OURS,), signing=SIGNING, named=(SIGNING.public,))
    assert found(stranger)["signing key"][0] == "warn"
    assert found(named)["signing key"][0] == "ok"
    assert found(Keys(recipients=(OURS.recipient,)))["signing key"] == (
        "ok",
        "none yet: the first backup makes one",
    )


@pytest.mark.parametrize(("mode", "told"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_key_file_that_others_may_read_is_a_warning(tmp_path: Path, mode: int, told: bool) -> None:  # noqa: FBT001
    path = tmp_path / "identity.txt"
    path.touch(mode)
    path.chmod(mode)
    assert ("key files" in found(Keys(files=(path,)))) is told


@pytest.mark.parametrize(("identities", "level"), [((OURS,), "ok"), ((), "warn")])
def test_a_host_that_takes_no_backups_needs_an_identity_and_no_signing_key(
    identities: tuple[age_keys.Identity, ...], level: str
) -> None:
    said = found(Keys(identities=identities))
    assert {subject: found_level for subject, (found_level, _) in said.items()} == {"identity": level}


@pytest.mark.parametrize(
    ("mode", "secrets", "told"), [(0o644, ["s3cret"], 1), (0o640, ["s3cret"], 0), (0o644, ["other"], 0)]
)
def test_a_config_that_everybody_may_read_should_hold_no_secret(
    tmp_path: Path, mode: int, secrets: list[str], told: int
) -> None:
    file = tmp_path / "holdfast.toml"
    file.write_text("password = 's3cret'")
    file.chmod(mode)
    told_of = list(check_config(file, secrets))
    assert [finding.level for finding in told_of] == ["warn"] * told
    assert "s3cret" not in str(told_of)
    assert list(check_config(None, secrets)) == []
