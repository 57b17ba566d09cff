"""What S3 and boto3 answer, told as our errors with a hint, and which of it may pass when tried again.

boto3 is imported when first needed only: it takes longer than `holdfast --help` may.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from holdfast.model.errors import StoreError
from holdfast.stores import tls_hints
from holdfast.stores.base import RefusedError
from holdfast.stores.requests import seconds_of

MISSING = frozenset({"404", "NoSuchKey", "NoSuchVersion", "NotFound"})
TAKEN = frozenset({"412", "PreconditionFailed"})
OUTSIDE = frozenset({"416", "InvalidRange"})
NO_UPLOAD = frozenset({"404", "NoSuchUpload"})
NOT_IMPLEMENTED = frozenset({"501", "NotImplemented"})

_TRANSIENT_CODES = frozenset(
    {
        *(
            "InternalError",
            "ServiceUnavailable",
            "SlowDown",
            "RequestTimeout",
            "OperationAborted",
            "BadDigest",
        ),
        *(
            "Throttling",
            "ThrottlingException",
            "RequestLimitExceeded",
            "TooManyRequestsException",
            "IncompleteBody",
        ),
        *("ConditionalRequestConflict", "PriorRequestNotComplete", "XAmzContentSHA256Mismatch"),
    }
)
_TRANSIENT_STATUS = frozenset({429, 500, 502, 503, 504})
_TRANSIENT_CLASSES = frozenset(
    {"ConnectionError", "HTTPClientError", "ResponseParserError", "IncompleteReadError"}
)
_LASTING_CLASSES = frozenset({"SSLError", "InvalidProxiesConfigError"})

_REGION = "Set `region` of this store to the bucket's own region{region}."
_FULL = "The store is full or its quota is used up: free some room, keep fewer backups, or raise the quota."
_KEYS = "The store does not know this access key, or it has expired: check the credentials and the endpoint."
_KMS = "Check `kms_key_id` of this store: the key must exist, be enabled, and lie in the bucket's region."
_REWRITTEN = (
    "Is there a proxy before the store that compresses or rewrites answers? Have it pass them as they are."
)
_CODE_HINTS = {
    "NoSuchBucket": "There is no such bucket at this endpoint: check `bucket` and `endpoint_url`, or make the bucket.",
    "InvalidBucketName": "Check `bucket` of this store: it is the bare name, without s3:// and without a path.",
    "RequestTimeTooSkewed": "Set this machine's clock: it is more than 15 minutes away from the store's.",
    "RequestExpired": "Set this machine's clock: it is more than 15 minutes away from the store's.",
    "InvalidAccessKeyId": _KEYS,
    "InvalidToken": _KEYS,
    "ExpiredToken": _KEYS,
    "InvalidClientTokenId": _KEYS,
    "SignatureDoesNotMatch": "The secret access key does not belong to the access key, or a proxy alters the requests.",
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
    "301": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "QuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
    "InsufficientCapacity": _FULL,
    "KMS.NotFoundException": _KMS,
    "KMS.DisabledException": _KMS,
    "KMS.KMSInvalidStateException": _KMS,
    "InvalidStorageClass": "Check `storage_class` of this store: the store does not offer this one.",
    "InvalidObjectState": "The object was moved to an archive tier: restore it there first, then try again.",
    "SlowDown": "The store asks to go slower: try again later, or spread the schedules.",
    "NotImplemented": 'The store lacks a feature that was asked for: try `checksum = "none"` and no `sse`.',
    "InvalidRequest": 'If the store refuses additional checksums, set `checksum = "none"`. Locks need a bucket that was'
    " made with Object Lock.",
    "ObjectLockConfigurationNotFoundError": "Make the bucket with Object Lock, or remove `object_lock` of this store.",
}
_CLASS_HINTS = {
    "NoCredentialsError": "Give this store a profile, a role or an access key, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    "PartialCredentialsError": "An access key needs its secret: set both.",
    "CredentialRetrievalError": "The program or service that gives out the credentials failed: run it by hand to see why.",
    "SSOError": "The sign-on has expired: run `aws sso login`, or use credentials that do not expire.",
    "ProfileNotFound": "Check `profile` of this store, and that this user can read ~/.aws/config.",
    "NoRegionError": "Set `region` of this store.",
    "ConnectTimeoutError": "Check `endpoint_url`, the route to it, and the firewall.",
    "EndpointConnectionError": "Check `endpoint_url` and `region` of this store, the name service, and that the store is up.",
    "ProxyConnectionError": "Check the proxy that HTTPS_PROXY or HTTP_PROXY names.",
    "ReadTimeoutError": "The store took the request and did not answer: look at its health, or raise `read_timeout`.",
    "ConnectionClosedError": "The server hung up: is it one that speaks TLS, and `endpoint_url` begins with http://?",
    "HTTPClientError": "The connection broke: look at the network between here and the store.",
    "ParamValidationError": "Check the settings of this store: boto3 refuses one of them.",
}
_PERMISSIONS = {
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject and s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "DeleteObject": "s3:DeleteObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjectVersions": "s3:ListBucketVersions",
    "PutObjectRetention": "s3:PutObjectRetention",
    "PutObjectLegalHold": "s3:PutObjectLegalHold",
    "AssumeRole": "sts:AssumeRole",
}
DENIED = frozenset({"403", "AccessDenied", "Forbidden", "AllAccessDisabled", "AccountProblem"})


@functools.cache
def foreign() -> tuple[type[Exception], ...]:
    """Give the classes of all that boto3 raises, and the reading of a body."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow to import
    from botocore.parsers import ResponseParserError  # noqa: PLC0415 - slow to import
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - slow to import

    return (BotoCoreError, ClientError, ResponseParserError, HTTPError, OSError)


