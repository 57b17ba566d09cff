"""Tells copies of one backup that are encrypted to others from another backup under its id. Pure.

A copy that was encrypted anew has a manifest of its own, which names the first one by its digest. Whoever signed it is
believed by the signature; that nothing else of the backup changed is seen here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

from holdfast.model.backup import Backup, Part

_AGE = ".age"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A manifest and its signature as they lie in a store, and what they say."""

    backup: Backup
    manifest: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def first_sha256(self) -> str:
        """The digest of the manifest that was written when the backup was taken: this one, or its origin's."""
        origin = self.backup.origin
        return origin.manifest_sha256 if origin is not None else hashlib.sha256(self.manifest).hexdigest()


def are_kin(one: Stored, other: Stored) -> bool:
    """Whether both are manifests of one backup: the same one, or one that was encrypted anew, with the same plain digests."""
    return one.first_sha256 == other.first_sha256 and _plain(one.backup) == _plain(other.backup)


def _plain(backup: Backup) -> Backup:
    """What a manifest says besides how the parts are encrypted and stored, and by whom."""
    return replace(backup, parts=tuple(map(_bare, backup.parts)), documents=(), signer="", origin=None)


def _bare(part: Part) -> Part:
    return replace(
        part,
        name=part.name.removesuffix(_AGE),
        segments=(),
        stored_size=0,
        stored_sha256="",
        recipients=(),
        header_sha256=None,
    )
