"""What makes a target a Supabase project: the project, how its API is asked, and what is saved besides its database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

PROJECT_DATABASE = "postgres"
API_URL = "https://api.supabase.com"
Extra = Literal["triggers", "policies", "event_triggers", "migrations", "vault"]
EXTRAS: tuple[Extra, ...] = get_args(Extra)


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageAccess:
    """How the files of a project's buckets are reached, by S3. A `region` of None is asked for."""

    url: str
    region: str | None
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A Supabase project. `access_token` None means that its management API is not asked.

    `storage` None means that there are no keys for its files; with `storage_objects` they are saved.
    `extras` are what is saved beyond what the official dump holds: `triggers` and `policies` of one's own on the
    platform's tables, `event_triggers`, the history of `migrations`, and the encrypted rows of the `vault`.
    """

    ref: str
    access_token: str | None = field(default=None, repr=False)
    api_url: str = API_URL
    storage_objects: bool = False
    storage: StorageAccess | None = None
    config_snapshot: bool = False
    extras: frozenset[Extra] = frozenset(EXTRAS)
