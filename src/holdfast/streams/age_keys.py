"""The keys of age: recipients (public), identities (secret), and the files that identities are kept in."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519

from holdfast.model.errors import KeyFileError
from holdfast.streams import bech32, private_file
from holdfast.streams.sign import PublicKey, parse_public_key

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["X25519", "mlkem768x25519"]  # also the type of its stanzas

_RECIPIENT: dict[Kind, str] = {"X25519": "age", "mlkem768x25519": "age1pq"}
_IDENTITY: dict[Kind, str] = {"X25519": "AGE-SECRET-KEY-", "mlkem768x25519": "AGE-SECRET-KEY-PQ-"}
_RECIPIENT_BYTES: dict[Kind, int] = {"X25519": 32, "mlkem768x25519": 1216}
_SECRET_BYTES = 32
_MLKEM_SEED_BYTES = 64
_SIGNER = "holdfast-signer:"
_SIGNING = "untrusted comment:"  # how minisign's files begin
_ENCRYPTED = ("age-encryption.org/", "-----BEGIN AGE ENCRYPTED FILE")

too_open = private_file.too_open


def fingerprint(recipient: str) -> str:
    """Enough of a digest of a recipient to tell two keys apart on paper."""
    return hashlib.sha256(recipient.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A public key that files are encrypted to. `raw` is its 32 (X25519) or 1216 (post-quantum) bytes."""

    kind: Kind
    raw: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """Its written form: `age1…` or `age1pq1…`."""
        return bech32.encode(_RECIPIENT[self.kind], self.raw)

    @property
    def post_quantum(self) -> bool:
        """Whether it withstands a quantum computer."""
        return self.kind == "mlkem768x25519"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A private key that opens files. `raw` is its 32 secret bytes, which no repr shows."""

    kind: Kind
    raw: bytes = field(repr=False)

    @property
    def recipient(self) -> Recipient:
        """The public key that belongs to it. Raise KeyFileError where the machine lacks the algorithm."""
        if self.kind == "X25519":
            return Recipient(kind=self.kind, raw=_x25519(self.raw).public_key().public_bytes_raw())
        kem, curve = expand(self.raw)
        raw = kem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
        return Recipient(kind=self.kind, raw=raw)

    def secret_text(self) -> str:
        """Its written form, `AGE-SECRET-KEY-1…`: a secret, for the identity file only."""
        return bech32.encode(_IDENTITY[self.kind].lower(), self.raw).upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """What an identity file holds: identities, and the public keys whose signatures are trusted."""

    identities: tuple[Identity, ...]
    signers: tuple[PublicKey, ...]


def generate(*, post_quantum: bool = False) -> Identity:
    """Make a new identity from the machine's random source."""
    kind: Kind = "mlkem768x25519" if post_quantum else "X25519"
    return Identity(kind=kind, raw=secrets.token_bytes(_SECRET_BYTES))


def parse_recipient(text: str) -> Recipient:
    """Read `age1…` or `age1pq1…`. Raise KeyFileError for anything else."""
    if text.upper().startswith("AGE-SECRET-KEY-"):
        # Not quoted: whoever sees the message would hold the key.
        raise KeyFileError(
            "a private key was given where a recipient belongs",
            hint="Take the public key that age-keygen -y prints; treat the private key as exposed.",
        )
    shown = text if len(text) <= 80 else text[:40] + "…"  # noqa: PLR2004 - a line on a terminal
    hint = "A recipient begins with age1 or age1pq1, as age-keygen prints it; ssh and plugin keys are not supported."
    try:
        prefix, raw = bech32.decode(text)
    except ValueError as error:
        raise KeyFileError(f"{shown!r} is not a recipient: {error}", hint=hint) from error
    for kind, expected in _RECIPIENT.items():
        if prefix == expected and len(raw) == _RECIPIENT_BYTES[kind]:
            return Recipient(kind=kind, raw=raw)
    raise KeyFileError(f"{shown!r} is not a recipient: it is of another kind or length", hint=hint)


