"""Keeps the settings of a project with its backup, as the platform's API gives them, and gets them out again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from holdfast.jobs.reading import Opened, read_plain
from holdfast.jobs.services import Services
from holdfast.jobs.supabase.platform import api_of
from holdfast.methods.base import Source
from holdfast.model import codec, layout
from holdfast.model.errors import NotFoundError, ProviderError, StoreError, UsageError
from holdfast.model.settings import SETTINGS_VERSION, Setting, Settings, body_text, parse
from holdfast.model.target import Target
from holdfast.providers.exchange import Answer
from holdfast.providers.supabase_api import SupabaseApi
from holdfast.system.stop import Stop

# Relative to /v1/projects/{ref}. The root key of the vault is not among them: with it the vault's rows open.
PATHS = (
    "",
    "/config/auth",
    "/config/auth/sso/providers",
    "/config/auth/third-party-auth",
    "/postgrest",
    "/config/storage",
    "/storage/buckets",
    "/config/realtime",
    "/config/database/postgres",
    "/config/database/pooler",
    "/network-restrictions",
    "/ssl-enforcement",
    "/custom-hostname",
    "/billing/addons",
    "/database/backups/schedule",
    "/secrets",
    "/functions",
)
_PATIENCE = 60.0
_USUAL = frozenset({402, 403, 404})  # the plan, the token's scopes, or there is none


def sources(services: Services, target: Target, stop: Stop) -> Iterator[Source]:
    """Give the part with the settings, if the target wants one. That the API fails is noted in it, and fails no backup."""
    if target.supabase is None or not target.supabase.config_snapshot:
        return
    if not services.keys.recipients:
        services.reporter.warn(
            "the project's settings hold secrets, and are not saved in a backup that is not encrypted",
            target=target.name,
        )
        return
    api = replace(api_of(target, stop), patience=_PATIENCE)
    yield Source(role="settings", format="json", stem="settings", chunks=_document(services, target, api))


def _document(services: Services, target: Target, api: SupabaseApi) -> Iterator[bytes]:
    head = Settings(
        settings_version=SETTINGS_VERSION,
        provider="supabase",
        project_ref=api.ref,
        at=services.clock.now(),
        settings=(),
    )
    opening = json.dumps(codec.to_json(head)).removesuffix("]}")
    yield opening.encode()
    for number, setting in enumerate(_Asking(services, target, api).all()):
        yield (b",\n" if number else b"\n") + json.dumps(codec.to_json(setting)).encode()
    yield b"\n]}\n"


@dataclass(slots=True)
class _Asking:
    """Asks path by path; once the API cannot be reached, not for the rest."""

    services: Services
    target: Target
    api: SupabaseApi
    away: str | None = None

    def all(self) -> Iterator[Setting]:
        for path in PATHS:
            yield self._ask(path)
        try:
            slugs = self.api.function_slugs() if self.away is None else ()
        except ProviderError:  # the path itself has told
            slugs = ()
        for slug in slugs:
            yield self._ask(f"/functions/{quote(slug, safe='')}/body")

    def _ask(self, path: str) -> Setting:
        if self.away is not None:
            return Setting(path=path, error=f"not asked: {self.away}")
        try:
            return _setting(path, self.api.read(path))
        except ProviderError as error:
            if error.status not in _USUAL:
                self.services.reporter.warn(
                    "a setting of the project was not saved",
                    target=self.target.name,
                    path=path,
                    error=error.message,
                )
            if error.status is None:
                self.away = error.message
            return Setting(path=path, status=error.status, error=error.message)


def _setting(path: str, answer: Answer) -> Setting:
    kind = answer.headers.get_content_type()
    try:
        value = json.loads(answer.body) if kind == "application/json" else None
    except (ValueError, RecursionError):
        value = None
    if value is None:
        return Setting(path=path, status=answer.status, content_type=kind, body=body_text(answer.body))
    if path == "/secrets" and isinstance(value, list):  # their names only
        value = [{name: each[name] for name in ("name", "updated_at") if name in each} for each in value]
    return Setting(path=path, status=answer.status, value=value)


def read(services: Services, opened: Opened) -> Settings:
    """The settings in a backup. Raise NotFoundError where it has none, KeyFileError without the identity."""
    part = opened.backup.part("settings")
    if part is None:
        raise NotFoundError(
            f"backup {opened.backup.id} holds no settings of a project",
            hint="They are saved where the target has config_snapshot = true.",
        )
    data = read_plain(opened.place, part, services.keys)
    return parse(data, where=f"{opened.place.store.location}: {opened.place.key(part.name)}")


def without_bodies(found: Settings) -> Settings:
    """The same, with the size of each body in its place."""
    told = (
        each if each.data is None else replace(each, body=None, value={"bytes": len(each.data)})
        for each in found.settings
    )
    return replace(found, settings=tuple(told))


def write(found: Settings, folder: Path) -> list[Path]:
    """Write the settings into a new directory that only its owner may read: one file, and one for each body."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError as error:
        raise UsageError(f"{folder} exists", hint="Nothing is overwritten: choose another name.") from error
    except OSError as error:
        raise UsageError(f"cannot make {folder}: {error.strerror}") from error
    try:
        return list(_written(found, folder))
    except OSError as error:
        raise StoreError(
            f"cannot write into {folder}: {error.strerror or error}", hint="Is there room?"
        ) from error


def _written(found: Settings, folder: Path) -> Iterator[Path]:
    path = folder / "settings.json"
    path.write_text(json.dumps(codec.to_json(without_bodies(found)), indent=2) + "\n")
    yield path
    for each in found.settings:
        if (data := each.data) is not None:
            path = (
                folder / f"{layout.encode(each.path.strip('/').removesuffix('/body').replace('/', '_'))}.body"
            )
            path.write_bytes(data)
            yield path
