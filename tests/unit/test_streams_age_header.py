from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from holdfast.model.errors import IntegrityError, KeyFileError
from holdfast.streams import age, age_header, age_keys
from holdfast.streams.age_header import Stanza
from holdfast.streams.age_stanzas import unwrap

if TYPE_CHECKING:
    from collections.abc import Callable

IDENTITY = age_keys.generate()
FILE = b"".join(age.encrypt([b"rows"], [IDENTITY.recipient]))
VERSION = b"age-encryption.org/v1\n"


def header_bytes() -> int:
    end = age_header.end_of(FILE)
    assert end is not None
    return end


def with_header(change: Callable[[bytes], bytes]) -> bytes:
    """The file with its header changed, under a MAC that holds for the change."""
    size = header_bytes()
    header = age_header.parse(FILE[:size])
    key = unwrap(header.stanzas[0], IDENTITY)
    assert key is not None
    signed = change(header.signed)
    mac = base64.b64encode(age._mac(key, signed)).rstrip(b"=")
    return signed + b" " + mac + b"\n" + FILE[size:]


def with_stanzas(*stanzas: Stanza, ours: bool = True) -> bytes:
    header = age_header.parse(FILE[: header_bytes()])
    return with_header(lambda _: age_header.write([*stanzas, *(header.stanzas if ours else ())]))


def opened(file: bytes) -> bytes:
    return b"".join(age.decrypt([file], [IDENTITY]))


def before_ours(line: bytes) -> bytes:
    return with_header(lambda signed: signed.replace(b"-> X25519", line + b"-> X25519"))


def test_a_header_made_again_opens() -> None:
    assert opened(with_header(lambda signed: signed)) == b"rows"


@given(
    st.lists(
        st.builds(
            Stanza,
            type=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20),
            args=st.lists(
                st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1), max_size=3
            ).map(tuple),
            body=st.binary(max_size=200),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_header_round_trips(stanzas: list[Stanza]) -> None:
    data = age_header.write(stanzas) + b" " + b"A" * 43 + b"\n"
    assert age_header.end_of(data + b"payload") == len(data)
    assert age_header.parse(data).stanzas == tuple(stanzas)


@pytest.mark.parametrize("size", [0, 1, 47, 48, 49, 96, 300])
def test_stanzas_of_unknown_types_are_passed_over(size: int) -> None:
    file = with_stanzas(Stanza(type="example.com/enigma", args=("a", "---"), body=bytes(size)))
    assert opened(file) == b"rows"


@pytest.mark.parametrize(
    "line",
    [
        b"-> \n\n",  # no argument
        b"->\n\n",
        b"-> a  b\n\n",  # an empty argument
        b"-> a \n\n",
        b"-> a\tb\n\n",  # a character that no argument has
        b"-> \xc3\xa8\n\n",
        b"->a\n\n",
        b"-> a\n",  # no body
        b"-> a\nAAAA\nAAAA\n",  # two short lines
        b"-> a\n" + b"A" * 64 + b"\n",  # no last line
        b"-> a\n" + b"A" * 65 + b"\n\n",  # a long line
        b"-> a\nAA==\n",  # padding
        b"-> a\nAB\n",  # not canonical
        b"-> a\nA\n",
        b"-> a\nAA_-\n",
        b"-> a\r\n\r\n",
        b"\n",
        b"# a comment\n",
    ],
)
def test_a_stanza_outside_the_grammar_is_refused(line: bytes) -> None:
    with pytest.raises(IntegrityError):
        opened(before_ours(line))


@pytest.mark.parametrize(
    "change",
    [
        lambda end: end.replace(b"--- ", b"---"),
        lambda end: end.replace(b"--- ", b"---  "),
        lambda end: end.replace(b"\n", b" \n"),
        lambda end: end.replace(b"\n", b"=\n"),
        lambda end: end.replace(b"\n", b"\r\n"),
        lambda end: end[:-2] + b"\n",
        lambda _: b"--- \n",
        lambda _: b"---\n",
        lambda end: end.replace(b"--- ", b"---- "),
    ],
)
def test_an_end_outside_the_grammar_is_refused(change: Callable[[bytes], bytes]) -> None:
    start = FILE.index(b"\n---") + 1
    end = FILE[start : header_bytes()]
    assert change(end) != end
    with pytest.raises(IntegrityError):
        opened(FILE[:start] + change(end) + FILE[header_bytes() :])


def test_a_mac_that_is_not_canonical_is_refused() -> None:
    size = header_bytes()
    last = FILE[size - 2 : size - 1].decode()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = alphabet[alphabet.index(last) ^ 1]
    with pytest.raises(IntegrityError, match="canonical"):
        opened(FILE[: size - 2] + twin.encode() + FILE[size - 1 :])


def test_a_wrong_mac_is_refused() -> None:
    start = FILE.index(b"\n---") + len(b"\n--- ")
    swapped = FILE[:start] + FILE[start : start + 42][::-1] + FILE[start + 42 :]
    with pytest.raises(IntegrityError, match="altered"):
        opened(swapped)


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"PGDMP\x01",
        b"age-encryption.org/v2\n",
        b"age-encryption.org/v1\r\n",
        b"-----BEGIN AGE ENCRYPTED",
    ],
)
def test_what_is_not_an_age_file_is_refused(start: bytes) -> None:
    with pytest.raises(IntegrityError):
        opened(start + FILE[len(VERSION) :] if start else b"")


