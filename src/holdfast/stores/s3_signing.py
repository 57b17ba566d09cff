"""Signing what is uploaded by the SHA-256 that its header tells already, rather than hashing it once more."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from botocore.auth import AUTH_TYPE_MAPS, S3SigV4Auth

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest

    from holdfast.stores.s3_client import Client

_NAME = "holdfast-s3v4"
_INSTEAD_OF = frozenset({"v4", "s3v4"})
_TOLD = "x-amz-checksum-sha256"


def sign_as_told(client: Client) -> None:
    """Let the client sign its puts of objects and parts in this way, wherever it would sign with version 4.

    What is sent is the same, but that over TLS, too, the body is signed: there the library saves itself the hashing.
    """
    AUTH_TYPE_MAPS[_NAME] = _Signer
    for operation in ("PutObject", "UploadPart"):
        client.meta.events.register_first(f"choose-signer.s3.{operation}", _chosen)


def _chosen(signature_version: object, context: dict[str, Any], **_: object) -> str | None:
    usual = context.get("auth_type") or signature_version
    return _NAME if usual in _INSTEAD_OF else None


class _Signer(S3SigV4Auth):
    def payload(self, request: AWSRequest) -> str:
        told = request.headers.get(_TOLD)
        return super().payload(request) if told is None else base64.b64decode(told).hex()
