"""Decrypts what `openssl enc -aes-256-cbc -salt` wrote with a passphrase. The format authenticates nothing.

Which key derivation was used stands nowhere in the file. It is recognised by what the first bytes decrypt to; that the
file ended as it was written, by the padding alone: whoever could write to it may have changed what lies between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC

from holdfast.model.errors import IntegrityError, KeyFileError
from holdfast.streams.chunks import rechunk

MAGIC = b"Salted__"
ITERATIONS = 10_000  # openssl's own for -pbkdf2, where no -iter is given
_SALT, _BLOCK, _KEY = 8, 16, 32
_HEAD = len(MAGIC) + _SALT
_PEEK = 512  # decrypted to see what it is: enough for the head of a tar file
_PIECE = 1024 * 1024
# The default has been md5 up to 1.0.2 and sha256 since; -md names others.
_DIGESTS = ("sha256", "md5", "sha512", "sha1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passphrase:
    """What the file was encrypted with; `iterations` are those of -pbkdf2 (-iter)."""

    secret: bytes
    iterations: int = ITERATIONS

    def __repr__(self) -> str:
        return "Passphrase(…)"


def decrypt(
    chunks: Iterable[bytes], passphrase: Passphrase, *, known: Callable[[bytes], bool]
) -> Iterator[bytes]:
    """Give the plain bytes. `known` tells whether bytes begin like what may be in there.

    Raise KeyFileError when no derivation leads to such a beginning, IntegrityError when the end is not as openssl
    writes it. Bytes given before that may be of a damaged whole.
    """
    pieces = rechunk(chunks, _PIECE)
    first = next(pieces, b"")
    head, body = first[:_HEAD], first[_HEAD:]
    if not head.startswith(MAGIC) or len(head) < _HEAD:
        raise IntegrityError("it is not a file of openssl enc: its salt is missing")
    if len(body) < _BLOCK:
        raise _cut()
    decryptor = _found(passphrase, head[len(MAGIC) :], body[:_PEEK], known)
    held = b""
    for piece in _chain(body, pieces):
        plain = held + decryptor.update(piece)
        held = plain[-_BLOCK:]
        yield plain[:-_BLOCK]
    try:
        decryptor.finalize()
    except ValueError as error:  # it is no whole number of blocks
        raise _cut() from error
    yield _unpadded(held)


def _chain(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _found(passphrase: Passphrase, salt: bytes, body: bytes, known: Callable[[bytes], bool]) -> CipherContext:
    start = body[: len(body) - len(body) % _BLOCK]
    for key, vector in _derivations(passphrase, salt):
        plain = _decryptor(key, vector).update(start)
        if known(plain):
            return _decryptor(key, vector)
    raise KeyFileError(
        "the passphrase does not open it: no key derivation of openssl enc leads to a dump",
        hint="Give the passphrase that it was written with; with -pbkdf2 -iter N say --iterations N. Other ciphers"
        " than aes-256-cbc are not known.",
    )


def _derivations(passphrase: Passphrase, salt: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give key and vector of every way that openssl has to make them, the usual ones first."""
    for name in _DIGESTS:
        made = _bytes_to_key(name, passphrase.secret, salt)
        yield made[:_KEY], made[_KEY:]
    for name in _DIGESTS:
        made = hashlib.pbkdf2_hmac(name, passphrase.secret, salt, passphrase.iterations, _KEY + _BLOCK)
        yield made[:_KEY], made[_KEY:]


def _bytes_to_key(digest: str, secret: bytes, salt: bytes) -> bytes:
    """OpenSSL's EVP_BytesToKey with one iteration: each digest is of the one before, the passphrase and the salt."""
    made = block = b""
    while len(made) < _KEY + _BLOCK:
        block = hashlib.new(digest, block + secret + salt, usedforsecurity=False).digest()
        made += block
    return made[: _KEY + _BLOCK]


def _decryptor(key: bytes, vector: bytes) -> CipherContext:
    return Cipher(AES256(key), CBC(vector)).decryptor()


def _unpadded(block: bytes) -> bytes:
    count = block[-1] if block else 0
    if not 1 <= count <= _BLOCK or block[-count:] != bytes([count]) * count:
        raise _cut()
    return block[:-count]


def _cut() -> IntegrityError:
    return IntegrityError(
        "it is cut short or damaged: its last block is not as openssl enc ends a file",
        hint="Take the file from another place; this one cannot be read to its end.",
    )
