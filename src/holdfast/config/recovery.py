"""Says how to name a store where there is no config: its URL, and the keys that `recover --set` needs besides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.config.sources import SECRETS

if TYPE_CHECKING:
    from holdfast.config.stores import StoreSettings

_IN_THE_URL = frozenset({"type", "url", "path", "bucket", "account", "container", "prefix"})
# What matters for writing only, and what belongs to the host that wrote.
_NOT_FOR_READING = frozenset(
    {
        *("storage_class", "sse", "kms_key_id", "kms_key_name", "access_tier", "deadline", "bandwidth_limit"),
        *(
            "read_only",
            "object_lock",
            "object_lock_first",
            "object_lock_max",
            "profile",
            "role_arn",
            "ca_bundle",
            "client_id",
            "project",
        ),
    }
)


def by_hand(settings: StoreSettings) -> tuple[str, tuple[str, ...]]:
    """Give the URL of a store and its other keys as `KEY=VALUE`. Secrets are in neither."""
    secret = frozenset(name for key in SECRETS["stores"] for name in (key, f"{key}_file"))
    keys = settings.model_dump(
        mode="json",
        exclude_none=True,
        exclude_defaults=True,
        exclude={*_IN_THE_URL, *_NOT_FOR_READING, *secret},
    )
    texts = {
        key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in keys.items()
    }
    return settings.short(), tuple(f"{key}={text}" for key, text in texts.items())
