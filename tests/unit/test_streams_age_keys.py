from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from holdfast.model.errors import KeyFileError
from holdfast.streams import age_keys, bech32, private_file, sign
from holdfast.streams.age_keys import parse_identity, parse_recipient, read_identity_file, write_identity_file

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
# The examples of age-encryption.org/v1.
SECRET = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
PUBLIC = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
HYBRID_SECRET = "AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR"
HYBRID_PUBLIC_START = "age1pq1x34nzsvr0rxjsgdn8zgyhfe8j7ceq5r9rdelkjuh3y235jzxshfg87pzf5zrqtzdxz95paef6"


def test_the_keys_of_the_specification_are_read() -> None:
    identity = parse_identity(SECRET)
    assert identity.recipient == parse_recipient(PUBLIC)
    assert identity.recipient.text == PUBLIC
    assert identity.secret_text() == SECRET
    hybrid = parse_identity(HYBRID_SECRET)
    assert hybrid.recipient.text.startswith(HYBRID_PUBLIC_START)
    assert hybrid.secret_text() == HYBRID_SECRET
    assert parse_recipient(hybrid.recipient.text) == hybrid.recipient


@pytest.mark.parametrize("post_quantum", [False, True])
def test_new_identities_differ_and_round_trip(*, post_quantum: bool) -> None:
    first, second = (age_keys.generate(post_quantum=post_quantum) for _ in range(2))
    assert first != second
    assert parse_identity(first.secret_text()) == first
    assert parse_recipient(first.recipient.text).post_quantum is post_quantum


def test_no_repr_shows_a_secret() -> None:
    identity = parse_identity(SECRET)
    for shown in (repr(identity), str(identity), f"{identity}"):
        assert SECRET[20:30] not in shown
        assert repr(identity.raw)[2:20] not in shown
        assert "raw" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "age1",
        PUBLIC[:-1],
        PUBLIC.upper(),
        PUBLIC + " ",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF",
        "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t",
        bech32.encode("age", bytes(31)),
        bech32.encode("age1pq", bytes(1215)),
        bech32.encode("age1tag", bytes(33)),
    ],
)
def test_what_is_not_a_recipient_is_refused(text: str) -> None:
    with pytest.raises(KeyFileError, match="not a recipient") as caught:
        parse_recipient(text)
    assert caught.value.hint


@pytest.mark.parametrize("text", [SECRET, SECRET.lower(), HYBRID_SECRET, SECRET[:-1]])
def test_a_private_key_given_as_recipient_is_named_but_not_shown(text: str) -> None:
    with pytest.raises(KeyFileError, match="private key was given") as caught:
        parse_recipient(text)
    assert text[16:30] not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        PUBLIC,
        SECRET.lower(),
        SECRET[:-1],
        SECRET[:-1] + "Q",
        SECRET[:20] + SECRET[20:].lower(),
        bech32.encode("age-secret-key-", bytes(31)).upper(),
        bech32.encode("age-secret-key-pq-", bytes(33)).upper(),
        "AGE-PLUGIN-YUBIKEY-1XYZ",
    ],
)
def test_what_is_not_an_identity_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(KeyFileError, match=r"malformed identity|^a recipient") as caught:
        parse_identity(text)
    assert not text or text[18:30] not in str(caught.value) + str(caught.value.__cause__)


def test_an_identity_file_round_trips_with_its_signer(tmp_path: Path) -> None:
    path = tmp_path / "identity.txt"
    identity, signer = parse_identity(SECRET), sign.generate().public
    write_identity_file(path, identity, signer, NOW)
    assert path.read_text() == (
        f"# created: 2026-11-22T02:00:00Z\n# public key: {PUBLIC}\n# holdfast-signer: {signer.text}\n{SECRET}\n"
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = read_identity_file(path)
    assert found.identities == (identity,)
    assert found.signers == (signer,)
    assert "raw=" not in repr(found.identities)


def test_a_file_of_age_keygen_with_more_keys_and_signers_is_read(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    signers = [sign.generate().public for _ in range(2)]
    path.write_text(
        f"# created: 2020-01-01T00:00:00Z\r\n# public key: {PUBLIC}\r\n{SECRET}\r\n\r\n"
        f"#holdfast-signer:{signers[0].text}\n  {HYBRID_SECRET}  \n# holdfast-signer: {signers[1].text}"
    )
    found = read_identity_file(path)
    assert [identity.secret_text() for identity in found.identities] == [SECRET, HYBRID_SECRET]
    assert found.signers == tuple(signers)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"# ok\n{SECRET[:-1]}Q\n", "line 2: malformed identity"),
        (f"{SECRET}\nnonsense-that-is-secret\n", "line 2: malformed identity"),
        ("untrusted comment: minisign secret key\nRWQAAEIy\n", "is a key that signs: it opens no backup"),
        (f"{SECRET}\n# holdfast-signer: RWnonsense\n", "line 2: malformed public key"),
        (f"{SECRET}\n# holdfast-signer:\n", "line 2: malformed public key"),
        (f"{parse_identity(SECRET).recipient.text}\n", r"line 1: a recipient \(a public key\) was given"),
        ("# public key: age1\n", "holds no identity"),
        ("", "holds no identity"),
        ("age-encryption.org/v1\n-> scrypt a 18\n", "encrypted with a passphrase"),
        ("-----BEGIN AGE ENCRYPTED FILE-----\n", "encrypted with a passphrase"),
        ("#" * 2_000_000, "larger than"),
    ],
)
def test_a_malformed_identity_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "identity.txt"
    path.write_text(text)
    with pytest.raises(KeyFileError, match=message) as caught:
        read_identity_file(path)
    assert str(path) in caught.value.message
    assert "secret" not in caught.value.message
    assert SECRET[16:30] not in f"{caught.value.message} {caught.value.hint}"


def test_an_identity_file_that_is_no_text_is_refused_without_showing_it(tmp_path: Path) -> None:
    path = tmp_path / "identity.txt"
    path.write_bytes(SECRET.encode() + b"\xff\n")
    with pytest.raises(KeyFileError, match="not text") as caught:
        read_identity_file(path)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_missing_identity_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "gone", tmp_path):
        with pytest.raises(KeyFileError, match=str(path)):
            read_identity_file(path)


def test_a_key_file_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "identity.txt"
    path.write_text("precious")
    with pytest.raises(KeyFileError, match="exists already"):
        write_identity_file(path, age_keys.generate(), None, NOW)
    assert path.read_text() == "precious"
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError, match="exists already"):
        write_identity_file(link, age_keys.generate(), None, NOW)
    assert not (tmp_path / "elsewhere").exists()


def test_a_key_file_is_private_whatever_the_umask_says(tmp_path: Path) -> None:
    path = tmp_path / "identity.txt"
    before = os.umask(0)
    try:
        write_identity_file(path, age_keys.generate(), None, NOW)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not age_keys.too_open(path)
    assert read_identity_file(path).signers == ()


def test_a_key_file_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(KeyFileError, match="No such file"):
        private_file.write_new(tmp_path / "gone" / "identity.txt", "x")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyFileError, match="No space left"):
        private_file.write_new(tmp_path / "identity.txt", "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o601])
def test_a_key_file_that_others_may_use_is_too_open(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "identity.txt"
    path.touch()
    path.chmod(mode)
    assert age_keys.too_open(path)
    path.chmod(0o400)
    assert not age_keys.too_open(path)
    with pytest.raises(KeyFileError, match="gone"):
        age_keys.too_open(tmp_path / "gone")
