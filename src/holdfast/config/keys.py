"""Tells which keys each section of the config has, for messages about those that it does not have."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from holdfast.config import model, notify
from holdfast.config.restore_test import CheckSettings, RestoreTestSettings
from holdfast.config.retention import RetentionSettings
from holdfast.config.stores import KINDS

_WITHIN: Mapping[str, type[BaseModel]] = {
    "hooks": model.HookSettings,
    "restore_test": RestoreTestSettings,
    "checks": CheckSettings,
}
_SECTIONS: Mapping[str, type[BaseModel]] = {
    "daemon": model.Daemon,
    "encryption": model.Encryption,
    "defaults": model.Defaults,
    "targets": model.TargetSettings,
}


def known_keys(place: tuple[str, ...]) -> tuple[str, ...]:
    """Give the keys that a section has; without a place, the sections. A store's and a channel's place ends in its type."""
    if not place:
        return (*_SECTIONS, "stores", "notify")
    if place[-1] == "retention":
        return tuple(RetentionSettings.model_fields)
    if kinds := {"stores": KINDS, "notify": notify.KINDS}.get(place[0]):
        return tuple(kinds[place[-1]].model_fields) if place[-1] in kinds else ()
    for name in ("checks", "restore_test", "hooks"):
        if name in place[-2:]:  # the items of a list are numbered
            return tuple(_WITHIN[name].model_fields)
    return tuple(_SECTIONS[place[0]].model_fields) if place[0] in _SECTIONS else ()
