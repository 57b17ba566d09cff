"""Basic authentication of the endpoint: one user, whose password is known by its scrypt hash only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

_HASH = re.compile(
    r"scrypt:(?P<n>[0-9]{1,7}):(?P<r>[0-9]{1,3}):(?P<p>[0-9]{1,3}):(?P<salt>[0-9a-f]{16,128}):(?P<hash>[0-9a-f]{64})"
)
_COST = {"n": 2**14, "r": 8, "p": 1}
_HASH_BYTES = 32
_MEMORY = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Login:
    """Who may ask. `password_hash` is what `hashed` gives: `scrypt:N:r:p:salt:hash`, the last two in hexadecimal."""

    user: str
    password_hash: str = field(repr=False)
    _seen: dict[bytes, bool] = field(default_factory=dict, repr=False, compare=False)
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(_HASH_BYTES), repr=False, compare=False)

    def admits(self, header: str | None) -> bool:
        """Whether an Authorization header is this user's.

        The hash is slow on purpose; so the right header, and only that, is known again by a fast one.
        """
        if header is None:
            return False
        mark = hmac.digest(self._key, header.encode("utf-8", "surrogateescape"), "sha256")
        if mark in self._seen:
            return True
        user, password = _credentials(header)
        right_user = hmac.compare_digest(user, self.user.encode())
        right_password = hmac.compare_digest(_digest(password, self.password_hash), self.password_hash)
        if right_user and right_password:
            self._seen[mark] = True
        return right_user and right_password


def check(password: str) -> None:
    """Raise ValueError for what begins like a hash, but is none that this machine computes."""
    if not password.startswith("scrypt:"):
        return
    if not _HASH.fullmatch(password):
        raise ValueError("it begins like a hash but is not one: scrypt:N:r:p:salt:hash was expected")
    try:
        _digest(b"", password)
    except ValueError:
        raise ValueError(
            "the numbers of this scrypt hash are no possible ones, or need too much memory"
        ) from None


def hashed(password: str) -> str:
    """The hash of a password; one that is a hash already stays as it is. Raise ValueError for a broken hash."""
    check(password)
    if password.startswith("scrypt:"):
        return password
    return _text(password.encode(), secrets.token_bytes(16), _COST)


def _credentials(header: str) -> tuple[bytes, bytes]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return b"", b""
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except ValueError:
        return b"", b""
    return user, password


def _digest(password: bytes, like: str) -> str:
    """Hash a password with the salt and the cost of another hash."""
    match = _HASH.fullmatch(like)
    assert match is not None  # noqa: S101 - `hashed` made or checked it
    cost = {name: int(match[name]) for name in _COST}
    return _text(password, bytes.fromhex(match["salt"]), cost)


def _text(password: bytes, salt: bytes, cost: dict[str, int]) -> str:
    key = hashlib.scrypt(
        password, salt=salt, n=cost["n"], r=cost["r"], p=cost["p"], dklen=_HASH_BYTES, maxmem=_MEMORY
    )
    return f"scrypt:{cost['n']}:{cost['r']}:{cost['p']}:{salt.hex()}:{key.hex()}"
