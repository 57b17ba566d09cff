"""What Azure Blob Storage and its libraries answer, told as our errors with a hint, and which of it may pass.

The libraries are imported when first needed only: they are an extra.
"""

from __future__ import annotations

import functools
import re

from holdfast.model.errors import StoreError
from holdfast.stores import tls_hints
from holdfast.stores.base import RefusedError
from holdfast.stores.requests import seconds_of

MISSING = frozenset({"BlobNotFound", "404"})
TAKEN = frozenset({"BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet", "409", "412"})
CURRENT = frozenset({"OperationNotAllowedOnRootBlob"})
CHANGED = frozenset({"ConditionNotMet", "TargetConditionNotMet", "412"})
GONE = frozenset({"InvalidBlockList", "InvalidBlobOrBlock"})

_TRANSIENT_STATUS = frozenset({200, 201, 206, 408, 429, 500, 502, 503, 504})  # the first three: an odd body
_TRANSIENT_CODES = frozenset(
    {"Md5Mismatch", "Crc64Mismatch", "ContainerBeingDeleted", "PendingCopyOperation"}
)
_LASTING_CAUSES = frozenset({"SSLError", "SSLCertVerificationError", "ProxyError"})

_KEY = "Check `account_key` of this store: it does not belong to this account, or was renewed."
_SAS = "Check `sas_token` of this store: it has expired, is not yet valid, or does not allow this."
_ROLE = (
    "Give this login the role Storage Blob Data Contributor (Reader, to restore only) on the container"
    " (docs/how-to/azure.md names the least); a new role takes some minutes to work."
)
_CLOCK = "Set this machine's clock: it is more than 15 minutes away from Azure's."
_LOCKED = "The blob is locked until its time is over, or under a legal hold: that is what a lock is for."
_CODE_HINTS = {
    "ContainerNotFound": "There is no such container: check `account` and `container` of this store, or make it.",
    "ContainerBeingDeleted": "The container is just being deleted: check `container` of this store.",
    "InvalidResourceName": "Check `container` of this store: a bare name of lowercase letters, digits and dashes.",
    "AuthorizationPermissionMismatch": _ROLE,
    "AuthorizationFailure": "The account's firewall keeps this machine out, or the login lacks a role: look at"
    " Networking and Access control of the account.",
    "AuthorizationSourceIPMismatch": _SAS,
    "AuthorizationProtocolMismatch": _SAS,
    "AuthorizationResourceTypeMismatch": _SAS,
    "AuthorizationServiceMismatch": _SAS,
    "InsufficientAccountPermissions": _ROLE,
    "KeyBasedAuthenticationNotPermitted": "The account takes no keys: remove `account_key`, and give this machine an"
    " identity with a role.",
    "NoAuthenticationInformation": "Set `account_key` or `sas_token` of this store, or give this machine an identity.",
    "InvalidAuthenticationInfo": "Azure does not take this login: check the account, the tenant, and the clock.",
    "AccountIsDisabled": "The account is disabled: see to the subscription.",
    "PublicAccessNotPermitted": "Set `account_key` or `sas_token` of this store, or give this machine an identity.",
    "ServerBusy": "The service asks to go slower: try again later, or spread the schedules.",
    "BlobArchived": "The blob was moved to the archive tier: bring it back first, then try again.",
    "BlobImmutableDueToPolicy": _LOCKED,
    "BlobImmutableDueToLegalHold": _LOCKED,
    "ImmutabilityPolicyDeleteOnLockedPolicy": _LOCKED,
    "AccountQuotaExceeded": "The account is full: free some room, or keep fewer backups.",
    "SnapshotsPresent": "Somebody made snapshots of this blob: remove them first.",
    "InvalidBlobTier": "Check `access_tier` of this store: the account does not offer this one.",
    "FeatureVersionMismatch": "The server is too old for this library.",
}


@functools.cache
def foreign() -> tuple[type[Exception], ...]:
    """Give the classes of all that the libraries raise."""
    from azure.core.exceptions import AzureError  # noqa: PLC0415 - an extra

    return (AzureError, OSError)


def code_of(error: Exception) -> str:
    """Give the service's own code, else the HTTP status; empty when there was no answer."""
    code = getattr(error, "error_code", None)
    if code:
        return str(getattr(code, "value", code))
    status = _status(error)
    return "" if status is None else str(status)


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed when sent again."""
    status = _status(error)
    if status is not None:
        return status in _TRANSIENT_STATUS or code_of(error) in _TRANSIENT_CODES
    names = {cls.__name__ for one in _chain(error) for cls in type(one).__mro__}
    if names & _LASTING_CAUSES or "ClientAuthenticationError" in names:
        return False
    return isinstance(error, OSError) or bool(
        names & {"ServiceRequestError", "ServiceResponseError", "IncompleteReadError"} or "MD5" in str(error)
    )


def asked_pause(error: Exception) -> float:
    """How many seconds the service asked to be left alone for; 0 when it did not ask."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    return seconds_of(headers.get("Retry-After"))


def translate(error: Exception, what: str) -> StoreError:
    """Tell a foreign error as ours; `what` says where and what failed, as in `azblob://a/c: cannot write k`."""
    kind = StoreError if is_transient(error) else RefusedError
    code = code_of(error)
    text = _told(error)
    return kind(f"{what}: {f'{code}: ' if code else ''}{text}".rstrip(": "), hint=_hint(error, code))


def _hint(error: Exception, code: str) -> str | None:
    if code in ("AuthenticationFailed", "403", "401"):
        return _login_hint(error)
    if code:
        return _CODE_HINTS.get(code)
    causes = {cls.__name__ for one in _chain(error) for cls in type(one).__mro__}
    if "ClientAuthenticationError" in causes:
        return (
            "Set `account_key` or `sas_token` of this store, or give this machine an identity; Azure's own chain found"
            " no login that works."
        )
    if "SSLError" in causes or "CA certificate bundle" in str(error):
        return tls_hints.hint(str(error))
    if causes & {"ReadTimeoutError", "ServiceResponseTimeoutError", "ReadTimeout"}:
        return "The service took the request and did not answer: look at the network, and try again."
    return "Check `account` and `endpoint_url`, the name service, the route to it, and the firewall."


def _login_hint(error: Exception) -> str:
    text = str(error)
    if "date header too old" in text or "too old" in text:
        return _CLOCK
    if "Signature not valid in the specified" in text or "Signature did not match" in text or "sr is" in text:
        return _SAS
    return _KEY if "MAC signature" in text or "Server failed to authenticate" in text else _ROLE


def _told(error: Exception) -> str:
    """Give what was said, in its first line, without any signature of an address."""
    text = str(getattr(error, "message", None) or error).strip()
    text = text.splitlines()[0] if text else type(error).__name__
    text = re.sub(r"\?[^\s'\")]*", "", text)
    return " ".join(text.split())[:300].rstrip(".")


def _status(error: Exception) -> int | None:
    found = getattr(error, "status_code", None)
    return int(found) if isinstance(found, int) else None


def _chain(error: BaseException) -> list[BaseException]:
    """Give the error and those that led to it."""
    found: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in found:
        found.append(one)
        one = getattr(one, "inner_exception", None) or one.__cause__ or one.__context__
        reason = getattr(one, "reason", None)
        if isinstance(reason, BaseException):
            found.append(reason)
    return found
