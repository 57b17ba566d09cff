"""The settings of a project as its platform's API gave them: what the part `settings` of a backup holds."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime

from holdfast.model import codec
from holdfast.model.errors import IntegrityError

SETTINGS_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What one path of the API answered: `value` where that is JSON, else `body`; or the `error` why there is neither."""

    path: str
    status: int | None = None
    value: object = None
    content_type: str | None = None
    body: str | None = None
    error: str | None = None

    @property
    def data(self) -> bytes | None:
        """The bytes of a body. Raise ValueError where it is malformed."""
        return None if self.body is None else base64.b64decode(self.body, validate=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that was asked for."""

    settings_version: int
    provider: str
    project_ref: str
    at: datetime
    settings: tuple[Setting, ...]


def body_text(data: bytes) -> str:
    """Write the bytes of a body."""
    return base64.b64encode(data).decode("ascii")


def parse(data: bytes, *, where: str) -> Settings:
    """Read the part. Raise IntegrityError, naming `where`, when it is malformed or of a later version."""
    try:
        value = json.loads(data)
        version = value.get("settings_version") if isinstance(value, dict) else None
        if isinstance(version, int) and version > SETTINGS_VERSION:
            raise IntegrityError(
                f"{where}: version {version} is newer than this program knows ({SETTINGS_VERSION})",
                hint="Use the Holdfast release that wrote it, or a later one.",
            )
        found = codec.from_json(Settings, value, "settings")
        for each in found.settings:
            _ = each.data
    except (ValueError, RecursionError, binascii.Error) as error:
        raise IntegrityError(f"{where}: not the settings of a project: {error}") from error
    return found