def parse_identity(text: str) -> Identity:
    """Read `AGE-SECRET-KEY-1…` or `AGE-SECRET-KEY-PQ-1…`. Raise KeyFileError, which never shows the text."""
    hint = "An identity begins with AGE-SECRET-KEY-1 or AGE-SECRET-KEY-PQ-1, as age-keygen writes it."
    if text.startswith(tuple(f"{prefix}1" for prefix in _RECIPIENT.values())):
        raise KeyFileError("a recipient (a public key) was given where an identity belongs", hint=hint)
    try:
        prefix, raw = bech32.decode(text)
    except ValueError as error:
        raise KeyFileError(f"malformed identity: {error}", hint=hint) from error
    for kind, expected in _IDENTITY.items():
        if prefix == expected and len(raw) == _SECRET_BYTES:
            return Identity(kind=kind, raw=raw)
    raise KeyFileError("malformed identity: it is of another kind or length", hint=hint)


def expand(seed: bytes) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    """Derive the two halves of a post-quantum identity from its seed (draft-ietf-hpke-pq, MLKEM768-X25519)."""
    raw = hashlib.shake_256(seed).digest(_MLKEM_SEED_BYTES + _SECRET_BYTES)
    try:
        kem = mlkem.MLKEM768PrivateKey.from_seed_bytes(raw[:_MLKEM_SEED_BYTES])
    except UnsupportedAlgorithm as error:
        raise no_post_quantum() from error
    return kem, _x25519(raw[_MLKEM_SEED_BYTES:])


def no_post_quantum() -> KeyFileError:
    """Make the error for a machine whose OpenSSL cannot do ML-KEM."""
    return KeyFileError(
        "post-quantum keys (age1pq1…) do not work here: the cryptography package was built without ML-KEM",
        hint="Install cryptography from its own wheels, or use a classic recipient (age1…).",
    )


def _x25519(raw: bytes) -> x25519.X25519PrivateKey:
    return x25519.X25519PrivateKey.from_private_bytes(raw)


def read_identity_file(path: Path) -> KeyFile:
    """Read a file as age-keygen writes it, with any number of `# holdfast-signer: <minisign public key>` lines.

    Raise KeyFileError, naming file and line and never a secret, when it cannot be read, has a line that is none of
    these, or holds no identity.
    """
    text = private_file.read_text(path)
    if text.startswith(_ENCRYPTED):
        raise KeyFileError(
            f"{path} is itself encrypted with a passphrase",
            hint=f"Decrypt it first: age -d -o <new file> {path}",
        )
    if text.startswith(_SIGNING):
        raise KeyFileError(
            f"{path} is a key that signs: it opens no backup",
            hint="Name the identity file, the one that `holdfast keygen -o` wrote; it has a line AGE-SECRET-KEY-….",
        )
    identities: list[Identity] = []
    signers: list[PublicKey] = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            _take(line.strip(), identities, signers)
        except KeyFileError as error:
            raise KeyFileError(f"{path}, line {number}: {error.message}", hint=error.hint) from error
    if not identities:
        raise KeyFileError(
            f"{path} holds no identity", hint="It needs a line that begins with AGE-SECRET-KEY-."
        )
    return KeyFile(identities=tuple(identities), signers=tuple(signers))


def _take(line: str, identities: list[Identity], signers: list[PublicKey]) -> None:
    comment = line.removeprefix("#").strip()
    if not line.startswith("#"):
        if line:
            identities.append(parse_identity(line))
    elif comment.startswith(_SIGNER):
        signers.append(parse_public_key(comment.removeprefix(_SIGNER).strip()))


def write_identity_file(path: Path, identity: Identity, signer: PublicKey | None, now: datetime) -> None:
    """Write a new identity file as age-keygen does, with the signer to trust; only its owner may read it.

    Raise KeyFileError when the file exists or cannot be written.
    """
    lines = [
        f"# created: {now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        f"# public key: {identity.recipient.text}",
        *([f"# {_SIGNER} {signer.text}"] if signer else []),
        identity.secret_text(),
    ]
    private_file.write_new(path, "".join(f"{line}\n" for line in lines))
