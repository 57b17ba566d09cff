"""Checks what a target needs of its platform besides the server: the access token, and the keys for its files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from holdfast.jobs.checks.finding import Finding
from holdfast.jobs.supabase.platform import api_of
from holdfast.jobs.supabase.storage_access import bucket_files
from holdfast.model.platform import HEALTHY
from holdfast.model.target import Target
from holdfast.system.stop import Stop

_PATIENCE = 10.0
_FULL = "The disk is full, or a person did that: see Database > Settings in the dashboard. Backups work all the same."


def check_platform(target: Target, stop: Stop) -> Iterator[Finding]:
    """Ask for the project and for its buckets. Raise what goes wrong."""
    project, subject = target.supabase, f"target {target.name}, platform"
    if project is None:
        return
    if project.access_token is not None:
        api = replace(api_of(target, stop), patience=_PATIENCE)
        found = api.standing()
        healthy = found.status == HEALTHY
        yield Finding(
            level="ok" if healthy else "warn",
            subject=subject,
            message=f"project {found.name} ({found.ref}) is {found.status}",
            hint=None if healthy else "See the dashboard.",
        )
        if api.read_only():
            yield Finding(level="warn", subject=subject, message="the database is read-only", hint=_FULL)
    if project.storage is not None:
        buckets = bucket_files(target, stop).buckets()
        yield Finding(level="ok", subject=subject, message=f"the files can be read: {len(buckets)} buckets")