def test_what_is_not_an_age_file_is_refused_at_its_first_bytes() -> None:
    def source() -> list[bytes]:
        return [b"PGDMP"]

    with pytest.raises(IntegrityError, match="not an age file"):
        next(age.decrypt(source(), [IDENTITY]))


def test_a_header_without_stanzas_is_refused() -> None:
    with pytest.raises(IntegrityError, match="malformed"):
        opened(VERSION + b"--- " + b"A" * 43 + b"\n" + bytes(32))


def test_a_header_without_end_is_refused_before_it_fills_the_memory() -> None:
    pulled = 0

    def source() -> object:
        nonlocal pulled
        yield VERSION
        while True:
            pulled += 1
            yield b"-> a\n" + b"A" * 64 + b"\n"

    with pytest.raises(IntegrityError, match="larger"):
        next(age.decrypt(source(), [IDENTITY]))  # type: ignore[arg-type]
    assert pulled < 5000


@pytest.mark.parametrize("place", ["before", "behind"])
def test_a_passphrase_beside_a_recipient_is_refused(place: str) -> None:
    scrypt = Stanza(type="scrypt", args=("AAAAAAAAAAAAAAAAAAAAAA", "18"), body=bytes(32))
    header = age_header.parse(FILE[: header_bytes()])
    stanzas = [scrypt, *header.stanzas] if place == "before" else [*header.stanzas, scrypt]
    with pytest.raises(IntegrityError, match="passphrase"):
        opened(with_header(lambda _: age_header.write(stanzas)))


def test_a_file_with_a_passphrase_names_what_it_needs() -> None:
    scrypt = Stanza(type="scrypt", args=("AAAAAAAAAAAAAAAAAAAAAA", "18"), body=bytes(32))
    with pytest.raises(KeyFileError, match="scrypt"):
        opened(with_stanzas(scrypt, ours=False))


def test_malformed_stanzas_of_a_known_type_are_refused() -> None:
    share = age_header.to_base64(IDENTITY.recipient.raw)
    for args, body in (
        ((), bytes(32)),
        ((share, "b"), bytes(32)),
        ((share[:-1],), bytes(32)),
        ((share + "=",), bytes(32)),
        ((age_header.to_base64(bytes(31) + b"\1"),), bytes(31)),
        ((age_header.to_base64(b"\1" * 33),), bytes(32)),
        ((share,), bytes(33)),
        ((share,), b""),
        ((age_header.to_base64(bytes(32)),), bytes(32)),  # a share whose secret is all zeros
    ):
        with pytest.raises(IntegrityError):
            opened(with_stanzas(Stanza(type="X25519", args=args, body=body)))


def test_a_stanza_of_another_case_is_another_type() -> None:
    file = with_header(lambda signed: signed.replace(b"-> X25519", b"-> x25519"))
    with pytest.raises(KeyFileError, match="x25519"):
        opened(file)


def test_a_file_key_of_another_length_is_refused() -> None:
    stanza = Stanza(
        type="X25519",
        args=(age_header.to_base64(IDENTITY.recipient.raw),),
        body=ChaCha20Poly1305(bytes(32)).encrypt(bytes(12), bytes(17), None),
    )
    with pytest.raises(IntegrityError, match="wrong length"):
        unwrap(stanza, IDENTITY)
