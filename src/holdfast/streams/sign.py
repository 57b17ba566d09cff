"""Signs and verifies small documents with Ed25519, in minisign's file formats (jedisct1.github.io/minisign)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from holdfast.model.errors import IntegrityError, KeyFileError
from holdfast.streams import private_file

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_UNTRUSTED = "untrusted comment: "
_TRUSTED = "trusted comment: "
_KEY_ALGORITHM = b"Ed"
_PREHASHED = b"ED"
_CHECKSUM_ALGORITHM = b"B2"
_NO_PASSWORD = b"\0\0"
# The secret key file: algorithm, key derivation, checksum algorithm, then 48 bytes of its salt and limits; key id,
# seed, public key, checksum.
_SECRET_HEAD = 6 + 48
_SECRET_BYTES = _SECRET_HEAD + 8 + 64 + 32
_PUBLIC_BYTES = 2 + 8 + 32
_SIGNATURE_BYTES = 2 + 8 + 64
_SIGNATURE_LIMIT = 64 * 1024
_SIGNATURE_LINES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """The key that a signature is verified with. `key_id` is its 8 bytes, `raw` the 32 of Ed25519."""

    key_id: bytes
    raw: bytes

    @property
    def id(self) -> str:
        """The key id as minisign prints it: 16 uppercase hexadecimal digits."""
        return _id_text(self.key_id)

    @property
    def text(self) -> str:
        """Its written form on one line: `RW…`."""
        return base64.b64encode(_KEY_ALGORITHM + self.key_id + self.raw).decode("ascii")

    def to_text(self) -> str:
        """Its written form as a file: minisign's `.pub`."""
        return f"{_UNTRUSTED}minisign public key {self.id}\n{self.text}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """The key that signs. `seed` is its 32 secret bytes, which no repr shows."""

    key_id: bytes
    seed: bytes = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """The key that verifies what this one signs."""
        raw = Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()
        return PublicKey(key_id=self.key_id, raw=raw)

    def to_text(self) -> str:
        """Its written form as `minisign -G -W` writes it, without a password: a secret."""
        head = (_KEY_ALGORITHM + _NO_PASSWORD + _CHECKSUM_ALGORITHM).ljust(_SECRET_HEAD, b"\0")
        body = self.key_id + self.seed + self.public.raw
        # minisign leaves the checksum of a key without a password at zero.
        data = (head + body).ljust(_SECRET_BYTES, b"\0")
        return f"{_UNTRUSTED}minisign secret key of holdfast\n{base64.b64encode(data).decode('ascii')}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A signature that holds: whose it is, and the comment that it covers too."""

    signer: PublicKey
    trusted_comment: str


def generate() -> SigningKey:
    """Make a new signing key from the machine's random source."""
    return SigningKey(key_id=secrets.token_bytes(8), seed=secrets.token_bytes(32))


def parse_public_key(text: str) -> PublicKey:
    """Read a minisign public key, `RW…` alone or the file. Raise KeyFileError for anything else."""
    lines = text.strip().splitlines()
    if len(lines) == 2 and lines[0].startswith(_UNTRUSTED):  # noqa: PLR2004 - comment and key
        del lines[0]
    data = _unbase64(lines[0].strip()) if len(lines) == 1 else None
    if data is None or len(data) != _PUBLIC_BYTES or data[:2] != _KEY_ALGORITHM:
        raise KeyFileError(
            "malformed public key of a signer",
            hint="It is one line of 56 characters that begins with RW, as in a minisign .pub file.",
        )
    return PublicKey(key_id=data[2:10], raw=data[10:])


def parse_signing_key(text: str) -> SigningKey:
    """Read a minisign secret key without a password. Raise KeyFileError, which never shows the text."""
    lines = text.strip().splitlines()
    data = _unbase64(lines[-1].strip()) if len(lines) == 2 and lines[0].startswith(_UNTRUSTED) else None  # noqa: PLR2004 - comment and key
    if data is None or len(data) != _SECRET_BYTES or data[:2] != _KEY_ALGORITHM:
        raise KeyFileError("malformed signing key", hint="It is a file as minisign -G -W writes it.")
    if data[2:4] != _NO_PASSWORD:
        raise KeyFileError(
            "the signing key is protected by a password, which a daemon cannot type",
            hint="Make a key without one, with holdfast or minisign -G -W, and protect the file by its permissions.",
        )
    body = data[_SECRET_HEAD:-32]
    key = SigningKey(key_id=body[:8], seed=body[8:40])
    if key.public.raw != body[40:] or data[-32:] not in (bytes(32), _checksum(body)):
        raise KeyFileError(
            "the signing key is damaged: its halves do not belong together", hint="Restore it from a copy."
        )
    return key


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(_KEY_ALGORITHM + body, digest_size=32).digest()


