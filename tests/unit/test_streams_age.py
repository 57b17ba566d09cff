from __future__ import annotations

import hashlib
import io
import random
from typing import TYPE_CHECKING

import pyrage  # type: ignore[import-untyped] # it ships no types
import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.model.errors import IntegrityError, KeyFileError
from holdfast.streams import age, age_header, age_keys
from holdfast.streams.age_keys import Identity, Recipient, parse_identity, parse_recipient
from holdfast.streams.age_stanzas import unwrap
from support import age_vector
from support.streams import SourceError, cut, cuttings, noise, then_failing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives import hpke

CHUNK = 64 * 1024
IDENTITY = age_keys.generate()
HYBRID = age_keys.generate(post_quantum=True)
# Around every border: a chunk of the format, and the batch of sixteen that goes through at once.
SIZES = [
    0,
    1,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    2 * CHUNK,
    16 * CHUNK - 1,
    16 * CHUNK,
    16 * CHUNK + 1,
    17 * CHUNK,
    32 * CHUNK,
]


def sealed(data: bytes, *recipients: Recipient) -> bytes:
    return b"".join(age.encrypt([data], recipients or [IDENTITY.recipient]))


def opened(data: bytes, *identities: Identity) -> bytes:
    return b"".join(age.decrypt([data], identities or [IDENTITY]))


def payload_at(file: bytes) -> int:
    end = age_header.end_of(file)
    assert end is not None
    return end + 16