def code_of(error: Exception) -> str:
    """Give the code that S3 answered with (to a HEAD: the HTTP status); empty when there was no answer."""
    return str(_answer(error).get("Error", {}).get("Code", ""))


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed when sent again."""
    if _answer(error):
        status = _answer(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code_of(error) in NOT_IMPLEMENTED:
            return False
        return code_of(error) in _TRANSIENT_CODES or status in _TRANSIENT_STATUS
    names = _class_names(error)
    return not names & _LASTING_CLASSES and bool(names & _TRANSIENT_CLASSES or isinstance(error, OSError))


def asked_pause(error: Exception) -> float:
    """How many seconds S3 asked to be left alone for; 0 when it did not ask."""
    headers = _answer(error).get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return seconds_of(headers.get("retry-after"))


def translate(error: Exception, what: str) -> StoreError:
    """Tell a foreign error as ours; `what` says where and what failed, as in `s3://b: cannot write k`."""
    kind = StoreError if is_transient(error) else RefusedError
    code = code_of(error)
    if not code:
        return kind(f"{what}: {_one_line(str(error))}", hint=_class_hint(error))
    text = str(_answer(error)["Error"].get("Message", ""))
    return kind(f"{what}: {code}: {_one_line(text)}".rstrip(": "), hint=_code_hint(error, code, text))


def told(answer: dict[str, Any], where: str, *names: str) -> tuple[Any, ...]:
    """Give what an answer has to say. Raise StoreError where something between here and the store took it out."""
    for name in names:
        if answer.get(name) is None:
            raise StoreError(f"{where}: the answer tells no {name}", hint=_REWRITTEN)
    return tuple(answer[name] for name in names)


def _code_hint(error: Exception, code: str, text: str) -> str | None:
    if code in DENIED:
        named = re.search(r"not authorized to perform:? ([a-z0-9]+:\w+)", text) or re.search(
            r"\b(kms:\w+)", text
        )
        operation = str(getattr(error, "operation_name", ""))
        missing = named[1] if named else _PERMISSIONS.get(operation, f"the right to {operation}")
        return (
            f"Give these credentials {missing} on this bucket (or key), and look for a policy that denies it."
        )
    hint = _CODE_HINTS.get(code)
    return hint.format(region=_region_of(error)) if hint == _REGION else hint


def _region_of(error: Exception) -> str:
    """Name the right region where the answer tells it."""
    answer = _answer(error)
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    found = answer.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region")
    return f": {found}" if found else ""


def _class_hint(error: Exception) -> str | None:
    if "SSLError" in _class_names(error):
        return tls_hints.hint(str(error))
    return next(
        (_CLASS_HINTS[cls.__name__] for cls in type(error).__mro__ if cls.__name__ in _CLASS_HINTS), None
    )


def _class_names(error: Exception) -> set[str]:
    return {cls.__name__ for cls in type(error).__mro__}


def _answer(error: Exception) -> dict[str, Any]:
    """Give what S3 answered, as boto3 parsed it."""
    found = getattr(error, "response", None)
    return found if isinstance(found, dict) else {}


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300].rstrip(".")
