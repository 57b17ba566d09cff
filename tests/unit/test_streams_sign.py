from __future__ import annotations

import base64
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.model.errors import IntegrityError, KeyFileError
from holdfast.streams import sign
from holdfast.streams.sign import (
    PublicKey,
    SigningKey,
    parse_public_key,
    parse_signing_key,
    read_signing_key,
    verify,
    write_signing_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = SigningKey(key_id=bytes(range(8)), seed=bytes(range(32)))
DATA = b'{"id": "20261122T020000Z-7f3a"}\n'
SIGNATURE = sign.sign(DATA, KEY, trusted_comment="manifest of app")

# A key pair, a signature and a password-protected key that minisign 0.11 made; the keys guard nothing.
MINISIGN_PUBLIC = """untrusted comment: minisign public key F666B668D9AC7D41
RWRBfazZaLZm9g+izAJ+KSigAYkBIMYbcUpuHxxYV01S2SbjjCWn1iYY
"""
MINISIGN_SIGNATURE = b"""untrusted comment: signature from minisign secret key
RURBfazZaLZm9qGcouas6fMemmeaY2VISh/ib1WwaHCLhJXSGNcXmu48QF0QFhsASfHI/qY+29Ut+TpLUlg+EmZZvrXSXumSPQM=
trusted comment: trust me
kr3eSGiUjXim+wy1+AI1LXa6Uzzp0GBiIj2jvYrmdjMYL5E7cYJC0/Ma+pEjFJC6WCi4ax+zIIDOV8pUoArnCQ==
"""


def test_a_signature_of_minisign_holds() -> None:
    public = parse_public_key(MINISIGN_PUBLIC)
    assert public.id == "F666B668D9AC7D41"
    assert public.to_text() == MINISIGN_PUBLIC
    assert verify(b"hi\n", MINISIGN_SIGNATURE, [public]).trusted_comment == "trust me"


@given(st.binary(max_size=200), st.text(st.characters(codec="ascii", categories=["L", "N", "P"])))
def test_what_is_signed_verifies_and_names_its_signer(data: bytes, comment: str) -> None:
    other = sign.generate().public
    found = verify(data, sign.sign(data, KEY, trusted_comment=comment), [other, KEY.public])
    assert (found.signer, found.trusted_comment) == (KEY.public, comment)


def test_altered_data_is_refused() -> None:
    for altered in (DATA + b" ", DATA[:-1], b"", DATA.replace(b"app", b"apq") + b"\0"):
        with pytest.raises(IntegrityError, match="does not hold"):
            verify(altered, SIGNATURE, [KEY.public])


def test_every_altered_byte_below_the_first_line_is_refused() -> None:
    start = SIGNATURE.index(b"\n") + 1
    for place in range(start, len(SIGNATURE)):
        altered = SIGNATURE[:place] + bytes([SIGNATURE[place] ^ 1]) + SIGNATURE[place + 1 :]
        # An altered key id looks like another signer.
        with pytest.raises((IntegrityError, KeyFileError)):
            verify(DATA, altered, [KEY.public])


def test_every_truncation_is_refused() -> None:
    for end in range(len(SIGNATURE) - 1):
        with pytest.raises(IntegrityError):
            verify(DATA, SIGNATURE[:end], [KEY.public])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + b"more\n",
        lambda text: b"\n" + text,
        lambda text: text.replace(b"untrusted comment: ", b"comment: "),
        lambda text: text.replace(b"\ntrusted comment: ", b"\n"),
        lambda text: text.replace(b"manifest", b"\xff"),
        lambda text: text + b"\n" * 100_000,
    ],
)
def test_what_is_not_a_signature_file_is_refused(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(IntegrityError, match="not a minisign signature"):
        verify(DATA, change(SIGNATURE), [KEY.public])


def test_an_altered_comment_is_refused() -> None:
    altered = SIGNATURE.replace(b"manifest of app", b"manifest of apq")
    with pytest.raises(IntegrityError, match="comment"):
        verify(DATA, altered, [KEY.public])


def test_a_legacy_signature_is_refused() -> None:
    lines = SIGNATURE.splitlines()
    lines[1] = base64.b64encode(b"Ed" + base64.b64decode(lines[1])[2:])
    with pytest.raises(IntegrityError, match="legacy"):
        verify(DATA, b"\n".join(lines) + b"\n", [KEY.public])


def test_an_unknown_signer_is_named_with_what_to_do() -> None:
    for trusted in ([], [sign.generate().public]):
        with pytest.raises(KeyFileError, match=KEY.public.id) as caught:
            verify(DATA, SIGNATURE, trusted)
        assert caught.value.hint is not None
        assert "holdfast-signer" in caught.value.hint


def test_a_key_that_only_shares_the_id_does_not_verify() -> None:
    twin = SigningKey(key_id=KEY.key_id, seed=bytes(32)).public
    with pytest.raises(IntegrityError):
        verify(DATA, SIGNATURE, [twin])
    assert verify(DATA, SIGNATURE, [twin, KEY.public]).signer == KEY.public


def test_a_comment_that_is_not_one_line_is_refused() -> None:
    for comment in ("two\nlines", "a\rb", "a\0b"):
        with pytest.raises(ValueError, match="one line"):
            sign.sign(DATA, KEY, trusted_comment=comment)


def test_keys_round_trip_in_their_text_forms() -> None:
    key = sign.generate()
    assert key != sign.generate()
    assert parse_signing_key(key.to_text()) == key
    assert parse_public_key(key.public.text) == parse_public_key(key.public.to_text()) == key.public
    assert key.public.text.startswith("RW")


def test_no_repr_shows_a_seed() -> None:
    assert "seed" not in repr(KEY)
    assert repr(KEY.seed)[2:-1] not in repr(KEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "RWQ",
        KEY.public.text[:-4],
        KEY.public.text + "AAAA",
        KEY.public.text + "\n" + KEY.public.text,
        "RX" + KEY.public.text[2:],
        KEY.to_text(),
        "é" * 56,
    ],
)
def test_what_is_not_a_public_key_is_refused(text: str) -> None:
    with pytest.raises(KeyFileError, match="malformed public key"):
        parse_public_key(text)


