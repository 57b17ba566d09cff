"""The keys of a target that is a Supabase project, as a frozen pydantic model, and what they mean to the jobs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr

from holdfast.config import values
from holdfast.model import schedule as schedules
from holdfast.model.planning import Timetable
from holdfast.model.supabase import API_URL, EXTRAS, Extra, Project, StorageAccess

_REF = re.compile(r"[a-z]{20}")
_KEYS = (
    "project_ref",
    "access_token",
    "api_url",
    "storage_objects",
    "storage_access_key_id",
    "storage_secret_access_key",
    "storage_url",
    "storage_region",
    "config_snapshot",
    "supabase_extras",
)
_JITTER = 1800  # seconds, so that many targets do not ask at once
_STORAGE_KEYS = ("storage_access_key_id", "storage_secret_access_key")
_NEED_TOKEN = ("config_snapshot",)


def _ref(text: str) -> str:
    if not _REF.fullmatch(text):
        raise ValueError(
            "20 small letters were expected, as in the project's address: https://supabase.com/dashboard/project/REF"
        )
    return text


class ProviderKeys(BaseModel):
    """What `[targets.NAME]` says of whose server it is."""

    provider: Literal["supabase"] | None = None
    project_ref: Annotated[str, AfterValidator(_ref)] | None = None
    access_token: SecretStr | None = None
    access_token_file: Path | None = None
    api_url: Annotated[str, AfterValidator(values.endpoint)] = API_URL
    storage_objects: bool = False
    storage_access_key_id: SecretStr | None = None
    storage_access_key_id_file: Path | None = None
    storage_secret_access_key: SecretStr | None = None
    storage_secret_access_key_file: Path | None = None
    storage_url: Annotated[str, AfterValidator(values.endpoint)] | None = None
    storage_region: Annotated[str, Field(min_length=1)] | None = None
    config_snapshot: bool = False
    supabase_extras: Annotated[
        tuple[Extra, ...], BeforeValidator(values.words), AfterValidator(values.filled)
    ] = EXTRAS

    def provider_secrets(self) -> tuple[SecretStr | None, ...]:
        """What is to be struck out of logs."""
        return self.access_token, self.storage_access_key_id, self.storage_secret_access_key


def project(keys: ProviderKeys) -> Project | None:
    """Give the Supabase project that the keys speak of; None where they speak of none."""
    if keys.provider is None or keys.project_ref is None:
        return None
    return Project(
        ref=keys.project_ref,
        access_token=values.secret_text(keys.access_token),
        api_url=keys.api_url.rstrip("/"),
        storage_objects=keys.storage_objects,
        storage=_storage(keys),
        config_snapshot=keys.config_snapshot,
        extras=frozenset(keys.supabase_extras),
    )


def _storage(keys: ProviderKeys) -> StorageAccess | None:
    access_key_id = values.secret_text(keys.storage_access_key_id)
    secret_access_key = values.secret_text(keys.storage_secret_access_key)
    if access_key_id is None or secret_access_key is None:
        return None
    return StorageAccess(
        url=keys.storage_url or f"https://{keys.project_ref}.storage.supabase.co/storage/v1/s3",
        region=keys.storage_region,
        access_key_id=access_key_id,
        secret_access_key=secret_access_key,
    )


def watching(project: Project | None) -> Timetable | None:
    """When the platform is asked about its own backups: every hour, where there is a token to ask with."""
    if project is None or project.access_token is None:
        return None
    return Timetable(schedule=schedules.parse("@hourly", jitter=_JITTER), catch_up=0, retry_delay=120)


def problems(keys: ProviderKeys) -> Iterator[tuple[str, str]]:
    """Find what cannot be meant: the key, and why."""
    if keys.provider is None:
        for key in _KEYS:
            if key in keys.model_fields_set:
                yield key, 'it goes with provider = "supabase", which is missing'
        return
    if keys.project_ref is None:
        yield "provider", "project_ref is missing beside it: the 20 letters of the project's address"
    for key in _NEED_TOKEN:
        if getattr(keys, key) and keys.access_token is None:
            yield key, "access_token is missing beside it: the settings come from the management API"
    given = [key for key in _STORAGE_KEYS if getattr(keys, key) is not None]
    if len(given) == 1 or (keys.storage_objects and not given):
        missing = next(key for key in _STORAGE_KEYS if key not in given)
        yield (
            given[0] if given else "storage_objects",
            f"{missing} is missing beside it: see Storage > S3 in the dashboard",
        )
    elif keys.storage_objects and keys.storage_region is None and keys.access_token is None:
        yield (
            "storage_objects",
            "storage_region or access_token is missing beside it: S3 wants to know the project's region",
        )