def read_signing_key(path: Path) -> SigningKey:
    """Read a signing key's file. Raise KeyFileError, naming it, when it cannot be read or is malformed."""
    text = private_file.read_text(path)
    try:
        return parse_signing_key(text)
    except KeyFileError as error:
        raise KeyFileError(f"{path}: {error.message}", hint=error.hint) from error


def write_signing_key(path: Path, key: SigningKey) -> None:
    """Write a new file that only its owner may read. Raise KeyFileError when it exists or cannot be written."""
    private_file.write_new(path, key.to_text())


def sign(data: bytes, key: SigningKey, *, trusted_comment: str) -> bytes:
    """Make the minisign signature file of `data`. Raise ValueError for a comment that is not one printable line."""
    if not trusted_comment.isprintable():
        raise ValueError("a trusted comment is one line of printable characters")
    secret = Ed25519PrivateKey.from_private_bytes(key.seed)
    signature = secret.sign(_hash(data))
    comment = trusted_comment.encode()
    blob = base64.b64encode(_PREHASHED + key.key_id + signature)
    whole = base64.b64encode(secret.sign(signature + comment))
    heading = f"{_UNTRUSTED}signature of holdfast, key {key.public.id}".encode()
    return b"\n".join((heading, blob, _TRUSTED.encode() + comment, whole, b""))


def verify(data: bytes, signature: bytes, trusted: Collection[PublicKey]) -> Verified:
    """Verify the minisign signature file of `data` against the trusted keys.

    Raise KeyFileError when its signer is not among them, IntegrityError when it is malformed or does not hold.
    """
    key_id, signed, comment, whole = _parse_signature(signature)
    candidates = [key for key in trusted if key.key_id == key_id]
    if not candidates:
        known = ", ".join(sorted({key.id for key in trusted})) or "none"
        raise KeyFileError(
            f"the signature is by the key {_id_text(key_id)}, which is not trusted (trusted: {known})",
            hint="If that key is yours, add its public key (RW…) to encryption.signers in the config, and as a line "
            "'# holdfast-signer: RW…' to the identity file, which an empty machine goes by; else somebody else wrote this.",
        )
    for key in candidates:
        if _holds(key, signed, _hash(data)):
            if not _holds(key, whole, signed + comment.encode()):
                raise IntegrityError(f"the comment of the signature by {key.id} was altered")
            return Verified(signer=key, trusted_comment=comment)
    raise IntegrityError(f"the signature by {_id_text(key_id)} does not hold: what it signs was altered")


def _parse_signature(text: bytes) -> tuple[bytes, bytes, str, bytes]:
    """Read key id, signature, trusted comment and the signature over both."""
    malformed = "the signature is not a minisign signature"
    if len(text) > _SIGNATURE_LIMIT:
        raise IntegrityError(f"{malformed}: it is too long")
    try:
        lines = text.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise IntegrityError(malformed) from error
    lines = [line.removesuffix("\r") for line in lines]
    if (
        len(lines) != _SIGNATURE_LINES
        or not lines[0].startswith(_UNTRUSTED)
        or not lines[2].startswith(_TRUSTED)
    ):
        raise IntegrityError(malformed)
    blob, whole = _unbase64(lines[1]), _unbase64(lines[3])
    if blob is None or len(blob) != _SIGNATURE_BYTES or whole is None or len(whole) != 64:  # noqa: PLR2004 - Ed25519
        raise IntegrityError(malformed)
    if blob[:2] != _PREHASHED:
        raise IntegrityError("the signature is of minisign's legacy kind, which is not accepted")
    return blob[2:10], blob[10:], lines[2].removeprefix(_TRUSTED), whole


def _holds(key: PublicKey, signature: bytes, data: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key.raw).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data).digest()


def _unbase64(text: str) -> bytes | None:
    """Read canonical base64; None for anything else."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode("ascii") == text else None


def _id_text(key_id: bytes) -> str:
    return key_id[::-1].hex().upper()
