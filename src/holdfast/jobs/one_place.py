"""Tells whether two stores are one and the same place under two names: then what lies there is one copy, not two."""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections.abc import Iterator, Sequence

from holdfast.jobs.checks.finding import Finding
from holdfast.jobs.services import Services
from holdfast.model import layout
from holdfast.model.errors import ConfigError, StoreError
from holdfast.model.target import Target
from holdfast.stores.base import RefusedError, Store, is_read_only

_HINT = (
    "Give one of them another path, bucket or prefix, or take it out of the target's `stores`: what lies there once"
    " is lost at once."
)


def refuse(one: Store, other: Store) -> None:
    """Raise ConfigError when the stores are the same place. It puts a probe into the one, and looks for it in the other."""
    if _same(one, other):
        raise ConfigError(_told(one, other), hint=_HINT)


def check(services: Services, targets: Sequence[Target]) -> Iterator[Finding]:
    """Find pairs of a target's stores that are the same place by a link, a mount or another name of the service."""
    pairs = {pair: None for target in targets for pair in itertools.combinations(target.stores, 2)}
    for names in pairs:
        one, other = (services.stores.get(name) for name in names)
        if one is not None and other is not None and not is_read_only(one):
            with contextlib.suppress(
                StoreError
            ):  # one that does not answer is told of by who checks the stores
                yield from _checked(one, other)


def _checked(one: Store, other: Store) -> Iterator[Finding]:
    subject = f"stores {one.name} and {other.name}"
    if _same(one, other):
        yield Finding(level="fail", subject=subject, message=_told(one, other), hint=_HINT)
    else:
        yield Finding(level="ok", subject=subject, message="are two places")


def _same(one: Store, other: Store) -> bool:
    key = f"{layout.PROBE_PREFIX}/{secrets.token_hex(8)}"
    one.put(key, [secrets.token_bytes(64)], absent=True)
    try:
        return other.stat(key) is not None
    finally:
        with contextlib.suppress(RefusedError):  # a mere writer's probe is removed by a check elsewhere
            one.delete(key)


def _told(one: Store, other: Store) -> str:
    return (
        f"the stores {one.name} ({one.location}) and {other.name} ({other.location}) are one and the same place:"
        " a copy there is none"
    )
