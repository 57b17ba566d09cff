"""Makes the targets that the jobs see from what the config says of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdfast.config import supabase as config_supabase
from holdfast.config.sources import plain_environment
from holdfast.config.values import secret_text
from holdfast.model.supabase import PROJECT_DATABASE
from holdfast.model.target import Compression, Hooks, Limits, Selection, Target, Whereabouts

if TYPE_CHECKING:
    from holdfast.config.model import Config, TargetSettings
    from holdfast.model.supabase import Project


def target(name: str, settings: TargetSettings, everywhere: tuple[str, ...], config: Config) -> Target:
    """Give the target; `everywhere` are the stores of one that names none."""
    timezone = config.daemon.timezone
    project = config_supabase.project(settings)
    return Target(
        name=name,
        stores=everywhere if settings.stores is None else settings.stores,
        require_copies=settings.require_copies,
        places={
            store: Whereabouts(off_site=keys.lies_elsewhere, lock=keys.locked_as)
            for store, keys in config.stores.items()
        },
        url=secret_text(settings.url),
        password=secret_text(settings.password),
        databases=_databases(settings, project),
        exclude_databases=settings.exclude_databases,
        selection=Selection(
            include_schemas=settings.include_schemas,
            exclude_schemas=settings.exclude_schemas,
            include_tables=settings.include_tables,
            exclude_tables=settings.exclude_tables,
            exclude_table_data=settings.exclude_table_data,
        ),
        globals=settings.globals,
        supabase=project,
        options=settings.pg_dump_options,
        lock_wait_timeout=settings.lock_wait_timeout,
        blocking_limit=settings.blocking_limit,
        compression=Compression(
            kind=settings.compression,
            level=settings.compression_level,
            threads=settings.compression_threads,
        ),
        fingerprint=settings.fingerprint,
        lock_database=settings.lock_database,
        limits=Limits(timeout=settings.timeout, stall=settings.stall_limit),
        hooks=Hooks(
            before_backup=settings.hooks.before_backup,
            after_backup=settings.hooks.after_backup,
            on_failure=settings.hooks.on_failure,
            stop_services=settings.hooks.stop_services,
            resume_services=settings.hooks.resume_services,
            timeout=settings.hooks.timeout,
            env=plain_environment(os.environ),
        ),
        backup=settings.backup_timetable(timezone),
        verify=settings.verify_timetable(timezone),
        verify_latest=bool(settings.verify_schedule),
        scrub_every=settings.scrub_every,
        scrub=settings.scrub,
        copy=settings.punctual(_copying(settings, everywhere), timezone),
        provider=config_supabase.watching(project),
        objects=settings.backup_timetable(timezone) if settings.storage_objects else None,
        restore_test=settings.restore_test.plan(
            settings.timetable(settings.restore_test.schedule, timezone), source_url=secret_text(settings.url)
        ),
        prune=settings.prune_timetable(timezone),
        canary=settings.canary_timetable(timezone, here=config.encryption.identity_file is not None),
        retention=settings.rules_in(None, timezone),
        retention_in={
            name: settings.rules_in(store.retention, timezone)
            for name, store in config.stores.items()
            if store.retention is not None
        },
    )


def _databases(settings: TargetSettings, project: Project | None) -> tuple[str, ...] | None:
    """A project's own database is the one; what else may lie on its server is the platform's."""
    if project is not None and "databases" not in settings.model_fields_set:
        return (PROJECT_DATABASE,)
    return settings.databases


def _copying(settings: TargetSettings, everywhere: tuple[str, ...]) -> str | None:
    """When copies are brought to the other stores: every hour, unless something else is said or there are none."""
    stores = everywhere if settings.stores is None else settings.stores
    said = settings.copy_schedule
    return None if len(stores) < 2 else "@hourly" if said is None else said  # noqa: PLR2004 - one to copy from
