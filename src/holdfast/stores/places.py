"""Where in a bucket a store lies: its prefix, its name for people, and which of the keys there are ours."""

from __future__ import annotations

from urllib.parse import urlsplit

from holdfast.model.errors import ConfigError, StoreError
from holdfast.stores.base import check_key

_ANOTHER = "Does something else answer at this address, such as a proxy or a cache?"


def root_of(name: str, prefix: str) -> str:
    """Give what every key of the store `name` begins with: empty, or a path that ends in `/`."""
    inner = prefix.strip("/")
    try:
        return check_key(inner) + "/" if inner else ""
    except ValueError as error:
        raise ConfigError(
            f"store {name}: {inner!r} cannot be a prefix",
            hint="Use plain ASCII names separated by single slashes, such as backups/production.",
        ) from error


def our_key(where: str, root: str, path: str, name: str) -> str | None:
    """Give our key of an object that was listed by what begins with `path`; None where somebody else's lies there.

    Raise StoreError when it does not begin so: whoever removes what was listed would remove others' objects.
    """
    if not name.startswith(path):
        raise StoreError(
            f"{where}: lists {name} when it is asked for what begins with {path}",
            hint=_ANOTHER,
        )
    key = name.removeprefix(root)
    return key if is_key(key) else None


def turned(where: str, page: object, following: object) -> None:
    """Raise StoreError where the page after `page` is that page: a list without an end."""
    if following is not None and following == page:
        raise StoreError(f"{where}: lists the same page again and again", hint=_ANOTHER)


def location(name: str, place: str, endpoint_url: str | None) -> str:
    """Give the place for people, with the server's address where it is not the service's own."""
    place = place.rstrip("/")
    if endpoint_url is None:
        return place
    url = urlsplit(endpoint_url)
    if url.scheme not in ("http", "https") or not url.hostname or url.username or url.password:
        raise ConfigError(
            f"store {name}: endpoint_url is not an address that can be used",
            hint="Write it as https://host or http://host:port; credentials have their own keys.",
        )
    return f"{place} at {url.netloc}"


def is_key(key: str) -> bool:
    """Whether an object of the bucket may be one of ours."""
    try:
        check_key(key)
    except ValueError:
        return False
    return True
