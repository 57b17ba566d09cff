"""Wraps a file key for a recipient, and unwraps it with an identity: the two asymmetric recipient types of age."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from holdfast.model.errors import IntegrityError, KeyFileError
from holdfast.streams.age_header import Stanza, to_base64, unbase64
from holdfast.streams.age_keys import Identity, Recipient, expand, no_post_quantum

FILE_KEY_BYTES = 16
_WRAPPED_BYTES = FILE_KEY_BYTES + 16
_SHARE_BYTES = {"X25519": 32, "mlkem768x25519": 1120}
_MLKEM_PUBLIC_BYTES = 1184
_X25519_INFO = b"age-encryption.org/v1/X25519"
_HYBRID_INFO = b"age-encryption.org/mlkem768x25519"
# Every wrap key is used once (age-encryption.org/v1, the X25519 recipient stanza).
_ZERO_NONCE = bytes(12)


def hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256, 32 bytes long."""
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key)


def wrap(file_key: bytes, recipient: Recipient) -> Stanza:
    """Wrap the file key. Raise KeyFileError for a recipient that is no usable key."""
    try:
        sealed = _seal_hybrid(file_key, recipient) if recipient.post_quantum else _seal(file_key, recipient)
    except ValueError as error:
        raise KeyFileError(f"the recipient {recipient.text[:40]}… is not a usable key: {error}") from error
    except UnsupportedAlgorithm as error:
        raise no_post_quantum() from error
    size = _SHARE_BYTES[recipient.kind]
    return Stanza(type=recipient.kind, args=(to_base64(sealed[:size]),), body=sealed[size:])


def unwrap(stanza: Stanza, identity: Identity) -> bytes | None:
    """Unwrap the file key; None when the stanza is for somebody else. Raise IntegrityError when it is malformed."""
    if stanza.type != identity.kind:
        return None
    if len(stanza.args) != 1:
        raise IntegrityError(f"the age file has a malformed {stanza.type} stanza")
    share = unbase64(stanza.args[0])
    # The length is checked before decrypting, against partitioning oracles (age-encryption.org/v1).
    if len(share) != _SHARE_BYTES[stanza.type] or len(stanza.body) != _WRAPPED_BYTES:
        raise IntegrityError(f"the age file has a {stanza.type} stanza of the wrong length")
    try:
        if stanza.type == "X25519":
            return _open(share, stanza.body, identity)
        return _open_hybrid(share + stanza.body, identity)
    except InvalidTag:
        return None
    except ValueError as error:
        raise IntegrityError(f"the age file has a {stanza.type} stanza with an unusable share") from error


def _seal(file_key: bytes, recipient: Recipient) -> bytes:
    secret = x25519.X25519PrivateKey.generate()
    share = secret.public_key().public_bytes_raw()
    shared = secret.exchange(x25519.X25519PublicKey.from_public_bytes(recipient.raw))
    key = hkdf(shared, share + recipient.raw, _X25519_INFO)
    return share + ChaCha20Poly1305(key).encrypt(_ZERO_NONCE, file_key, None)


def _open(share: bytes, body: bytes, identity: Identity) -> bytes:
    secret = x25519.X25519PrivateKey.from_private_bytes(identity.raw)
    # Raises ValueError when the shared secret is all zeros.
    shared = secret.exchange(x25519.X25519PublicKey.from_public_bytes(share))
    key = hkdf(shared, share + secret.public_key().public_bytes_raw(), _X25519_INFO)
    return ChaCha20Poly1305(key).decrypt(_ZERO_NONCE, body, None)


def _suite() -> hpke.Suite:
    return hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


def _seal_hybrid(file_key: bytes, recipient: Recipient) -> bytes:
    key = hpke.MLKEM768X25519PublicKey(
        mlkem.MLKEM768PublicKey.from_public_bytes(recipient.raw[:_MLKEM_PUBLIC_BYTES]),
        x25519.X25519PublicKey.from_public_bytes(recipient.raw[_MLKEM_PUBLIC_BYTES:]),
    )
    return _suite().encrypt(file_key, key, info=_HYBRID_INFO)


def _open_hybrid(sealed: bytes, identity: Identity) -> bytes:
    key = hpke.MLKEM768X25519PrivateKey(*expand(identity.raw))
    try:
        return _suite().decrypt(sealed, key, info=_HYBRID_INFO)
    except UnsupportedAlgorithm as error:
        raise no_post_quantum() from error
