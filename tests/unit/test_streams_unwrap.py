"""What other programs wrapped around a dump is told by how it begins, and checked to its end."""

from __future__ import annotations

import gzip
import os
import subprocess

import pytest

from holdfast.model.errors import IntegrityError, KeyFileError
from holdfast.streams import compress
from holdfast.streams.gunzip import gunzip
from holdfast.streams.openssl import Passphrase
from holdfast.streams.unwrap import unwrapped
from support.scripts import PASSPHRASE, encrypted

DUMP = b"PGDMP" + os.urandom(200_000)
SECRET = Passphrase(secret=PASSPHRASE.encode())
DERIVATIONS = {
    "of 1.0.2": ("-md", "md5"),
    "of 1.1": ("-md", "sha256"),
    "sha512": ("-md", "sha512"),
    "pbkdf2": ("-pbkdf2",),
    "pbkdf2 sha512": ("-pbkdf2", "-md", "sha512"),
}


def is_dump(head: bytes) -> bool:
    return head.startswith(b"PGDMP")


def opened(data: bytes, passphrase: Passphrase | None = SECRET, size: int = 70_001) -> bytes:
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    return b"".join(unwrapped(chunks, passphrase, is_dump=is_dump))


@pytest.mark.parametrize("derivation", DERIVATIONS)
def test_what_the_real_openssl_wrote_opens(derivation: str) -> None:
    assert opened(encrypted(DUMP, *DERIVATIONS[derivation])) == DUMP


def test_the_iterations_of_pbkdf2_may_be_others() -> None:
    data = encrypted(DUMP, "-pbkdf2", "-iter", "777")
    assert opened(data, Passphrase(secret=PASSPHRASE.encode(), iterations=777)) == DUMP
    with pytest.raises(KeyFileError, match="does not open"):
        opened(data)


def test_layers_come_off_one_after_the_other() -> None:
    assert opened(encrypted(gzip.compress(DUMP)), size=999) == DUMP
    assert opened(encrypted(b"".join(compress.compress([DUMP])))) == DUMP
    assert opened(gzip.compress(DUMP[:7]) + gzip.compress(DUMP[7:]) + bytes(512)) == DUMP


@pytest.mark.parametrize("lost", [1, 7, 100, 150_000])
def test_what_is_cut_short_is_noticed(lost: int) -> None:
    for data in (encrypted(gzip.compress(DUMP, 1)), gzip.compress(DUMP, 1)):
        with pytest.raises(IntegrityError):
            opened(data[:-lost])


def test_an_end_that_openssl_does_not_write_is_noticed() -> None:
    data = bytearray(encrypted(DUMP))
    data[-17] ^= 0x40  # of the block before the last: it changes the last byte, which counts the padding
    with pytest.raises(IntegrityError, match="last block"):
        opened(bytes(data))


def test_a_changed_byte_of_gzip_is_noticed() -> None:
    data = bytearray(gzip.compress(DUMP, 1))
    data[len(data) // 2] ^= 1
    with pytest.raises(IntegrityError, match="damaged"):
        b"".join(gunzip([bytes(data)]))
    with pytest.raises(IntegrityError, match="follows"):
        b"".join(gunzip([gzip.compress(DUMP), b"\0\0more"]))


def test_a_missing_or_wrong_passphrase_is_said() -> None:
    data = encrypted(DUMP)
    with pytest.raises(KeyFileError, match="encrypted with openssl"):
        opened(data, None)
    with pytest.raises(KeyFileError, match="does not open"):
        opened(data, Passphrase(secret=b"another"))
    assert "another" not in repr(Passphrase(secret=b"another"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"U2FsdGVkX19abc", "base64"),
        (b"age-encryption.org/v1\n", "age"),
        (b"BZh91AY", "bzip2"),
        (b"\xfd7zXZ\0\0", "xz"),
        (b"\x8c\x0d\x04\x09", "gpg"),
        (b"-- MySQL dump", "not a dump of pg_dump"),
    ],
)
def test_what_is_not_known_is_named(data: bytes, said: str) -> None:
    with pytest.raises(IntegrityError, match=said):
        opened(data)


def test_openssl_itself_reads_no_more_than_we_do() -> None:
    """The padding is all that its format has to say of its end."""
    argv = ["openssl", "enc", "-d", "-aes-256-cbc", "-md", "sha256", "-pass", f"pass:{PASSPHRASE}"]
    data = encrypted(DUMP, "-md", "sha256")
    done = subprocess.run(argv, input=data[:-1], capture_output=True, check=False)
    assert done.returncode != 0
