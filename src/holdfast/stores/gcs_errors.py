"""What Google Cloud Storage and its library answer, told as our errors with a hint, and which of it may pass.

The library is imported when first needed only: it is an extra.
"""

from __future__ import annotations

import functools
import re

from holdfast.model.errors import StoreError
from holdfast.stores import tls_hints
from holdfast.stores.base import RefusedError
from holdfast.stores.requests import seconds_of

MISSING = frozenset({"404"})
TAKEN = frozenset({"412"})
GONE = frozenset({"404", "410"})  # of a resumable upload
NO_BUCKET = "no such bucket"

_TRANSIENT_STATUS = frozenset({"408", "429", "500", "502", "503", "504"})
_TRANSIENT_CLASSES = frozenset(
    {
        *("ConnectionError", "Timeout", "ChunkedEncodingError", "ContentDecodingError", "JSONDecodeError"),
        *("TransportError", "ProtocolError", "TimeoutError", "DataCorruption", "HTTPError"),
    }
)
_LASTING_CLASSES = frozenset({"SSLError", "ProxyError", "InvalidURL", "MissingSchema"})
_QUOTA = frozenset({"quotaExceeded", "dailyLimitExceeded", "uploadTooLarge"})
_LOCKED = frozenset({"retentionPolicyNotMet", "objectUnderActiveHold", "objectIsLocked"})

_BILLING = "The project's billing is closed or disabled: see to it in Google's console."
_CODE_HINTS = {
    NO_BUCKET: "There is no such bucket: check `bucket` of this store, or make the bucket.",
    "401": "Google does not take these credentials, or they have expired: check `credentials_file`, or log in again.",
    "412": "Somebody else writes to the same key: let only one host write there.",
    "429": "The service asks to go slower: try again later, or spread the schedules.",
}
_CLASS_HINTS = {
    "DefaultCredentialsError": "Set `credentials_file` of this store, or GOOGLE_APPLICATION_CREDENTIALS, or give the"
    " machine or pod a service account.",
    "ReauthFailError": "Log in again: `gcloud auth application-default login`.",
    "ProxyError": "Check the proxy that HTTPS_PROXY or HTTP_PROXY names.",
    "Timeout": "The service took the request and did not answer: look at the network, and try again.",
    "ConnectionError": "Check `endpoint_url`, the name service, the route to it, and the firewall.",
    "DataCorruption": "Bytes changed on their way: look for a broken proxy, network card or memory.",
}
_CLOCK = "Set this machine's clock: Google refuses logins from a clock that is more than a few minutes away from its own."
_KEY_GONE = "The key of the service account was deleted or replaced, or the account is gone: make a new key."
_ROLES = {
    "storage.objects.create": "roles/storage.objectCreator",
    "storage.objects.get": "roles/storage.objectViewer",
    "storage.objects.list": "roles/storage.objectViewer",
    "storage.objects.delete": "roles/storage.objectUser",
}


@functools.cache
def foreign() -> tuple[type[Exception], ...]:
    """Give the classes of all that the library raises."""
    from google.api_core.exceptions import GoogleAPIError  # noqa: PLC0415 - an extra
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 - an extra
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse  # noqa: PLC0415 - an extra
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - comes with it

    return (GoogleAPIError, GoogleAuthError, DataCorruption, InvalidResponse, HTTPError, OSError)


def code_of(error: Exception) -> str:
    """Give the HTTP status; NO_BUCKET when that is what is missing; empty when there was no answer."""
    code = getattr(error, "code", None)
    if code is None:
        code = getattr(getattr(error, "response", None), "status_code", None)
    if code is None:
        return ""
    number = str(int(code))
    return NO_BUCKET if number == "404" and "bucket does not exist" in _told(error) else number


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed when sent again."""
    if code := code_of(error):
        return code in _TRANSIENT_STATUS or (code == "403" and "rateLimitExceeded" in _reasons(error))
    names = _class_names(error)
    if getattr(error, "retryable", False):
        return True
    return not names & _LASTING_CLASSES and bool(names & _TRANSIENT_CLASSES or isinstance(error, OSError))


def asked_pause(error: Exception) -> float:
    """How many seconds the service asked to be left alone for; 0 when it did not ask."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    return seconds_of(headers.get("Retry-After"))


def translate(error: Exception, what: str) -> StoreError:
    """Tell a foreign error as ours; `what` says where and what failed, as in `gs://b: cannot write k`."""
    kind = StoreError if is_transient(error) else RefusedError
    code = code_of(error)
    text = _told(error)
    return kind(
        f"{what}: {code if code != NO_BUCKET else '404'} {text}".replace(":  ", ": "),
        hint=_hint(error, code, text),
    )


def _hint(error: Exception, code: str, text: str) -> str | None:
    known = _known(_reasons(error), text)
    if known is not None:
        return known
    if code == "403":
        return _denied(text)
    if code:
        return _CODE_HINTS.get(code)
    if "SSLError" in _class_names(error) or "CA certificate bundle" in str(error):
        return tls_hints.hint(str(error))
    return next((_CLASS_HINTS[c.__name__] for c in type(error).__mro__ if c.__name__ in _CLASS_HINTS), None)


def _known(reasons: set[str], text: str) -> str | None:
    if "invalid_grant" in text or "Invalid JWT" in text:
        return _CLOCK if "reasonable timeframe" in text or "iat" in text else _KEY_GONE
    if reasons & _QUOTA:
        return "A quota of the project is used up: raise it, or try again later."
    if reasons & _LOCKED or "retention" in text.lower() or "under active" in text.lower():
        return "The object is locked until its time is over, or under a hold: that is what a lock is for."
    if "accountDisabled" in reasons or "billing" in text.lower():
        return _BILLING
    return None


def _denied(text: str) -> str:
    named = re.search(r"\b(storage\.\w+\.\w+|cloudkms\.\S+)", text)
    if named is None:
        return "Give this account a role on this bucket (docs/how-to/gcs.md names the least), and look for a deny policy."
    role = _ROLES.get(named[1])
    return f"Give this account the permission {named[1]}{f' ({role})' if role else ''} on this bucket."


def _reasons(error: Exception) -> set[str]:
    """Give the reasons that the service names."""
    found = getattr(error, "errors", None) or ()
    return {str(one.get("reason")) for one in found if isinstance(one, dict)}


def _told(error: Exception) -> str:
    """Give what was said, in one line. No address of a request: that of a running upload is as good as a password."""
    named = [one.get("message") for one in getattr(error, "errors", None) or () if isinstance(one, dict)]
    text = str(named[0] if named and named[0] else getattr(error, "message", None) or error)
    text = re.sub(r"\b(?:GET|PUT|POST|DELETE|PATCH) https?://\S+ ", "", text)
    text = re.sub(r"(https?://[^\s?'\")]+|\burl: \S+?)\?\S*", r"\1", text)
    return " ".join(text.split())[:300].rstrip(".") or type(error).__name__


def _class_names(error: Exception) -> set[str]:
    return {cls.__name__ for cls in type(error).__mro__}
