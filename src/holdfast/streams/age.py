"""Encrypts and decrypts streams in the age v1 format (age-encryption.org/v1): any age implementation opens ours."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from holdfast.model.errors import IntegrityError, KeyFileError
from holdfast.streams import age_header
from holdfast.streams.age_stanzas import FILE_KEY_BYTES, hkdf, unwrap, wrap
from holdfast.streams.chunks import views

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from holdfast.streams.age_header import Stanza
    from holdfast.streams.age_keys import Identity, Recipient

CHUNK = 64 * 1024
TAG = 16
_NONCE = 16
# Sixteen chunks go through at a time: few large pieces cost the stages around less than many small ones.
_BATCH = 16


def encrypt(chunks: Iterable[bytes], recipients: Sequence[Recipient]) -> Iterator[bytes]:
    """Encrypt to every recipient, in pieces of about 1 MiB; the first piece is the header and the nonce, alone.

    Raise KeyFileError, at once, when there is no recipient, one is no usable key, or post-quantum and classic ones
    are mixed: the classic one would let a quantum computer in.
    """
    if not recipients:
        raise KeyFileError("no recipient to encrypt to", hint="Name at least one recipient (age1…).")
    if len({recipient.post_quantum for recipient in recipients}) > 1:
        raise KeyFileError(
            "post-quantum and classic recipients are mixed",
            hint="Use only age1pq1… recipients or only age1… ones; the weakest decides how safe the file is.",
        )
    file_key = secrets.token_bytes(FILE_KEY_BYTES)
    signed = age_header.write(wrap(file_key, recipient) for recipient in recipients)
    mac = age_header.to_base64(_mac(file_key, signed))
    nonce = secrets.token_bytes(_NONCE)
    header = signed + f" {mac}\n".encode("ascii")
    if len(header) > age_header.MAX_BYTES:
        raise KeyFileError(f"{len(recipients)} recipients are too many for one file")
    return _encrypted(header + nonce, _payload_key(file_key, nonce), chunks)


def _encrypted(head: bytes, key: ChaCha20Poly1305, chunks: Iterable[bytes]) -> Iterator[bytes]:
    yield head
    room = memoryview(b"")
    for batch in _batches(chunks, CHUNK):
        size = sum(len(chunk) + TAG for _, chunk in batch)
        if size > len(room):
            room = memoryview(bytearray(size))  # the first is the largest, and used again and again
        end = 0
        for nonce, chunk in batch:
            end += key.encrypt_into(nonce, chunk, None, room[end : end + len(chunk) + TAG])
        yield bytes(room[:size])


def decrypt(
    chunks: Iterable[bytes], identities: Sequence[Identity], *, header_sha256: str | None = None
) -> Iterator[bytes]:
    """Decrypt with whichever identity fits, in pieces of about 1 MiB; every byte given is authentic.

    With `header_sha256`, the digest of the first piece that `encrypt` gave, it is from that very file: anybody can
    write another to the same recipients. Raise KeyFileError when no identity fits, and IntegrityError when the file
    is malformed, altered, exchanged, cut short or longer than it was. That it is whole is known only when the stream
    ends.
    """
    source = iter(chunks)
    key, _, rest = open_head(source, identities, header_sha256=header_sha256)
    for number, batch in enumerate(_batches(_chain(rest, source), CHUNK + TAG)):
        piece = decrypt_chunks(key, batch)
        if len(batch[-1][1]) == TAG and (number or len(batch) > 1):
            raise IntegrityError("the age file is malformed: its last chunk is empty")
        if piece:
            yield piece


def open_head(
    source: Iterator[bytes], identities: Sequence[Identity], *, header_sha256: str | None
) -> tuple[ChaCha20Poly1305, int, bytes]:
    """Read the header and the nonce: give the payload's key, their length, and what was read beyond them.

    Errors as those of `decrypt`.
    """
    if not identities:
        raise KeyFileError("no identity to decrypt with", hint="Name the identity file.")
    head, rest = _head(source)
    if header_sha256 is not None and hashlib.sha256(head).hexdigest() != header_sha256:
        raise altered("the header of the age file is not the one that was written")
    header = age_header.parse(head[:-_NONCE])
    file_key = _file_key(header.stanzas, identities)
    if not hmac.compare_digest(_mac(file_key, header.signed), header.mac):
        raise altered("the header of the age file was altered")
    return _payload_key(file_key, head[-_NONCE:]), len(head), rest


def chunk_nonce(number: int, *, last: bool) -> bytes:
    """Give the nonce of a chunk: its number in eleven bytes, and one that marks the last."""
    return (number << 8 | last).to_bytes(12, "big")


def altered(message: str = "the age file was altered or cut short") -> IntegrityError:
    """Make the error of stored bytes that are not what was encrypted, with what to do about it."""
    return IntegrityError(
        message,
        hint="Take another copy (--store) or an older backup: `holdfast list` shows them. `holdfast repair` mends a copy.",
    )


def decrypt_chunks(key: ChaCha20Poly1305, batch: Iterable[tuple[bytes, bytes | memoryview]]) -> bytes:
    """Decrypt chunks, each with its nonce. Raise IntegrityError unless they are what was encrypted with it."""
    try:
        return b"".join([key.decrypt(nonce, chunk, None) for nonce, chunk in batch])
    except InvalidTag as error:
        raise altered() from error


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _batches(chunks: Iterable[bytes], size: int) -> Iterator[list[tuple[bytes, memoryview]]]:
    """Cut a stream into batches of chunks of `size` bytes, each with its nonce; an empty stream is one empty chunk.

    The nonce tells the last chunk, hence a batch is given when there is one more chunk.
    """
    first = 0
    batch: list[memoryview] = []
    for piece in views(chunks, size):
        if len(batch) == _BATCH:
            yield [(chunk_nonce(number, last=False), each) for number, each in enumerate(batch, first)]
            first += _BATCH
            batch.clear()
        batch.append(piece)
    batch = batch or [memoryview(b"")]
    last = first + len(batch) - 1
    yield [(chunk_nonce(number, last=number == last), each) for number, each in enumerate(batch, first)]


def _head(source: Iterator[bytes]) -> tuple[bytes, bytes]:
    """Read the header and the nonce behind it; what was read beyond comes second."""
    data = bytearray()
    while (end := age_header.end_of(data)) is None or len(data) < end + _NONCE:
        chunk = next(source, None)
        if chunk is None:
            raise IntegrityError("the age file ends within its header")
        data += chunk
    return bytes(data[: end + _NONCE]), bytes(data[end + _NONCE :])


def _file_key(stanzas: Sequence[Stanza], identities: Sequence[Identity]) -> bytes:
    types = [stanza.type for stanza in stanzas]
    if "scrypt" in types and len(types) > 1:
        # age-encryption.org/v1: a passphrase is to authenticate the file, so nobody else may open it.
        raise IntegrityError("the header of the age file mixes a passphrase with other recipients")
    for identity in identities:
        for stanza in stanzas:
            key = unwrap(stanza, identity)
            if key is not None:
                return key
    count = "the one identity given does not open" if len(identities) == 1 else None
    raise KeyFileError(
        f"{count or f'none of the {len(identities)} identities given opens'} the age file, "
        f"which is encrypted to {len(types)} {'recipient' if len(types) == 1 else 'recipients'}"
        f" ({', '.join(sorted(set(types)))})",
        hint="Use the identity of one of the recipients that it was encrypted to (`holdfast keys` tells which opens what); if"
        " it is the right one, the header of the file was altered.",
    )


def _mac(file_key: bytes, signed: bytes) -> bytes:
    return hmac.digest(hkdf(file_key, b"", b"header"), signed, "sha256")


def _payload_key(file_key: bytes, nonce: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(hkdf(file_key, nonce, b"payload"))
