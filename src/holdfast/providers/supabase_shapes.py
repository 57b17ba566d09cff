"""What the answers of Supabase's management API hold, by its published description (api.supabase.com/api/v1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import time
from typing import Literal, cast
from urllib.parse import unquote

from holdfast.model.platform import (
    BackupSchedule,
    PlatformBackup,
    PlatformBackups,
    PoolerAddress,
    Standing,
)
from holdfast.providers.shapes import Shape, ShapeError

_CONNECTION_USER = re.compile(r"postgres(?:ql)?://([^:@/?#]+)[:@]")
_MODES = ("session", "transaction")


def standing(answer: Shape) -> Standing:
    """Read GET /v1/projects/{ref}."""
    database = answer.at("database")
    return Standing(
        ref=_either(answer, "ref", "id").text(),
        name=answer.at("name").text(),
        region=answer.at("region").text(),
        status=answer.at("status").text(),
        host=_text(database.at("host")) if database.there else None,
        server_version=_text(database.at("version")) if database.there else None,
    )


def backups(answer: Shape) -> PlatformBackups:
    """Read GET …/database/backups. An empty list and a window without ends, or with none but zeros, are usual."""
    window = answer.at("physical_backup_data")
    ends: tuple[Shape, ...] = ()
    if window.there:
        ends = window.at("earliest_physical_backup_date_unix"), window.at("latest_physical_backup_date_unix")
    found = [_backup(each) for each in answer.at("backups").items()]
    return PlatformBackups(
        region=answer.at("region").text(),
        pitr=answer.at("pitr_enabled").truth(),
        backups=tuple(sorted(found, key=lambda each: each.at, reverse=True)),
        window=(ends[0].unix(), ends[1].unix()) if ends and all(end.value for end in ends) else None,
    )


def _backup(answer: Shape) -> PlatformBackup:
    number = answer.at("id")
    return PlatformBackup(
        id=number.whole() if number.there else None,
        at=answer.at("inserted_at").moment(),
        status=answer.at("status").text(),
        physical=answer.at("is_physical_backup").truth(),
    )


def schedule(answer: Shape) -> BackupSchedule:
    """Read GET and PATCH …/database/backups/schedule."""
    at, updated = answer.at("schedule_for"), answer.at("updated_at")
    try:
        found = time.fromisoformat(at.text())
    except ValueError as error:
        raise ShapeError(f"{at.where} is not a time of day") from error
    return BackupSchedule(
        at=found.replace(tzinfo=None), updated_at=updated.moment() if updated.there else None
    )


def poolers(answer: Shape) -> tuple[PoolerAddress, ...]:
    """Read GET …/config/database/pooler."""
    return tuple(_pooler(each) for each in answer.items())


def _pooler(answer: Shape) -> PoolerAddress:
    return PoolerAddress(
        host=answer.at("db_host").text(),
        port=answer.at("db_port").whole(),
        user=_pooler_user(answer),
        database=answer.at("db_name").text(),
        mode=cast("Literal['session', 'transaction']", _one_of(answer.at("pool_mode"), _MODES)),
        primary=answer.at("database_type").text() == "PRIMARY",
    )


def _pooler_user(answer: Shape) -> str:
    """Read the user out of the connection string, where the ref is always in it; its password is a placeholder."""
    found = _CONNECTION_USER.match(_text(answer.at("connection_string")) or "")
    return unquote(found[1]) if found else answer.at("db_user").text()


def addons(answer: Shape) -> tuple[str, ...]:
    """Read the variants of GET …/billing/addons, such as pitr_7 and ipv4_default."""
    chosen = answer.at("selected_addons").items()
    return tuple(each.at("variant").at("id").text() for each in chosen)


def read_only(answer: Shape) -> bool:
    """Read GET …/readonly."""
    return answer.at("enabled").truth()


def banned(answer: Shape) -> tuple[str, ...]:
    """Read POST …/network-bans/retrieve."""
    return tuple(each.text() for each in answer.at("banned_ipv4_addresses").items())


def function_slugs(answer: Shape) -> tuple[str, ...]:
    """Read the names of GET …/functions."""
    return tuple(each.at("slug").text() for each in answer.items())


def _either(answer: Shape, *names: str) -> Shape:
    return next((answer.at(name) for name in names if answer.at(name).there), answer.at(names[0]))


def _text(answer: Shape) -> str | None:
    return answer.text() if answer.there else None


def _one_of(answer: Shape, words: Sequence[str]) -> str:
    if answer.text() not in words:
        raise ShapeError(f"{answer.where} is neither of {', '.join(words)}")
    return answer.text()
