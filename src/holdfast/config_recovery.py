"""Says how to name a store where there is no config: its URL, and the keys that `recover --set` needs besides."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.config_stores import StoreSettings

_IN_THE_URL = frozenset({"type", "url", "path", "bucket", "prefix"})
# What matters for writing only, and what belongs to the host that wrote.
_NOT_FOR_READING = frozenset(
    {"storage_class", "sse", "kms_key_id", "deadline", "profile", "role_arn", "ca_bundle"}
)
_SECRET = ("access_key_id", "secret_access_key", "session_token")


def by_hand(settings: StoreSettings) -> tuple[str, tuple[str, ...]]:
    """Give the URL of a store and its other keys as `KEY=VALUE`. Secrets are in neither."""
    secret = frozenset(name for key in _SECRET for name in (key, f"{key}_file"))
    keys = settings.model_dump(
        mode="json",
        exclude_none=True,
        exclude_defaults=True,
        exclude={*_IN_THE_URL, *_NOT_FOR_READING, *secret},
    )
    texts = {
        key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in keys.items()
    }
    return _url(settings), tuple(f"{key}={text}" for key, text in texts.items())


def _url(settings: StoreSettings) -> str:
    if settings.type == "local":
        return str(settings.path)
    return f"s3://{settings.bucket}/{settings.prefix}".rstrip("/")