def test_every_size_around_a_border_round_trips() -> None:
    for size in SIZES:
        data = noise(size)
        file = sealed(data)
        assert opened(file) == data
        assert len(file) - payload_at(file) == size + 16 * max(1, -(-size // CHUNK))


@settings(deadline=None, max_examples=50)
@given(st.integers(min_value=0, max_value=3 * CHUNK), cuttings(CHUNK), cuttings(CHUNK))
def test_any_chunking_round_trips(size: int, sizes: list[int], other: list[int]) -> None:
    data = noise(size)
    file = b"".join(age.encrypt(cut(data, sizes), [IDENTITY.recipient]))
    assert b"".join(age.decrypt(cut(file, other), [IDENTITY])) == data


def test_a_file_that_comes_byte_by_byte_is_read() -> None:
    file = sealed(b"rows", HYBRID.recipient)
    assert b"".join(age.decrypt((bytes([byte]) for byte in file), [HYBRID])) == b"rows"


def test_pyrage_opens_what_we_wrote() -> None:
    theirs = pyrage.x25519.Identity.generate()
    for size in SIZES:
        data = noise(size)
        file = sealed(data, parse_recipient(str(theirs.to_public())), IDENTITY.recipient)
        assert pyrage.decrypt(file, [theirs]) == data


def test_we_open_what_pyrage_wrote() -> None:
    # pyrage adds stanzas of unknown types (grease), which have to be passed over.
    theirs = pyrage.x25519.Identity.generate()
    ours = parse_identity(str(theirs))
    assert ours.recipient.text == str(theirs.to_public())
    for size in SIZES:
        data = noise(size)
        out = io.BytesIO()
        pyrage.encrypt_io(io.BytesIO(data), out, [theirs.to_public()])
        assert opened(out.getvalue(), IDENTITY, ours) == data


def test_every_recipient_opens_the_file_and_nobody_else() -> None:
    others = [age_keys.generate() for _ in range(3)]
    file = sealed(b"rows", IDENTITY.recipient, *(other.recipient for other in others))
    for identity in (IDENTITY, *others):
        assert opened(file, age_keys.generate(), identity) == b"rows"
    with pytest.raises(KeyFileError, match=r"none of the 2 identities.* 4 recipients \(X25519\)") as caught:
        opened(file, age_keys.generate(), HYBRID)
    assert caught.value.hint


def test_two_files_of_the_same_content_share_nothing() -> None:
    first, second = sealed(b"rows"), sealed(b"rows")
    assert first[payload_at(first) - 16 :] != second[payload_at(second) - 16 :]
    assert age_header.parse(first[: payload_at(first) - 16]).stanzas != (
        age_header.parse(second[: payload_at(second) - 16]).stanzas
    )


@pytest.mark.fault("damage.bits")
def test_every_truncation_of_a_small_file_is_refused() -> None:
    file = sealed(b"row 1\n")
    for end in range(len(file)):
        with pytest.raises(IntegrityError):
            opened(file[:end])


@pytest.mark.parametrize("size", [CHUNK, 2 * CHUNK, 16 * CHUNK, 17 * CHUNK, 18 * CHUNK + 5])
def test_truncation_at_every_chunk_border_is_refused(size: int) -> None:
    file = sealed(noise(size))
    start = payload_at(file)
    for border in range(start, len(file), CHUNK + 16):
        for end in {border, border + 1, border + 16, border - 1}:
            with pytest.raises(IntegrityError):
                opened(file[:end])


@pytest.mark.parametrize("size", [0, 1, CHUNK, 16 * CHUNK, 17 * CHUNK])
def test_anything_appended_is_refused(size: int) -> None:
    file = sealed(noise(size))
    for tail in (b"\0", bytes(16), bytes(CHUNK + 16), file[payload_at(file) :], file):
        with pytest.raises(IntegrityError):
            opened(file + tail)


@pytest.mark.fault("damage.bits")
def test_every_flipped_bit_is_refused() -> None:
    for recipient, identity in ((IDENTITY.recipient, IDENTITY), (HYBRID.recipient, HYBRID)):
        file = sealed(b"rows", recipient)
        places = range(len(file)) if len(file) < 400 else random.Random(1).sample(range(len(file)), 150)
        for place in places:
            for bit in (1, 128):
                altered = bytearray(file)
                altered[place] ^= bit
                # A wrapped key that was altered looks like one for somebody else.
                with pytest.raises((IntegrityError, KeyFileError)):
                    opened(bytes(altered), identity)


def test_a_flipped_bit_anywhere_in_a_long_file_is_refused() -> None:
    file = sealed(noise(20 * CHUNK + 7))
    start = payload_at(file)
    for place in random.Random(2).sample(range(start, len(file)), 20):
        altered = bytearray(file)
        altered[place] ^= 4
        with pytest.raises(IntegrityError):
            opened(bytes(altered))


@pytest.mark.fault("damage.bits")
def test_chunks_in_another_order_are_refused() -> None:
    file = sealed(noise(4 * CHUNK))
    start, step = payload_at(file), CHUNK + 16
    chunks = [file[at : at + step] for at in range(start, len(file), step)]
    for order in ([1, 0, 2, 3], [0, 2, 1, 3], [0, 1, 3, 2], [0, 2, 3], [1, 2, 3], [0, 0, 1, 2, 3]):
        with pytest.raises(IntegrityError):
            opened(file[:start] + b"".join(chunks[number] for number in order))


def test_only_authentic_bytes_are_ever_given() -> None:
    data = noise(40 * CHUNK)
    file = bytearray(sealed(data))
    file[payload_at(bytes(file)) + 35 * (CHUNK + 16)] ^= 1
    given_bytes = bytearray()

    def take() -> None:
        for piece in age.decrypt([bytes(file)], [IDENTITY]):
            given_bytes.extend(piece)

    with pytest.raises(IntegrityError, match="altered or cut short"):
        take()
    assert len(given_bytes) == 32 * CHUNK
    assert bytes(given_bytes) == data[: 32 * CHUNK]


def forged(lengths: list[int], *, last: int) -> bytes:
    """Make a file with chunks of these lengths, the one numbered `last` marked as the last."""
    file = sealed(b"")
    start = payload_at(file)
    stanza = age_header.parse(file[: start - 16]).stanzas[0]
    file_key = unwrap(stanza, IDENTITY)
    assert file_key is not None
    key = age._payload_key(file_key, file[start - 16 : start])
    chunks = [
        key.encrypt(number.to_bytes(11, "big") + bytes([number == last]), bytes(length), None)
        for number, length in enumerate(lengths)
    ]
    return file[:start] + b"".join(chunks)


def test_a_forged_file_that_follows_the_format_is_read() -> None:
    assert len(opened(forged([CHUNK, CHUNK, 3], last=2))) == 2 * CHUNK + 3
    assert opened(forged([0], last=0)) == b""


@pytest.mark.parametrize(
    ("lengths", "last"),
    [
        ([CHUNK, 0], 1),  # an empty last chunk behind a full one
        ([CHUNK] * 16 + [0], 16),  # the same on the border of a batch
        ([CHUNK, CHUNK], 0),  # the last chunk is not at the end
        ([CHUNK, CHUNK], 9),  # no last chunk
        ([CHUNK - 1, 5], 1),  # a short chunk in the middle
        ([CHUNK + 1], 0),  # a long chunk
        ([], 0),  # no chunk
    ],
)
def test_a_forged_payload_that_breaks_the_format_is_refused(lengths: list[int], last: int) -> None:
    with pytest.raises(IntegrityError):
        opened(forged(lengths, last=last))


def test_encryption_fails_with_its_source_and_does_not_end() -> None:
    written: list[bytes] = []
    with pytest.raises(SourceError):
        written.extend(age.encrypt(then_failing([noise(5 * CHUNK)]), [IDENTITY.recipient]))
    with pytest.raises(IntegrityError):
        opened(b"".join(written))


def test_decryption_fails_with_its_source() -> None:
    file = sealed(noise(CHUNK))
    for end in (10, payload_at(file) - 3, len(file)):
        with pytest.raises(SourceError):
            list(age.decrypt(then_failing([file[:end]]), [IDENTITY]))


def test_pieces_are_large_whatever_the_chunks_were() -> None:
    pieces = list(age.encrypt(cut(noise(40 * CHUNK), [1000]), [IDENTITY.recipient]))
    assert [len(piece) for piece in pieces[1:-1]] == [16 * (CHUNK + 16)] * 2
    plain = list(age.decrypt(cut(b"".join(pieces), [1000]), [IDENTITY]))
    assert [len(piece) for piece in plain] == [16 * CHUNK, 16 * CHUNK, 8 * CHUNK]


def test_recipients_are_checked_before_a_byte_is_pulled() -> None:
    with pytest.raises(KeyFileError, match="no recipient"):
        age.encrypt([], [])
    with pytest.raises(KeyFileError, match="post-quantum and classic recipients are mixed"):
        age.encrypt([], [IDENTITY.recipient, HYBRID.recipient])
    with pytest.raises(KeyFileError, match="not a usable key"):
        age.encrypt([], [Recipient(kind="X25519", raw=bytes(32))])
    with pytest.raises(KeyFileError, match="not a usable key"):
        age.encrypt([], [Recipient(kind="mlkem768x25519", raw=b"\xff" * 1216)])
    with pytest.raises(KeyFileError, match="too many"):
        age.encrypt([], [IDENTITY.recipient] * 3000)


def test_no_identity_is_a_matter_of_keys() -> None:
    with pytest.raises(KeyFileError, match="no identity"):
        b"".join(age.decrypt([sealed(b"rows")], []))


def test_a_post_quantum_file_opens_with_its_identity_only() -> None:
    other = age_keys.generate(post_quantum=True)
    file = sealed(b"rows" * 100_000, HYBRID.recipient, other.recipient)
    assert opened(file, HYBRID) == opened(file, IDENTITY, other) == b"rows" * 100_000
    with pytest.raises(KeyFileError, match="mlkem768x25519"):
        opened(file, IDENTITY, age_keys.generate(post_quantum=True))


def test_a_post_quantum_file_of_age_itself_opens() -> None:
    identity = parse_identity(age_vector.IDENTITY)
    assert opened(age_vector.FILE, identity) == age_vector.PLAIN


def test_a_machine_without_ml_kem_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    file = sealed(b"rows", HYBRID.recipient)

    def refuse(*_: object) -> hpke.Suite:
        raise UnsupportedAlgorithm("no ML-KEM")

    monkeypatch.setattr("holdfast.streams.age_stanzas._suite", refuse)
    with pytest.raises(KeyFileError, match="without ML-KEM"):
        sealed(b"rows", HYBRID.recipient)
    with pytest.raises(KeyFileError, match="without ML-KEM"):
        opened(file, HYBRID)


def test_another_file_to_the_same_recipient_is_refused_before_its_first_byte() -> None:
    """The recipients are public, so a good file alone does not tell who wrote it; its header does."""
    head, *rest = age.encrypt([noise(CHUNK)], [IDENTITY.recipient])
    pinned = hashlib.sha256(head).hexdigest()
    assert b"".join(age.decrypt([head, *rest], [IDENTITY], header_sha256=pinned)) == noise(CHUNK)
    forged = age.decrypt([sealed(b"DROP")], [IDENTITY], header_sha256=pinned)
    with pytest.raises(IntegrityError, match="not the one that was written"):
        next(forged)


def test_a_pinned_header_in_front_of_another_payload_is_refused() -> None:
    head, *_ = age.encrypt([b"ours"], [IDENTITY.recipient])
    other = sealed(b"DROP")
    forged = age.decrypt(
        [head, other[payload_at(other) :]], [IDENTITY], header_sha256=hashlib.sha256(head).hexdigest()
    )
    with pytest.raises(IntegrityError, match="altered or cut short"):
        next(forged)
