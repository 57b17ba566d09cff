"""The digests by which a store of S3's kind tells what it took: the SHA-256 of a part, where it knows that, or its MD5, the ETag.

A store that tells the SHA-256 is not told the MD5 any more: hashing all of it once more is a tenth of what an upload costs.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

_MD5, _SHA256 = "ContentMD5", "ChecksumSHA256"


def digests(block: bytes | bytearray, *, md5: bool, sha256: bool) -> dict[str, str]:
    """Give the parameters that tell a store what it is to receive."""
    told: dict[str, str] = {}
    if md5:
        told[_MD5] = _text(_md5(block))
    if sha256:
        told[_SHA256] = _text(hashlib.sha256(block).digest())
    return told


def tells_sha256(answer: Mapping[str, Any]) -> bool:
    """Whether a store has told the SHA-256 of what it took."""
    return answer.get(_SHA256) is not None


def is_taken(answer: Mapping[str, Any], told: Mapping[str, str], block: bytes | bytearray) -> bool:
    """Whether a store took what it was sent, by its answer; `told` is what `digests` gave for the block."""
    if _SHA256 in told and tells_sha256(answer):
        return bool(answer[_SHA256] == told[_SHA256])
    return plain_etag(answer) == (base64.b64decode(told[_MD5]) if _MD5 in told else _md5(block)).hex()


def plain_etag(answer: Mapping[str, Any]) -> str:
    """Give an ETag without its quotes; empty where there is none."""
    return str(answer.get("ETag", "")).strip('"')


def etag_of_parts(etags: Iterable[str]) -> str | None:
    """Give the ETag of an object that is made of parts with these; None where they are no MD5s."""
    try:
        md5s = [bytes.fromhex(etag.strip('"')) for etag in etags]
    except ValueError:
        return None
    return f"{_md5(b''.join(md5s)).hex()}-{len(md5s)}"


def _md5(data: bytes | bytearray) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _text(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")