def altered_key(place: int, data: bytes) -> str:
    comment, blob = KEY.to_text().splitlines()
    raw = base64.b64decode(blob)
    return f"{comment}\n{base64.b64encode(raw[:place] + data + raw[place + len(data) :]).decode()}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "malformed signing key"),
        (KEY.to_text().splitlines()[1], "malformed signing key"),
        (KEY.to_text()[:-9], "malformed signing key"),
        (altered_key(0, b"XX"), "malformed signing key"),
        (altered_key(2, b"Sc"), "password"),
        (altered_key(70, b"\x55"), "damaged"),
        (altered_key(110, b"\x55"), "damaged"),
        (altered_key(150, b"\x55"), "damaged"),
    ],
)
def test_a_malformed_signing_key_is_refused_without_showing_it(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "signing.key"
    path.write_text(text)
    with pytest.raises(KeyFileError, match=message) as caught:
        read_signing_key(path)
    assert str(path) in caught.value.message
    assert KEY.to_text().splitlines()[1][80:120] not in f"{caught.value.message} {caught.value.hint}"


def test_a_signing_key_with_minisigns_checksum_is_read() -> None:
    body = KEY.key_id + KEY.seed + KEY.public.raw
    assert parse_signing_key(altered_key(126, sign._checksum(body))) == KEY


def test_a_signing_key_file_is_private_and_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    write_signing_key(path, KEY)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_signing_key(path) == KEY
    with pytest.raises(KeyFileError, match="exists already"):
        write_signing_key(path, sign.generate())
    assert read_signing_key(path) == KEY


def test_a_key_that_is_no_point_verifies_nothing() -> None:
    broken = PublicKey(key_id=KEY.key_id, raw=b"\xff" * 32)
    with pytest.raises(IntegrityError):
        verify(DATA, SIGNATURE, [broken])
