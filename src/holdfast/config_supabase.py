"""The keys of a target that is a Supabase project, as a frozen pydantic model, and what they mean to the jobs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, SecretStr

from holdfast import config_values as values
from holdfast.model import schedule as schedules
from holdfast.model.planning import Timetable
from holdfast.model.supabase import API_URL, EXTRAS, Extra, Project

_REF = re.compile(r"[a-z]{20}")
_KEYS = ("project_ref", "access_token", "api_url", "storage_objects", "config_snapshot", "supabase_extras")
_JITTER = 1800  # seconds, so that many targets do not ask at once
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
    config_snapshot: bool = False
    supabase_extras: Annotated[
        tuple[Extra, ...], BeforeValidator(values.words), AfterValidator(values.filled)
    ] = EXTRAS


def project(keys: ProviderKeys) -> Project | None:
    """Give the Supabase project that the keys speak of; None where they speak of none."""
    if keys.provider is None or keys.project_ref is None:
        return None
    return Project(
        ref=keys.project_ref,
        access_token=values.secret_text(keys.access_token),
        api_url=keys.api_url.rstrip("/"),
        storage_objects=keys.storage_objects,
        config_snapshot=keys.config_snapshot,
        extras=frozenset(keys.supabase_extras),
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
