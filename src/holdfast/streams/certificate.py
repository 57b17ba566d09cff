"""Reads what has to be known of a TLS certificate."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from holdfast.model.errors import KeyFileError


def expiry(path: Path) -> datetime:
    """When the first certificate of a PEM file expires. Raise KeyFileError where there is none."""
    from cryptography import x509  # noqa: PLC0415 - slow to import, and only those who speak TLS need it

    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except OSError as error:
        raise KeyFileError(f"cannot read the certificate {path}: {error.strerror}") from error
    except ValueError as error:
        raise KeyFileError(
            f"{path} holds no certificate", hint="Give a PEM file: the certificate, then those above it."
        ) from error
