"""A home for a config in a test: a file, an environment of its own, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast.config.loading import load
from holdfast.model.errors import ConfigError
from holdfast.model.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.config.loading import Config

RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
BASE = f"""
[encryption]
recipients = ["{RECIPIENT}"]
[stores.disk]
type = "local"
path = "backups"
[targets.shop]
url = "postgresql://app@db/shop"
"""
CONTAINER = {"HOLDFAST_URL": "postgresql://db/app", "HOLDFAST_STORE": "/b", "HOLDFAST_RECIPIENT": RECIPIENT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A directory with a config file in it."""

    folder: Path

    @property
    def file(self) -> Path:
        """The config file."""
        return self.folder / "holdfast.toml"

    def load(self, text: str, *, overrides: Mapping[str, object] | None = None, **environ: str) -> Config:
        """Load `text` as the config file, with these variables only."""
        self.file.write_text(text)
        return load(self.file, environ=environ, overrides=overrides)

    def refused(self, text: str, **environ: str) -> ConfigError:
        """Load `text`, which has to fail; give the error."""
        with pytest.raises(ConfigError) as caught:
            self.load(text, overrides=None, **environ)
        return caught.value


def schedule_of(target: Target) -> str | None:
    """Give the text of the rule by which a target is backed up."""
    return target.backup.schedule.text if target.backup is not None else None
