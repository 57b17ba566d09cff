"""Takes encryption and compression off a file that another program wrote; what it wears is told by how it begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from holdfast.model.errors import IntegrityError, KeyFileError
from holdfast.streams import compress, gunzip, openssl
from holdfast.streams.openssl import Passphrase

HEAD_BYTES = 512  # by which anything here is recognised; a tar file tells at its byte 257
_ZSTD = b"\x28\xb5\x2f\xfd"
_MOST = 4
_GZIP_RESERVED = 0xE0  # flags that RFC 1952 forbids
# What we know and do not open, and what to do about it.
_FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (b"U2FsdGVkX1", "it is openssl's, in base64 (-a)", "Decode it first: openssl base64 -d"),
    (b"age-encryption.org/", "it is encrypted with age", "Decrypt it first: age -d -i identity.txt"),
    (b"-----BEGIN PGP", "it is encrypted with gpg", "Decrypt it first: gpg -d"),
    (b"BZh", "it is compressed with bzip2", "Decompress it first: bunzip2"),
    (b"\xfd7zXZ\0", "it is compressed with xz", "Decompress it first: xz -d"),
    (b"\x04\x22\x4d\x18", "it is compressed with lz4", "Decompress it first: lz4 -d"),
    (b"PK\x03\x04", "it is a zip file", "Unpack it first: unzip"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z file", "Unpack it first: 7z x"),
)


def unwrapped(
    chunks: Iterable[bytes], passphrase: Passphrase | None, *, is_dump: Callable[[bytes], bool]
) -> Iterator[bytes]:
    """Give the bytes of the dump, with each layer checked to its end.

    `is_dump` tells whether bytes (the first 512, or fewer) begin one. Raise IntegrityError for what is damaged or
    not known, KeyFileError where a passphrase is missing or wrong.
    """
    for _ in range(_MOST):
        head, chunks = peeked(chunks)
        if is_dump(head):
            return chunks
        if head.startswith(openssl.MAGIC):
            if passphrase is None:
                raise KeyFileError(
                    "it is encrypted with openssl enc",
                    hint="Give its passphrase with --passphrase-file FILE.",
                )
            chunks = openssl.decrypt(chunks, passphrase, known=lambda plain: _is_known(plain, is_dump))
        elif head.startswith(gunzip.MAGIC):
            chunks = gunzip.gunzip(chunks)
        elif head.startswith(_ZSTD):
            chunks = compress.decompress(chunks)
        else:
            break
    raise _unknown(head)


def peeked(chunks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Give the first 512 bytes (fewer where there are no more), and a stream of all."""
    source = iter(chunks)
    held: list[bytes] = []
    size = 0
    for chunk in source:
        held.append(chunk)
        size += len(chunk)
        if size >= HEAD_BYTES:
            break
    return b"".join(held)[:HEAD_BYTES], _after(held, source)


def _after(held: list[bytes], source: Iterator[bytes]) -> Iterator[bytes]:
    yield from held
    held.clear()
    yield from source


def _is_known(plain: bytes, is_dump: Callable[[bytes], bool]) -> bool:
    gzip = plain.startswith(gunzip.MAGIC) and not plain[len(gunzip.MAGIC)] & _GZIP_RESERVED
    return gzip or plain.startswith(_ZSTD) or is_dump(plain)


def _unknown(head: bytes) -> IntegrityError:
    if not head:
        return IntegrityError("it is empty", hint="The script that wrote it failed, and nobody was told.")
    for magic, what, hint in _FOREIGN:
        if head.startswith(magic):
            return IntegrityError(what, hint=hint)
    if head[0] & 0x80 and head[0] in {
        0x84,
        0x85,
        0x8C,
    }:  # packets of OpenPGP: keys encrypted, or made of a passphrase
        return IntegrityError("it is encrypted with gpg, or damaged", hint="Decrypt it first: gpg -d")
    return IntegrityError("it is not a dump of pg_dump, or is damaged")
