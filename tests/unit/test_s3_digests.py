"""What a store says of what it took is held against what was sent."""

from __future__ import annotations

import base64
import hashlib

from holdfast.stores.s3_digests import digests, etag_of_parts, is_taken, tells_sha256

DATA = b"some bytes"
MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
SHA256 = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
OTHER = base64.b64encode(hashlib.sha256(b"other bytes").digest()).decode()


def test_a_store_that_tells_the_sha256_is_believed_by_that_alone() -> None:
    told = digests(DATA, md5=False, sha256=True)
    assert told == {"ChecksumSHA256": SHA256}
    assert is_taken({"ETag": '"of-its-own"', "ChecksumSHA256": SHA256}, told, DATA)
    assert not is_taken({"ETag": f'"{MD5}"', "ChecksumSHA256": OTHER}, told, DATA)


def test_a_store_that_tells_no_sha256_is_held_to_the_md5() -> None:
    for told in (digests(DATA, md5=True, sha256=True), digests(DATA, md5=False, sha256=True)):
        assert is_taken({"ETag": f'"{MD5}"'}, told, DATA)
        assert not is_taken({"ETag": '"of-its-own"'}, told, DATA)
        assert not is_taken({}, told, DATA)


def test_a_sha256_that_was_not_asked_for_vouches_for_nothing() -> None:
    assert not is_taken({"ChecksumSHA256": SHA256}, digests(DATA, md5=True, sha256=False), DATA)
    assert [tells_sha256(answer) for answer in ({}, {"ChecksumSHA256": SHA256})] == [False, True]


def test_the_etag_of_parts_is_that_of_the_whole() -> None:
    md5s = [hashlib.md5(part, usedforsecurity=False) for part in (b"a", b"b")]
    whole = hashlib.md5(b"".join(md5.digest() for md5 in md5s), usedforsecurity=False).hexdigest()
    assert etag_of_parts([f'"{md5.hexdigest()}"' for md5 in md5s]) == f"{whole}-2"
    assert etag_of_parts(['"of-its-own"']) is None
