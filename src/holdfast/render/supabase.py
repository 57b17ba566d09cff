"""What people and programs read of a project on Supabase: its platform's own backups, their time, and what a restore would undo."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.jobs.supabase.platform_restore import Intent
from holdfast.jobs.supabase.storage_restore import Brought, Found
from holdfast.jobs.supabase.storage_save import Saved
from holdfast.model.codec import Json, to_json
from holdfast.model.platform import BackupSchedule, PlatformBackups
from holdfast.model.storage import Snapshot
from holdfast.render.printing import line, table
from holdfast.render.words import duration, many, size, when


def backups(found: PlatformBackups) -> None:
    """Print the platform's own backups, newest first, and the window of points in time."""
    if found.backups:
        table(
            ("ID", "TAKEN", "STATUS", "KIND"),
            (
                (
                    "" if each.id is None else str(each.id),
                    when(each.at),
                    each.status,
                    "physical" if each.physical else "logical",
                )
                for each in found.backups
            ),
        )
    else:
        line("no backups are listed")
    if found.window is not None:
        line(f"physical backups from {when(found.window[0])} to {when(found.window[1])}")
    if found.pitr_window is not None:
        line("any point in time within can be restored: `holdfast supabase restore-pitr`")
    else:
        line("point-in-time recovery is not enabled" if not found.pitr else "nothing to restore from yet")
    if any(each.physical for each in found.backups):
        line("physical backups cannot be downloaded, and end with the project")


def backups_facts(target: str, found: PlatformBackups) -> dict[str, Json]:
    """The platform's own backups, as JSON."""
    window = found.pitr_window
    return {
        "target": target,
        "region": found.region,
        "pitr": found.pitr,
        "pitr_window": None if window is None else {"start": to_json(window[0]), "end": to_json(window[1])},
        "last_success_at": to_json(found.last_success),
        "backups": [
            {"id": each.id, "at": to_json(each.at), "status": each.status, "physical": each.physical}
            for each in found.backups
        ],
    }


def schedule(found: BackupSchedule, *, changed: bool) -> None:
    """Print when the platform makes its daily backup."""
    since = f", since {when(found.updated_at)}" if found.updated_at is not None and not changed else ""
    line(f"the daily backup is made at {found.at:%H:%M} UTC{since}")
    if changed:
        line("that holds from the next window on; it can be changed three times in 24 hours")


def schedule_facts(target: str, found: BackupSchedule) -> dict[str, Json]:
    """When the platform makes its daily backup, as JSON."""
    return {"target": target, "at": f"{found.at:%H:%M:%S}", "updated_at": to_json(found.updated_at)}


def intent(found: Intent, target: str) -> None:
    """Print what a restore by the platform would undo."""
    project = found.project
    line(
        f"project   {project.name} ({project.ref}), {project.region}, PostgreSQL {project.server_version or 'unknown'}"
    )
    line(f"goes back to {when(found.at)}; the window is {when(found.window[0])} to {when(found.window[1])}")
    line(
        f"LOST is all that was written since: {duration(found.lost.total_seconds())}, in every schema, auth and"
    )
    line(
        "  storage's list of files among them. The files themselves, functions and settings stay as they are now"
    )
    line(
        "down is the project while it is restored. Subscriptions and replication slots of your own have to be dropped first"
    )
    if found.newest is None:
        line(
            f"Holdfast has no backup of target {target}: take one first, to have what is lost: `holdfast backup {target}`"
        )
    else:
        line(
            f"Holdfast's newest backup of target {target} is {found.newest[0]}, begun {when(found.newest[1])};"
            " take another to have what came after it"
        )


def snapshots(found: Sequence[Found]) -> None:
    """Print the snapshots of a project's files, newest first."""
    if not found:
        line("no snapshots of files; `holdfast supabase save-objects` takes one")
        return
    table(
        ("ID", "STORE", "TAKEN", "BUCKETS", "FILES", "SIZE", "STORED"),
        (
            (
                each.snapshot.id,
                each.shelf.store.name,
                when(each.snapshot.started_at),
                str(each.snapshot.buckets),
                f"{each.snapshot.files:,}",
                size(each.snapshot.size),
                size(each.snapshot.stored_size),
            )
            for each in found
        ),
        right=frozenset({"BUCKETS", "FILES", "SIZE", "STORED"}),
    )


def snapshot_facts(found: Found) -> dict[str, Json]:
    """A snapshot of a project's files in a store, as JSON."""
    return {**_snapshot(found.snapshot), "store": found.shelf.store.name}


def _snapshot(found: Snapshot) -> dict[str, Json]:
    return {
        "id": found.id,
        "target": found.target,
        "started_at": to_json(found.started_at),
        "finished_at": to_json(found.finished_at),
        "buckets": found.buckets,
        "files": found.files,
        "size": found.size,
        "stored_size": found.stored_size,
    }


def saved(done: Saved) -> None:
    """Print what a run over the files did."""
    found = done.snapshot
    line(
        f"saved {many(found.files, 'file')} in {many(found.buckets, 'bucket')}, {size(found.size)}: {found.id}"
    )
    line(f"  {many(done.new_files, 'file')} were new or had changed, {size(done.new_bytes)}")


def saved_facts(done: Saved) -> dict[str, Json]:
    """What a run over the files did, as JSON."""
    return {**_snapshot(done.snapshot), "new_files": done.new_files, "new_bytes": done.new_bytes}


def brought(done: Brought) -> None:
    """Print what was brought back."""
    line(
        f"restored {many(done.files, 'file')}, {size(done.bytes)}, of snapshot {done.snapshot.id} in store {done.store}"
    )
    if done.there:
        line(f"  {many(done.there, 'file')} were there already, the same")
    if done.made_buckets:
        line(f"  made {', '.join(done.made_buckets)}: see in the dashboard who may read them")


def brought_facts(done: Brought) -> dict[str, Json]:
    """What was brought back, as JSON."""
    return {
        "snapshot": done.snapshot.id,
        "target": done.snapshot.target,
        "store": done.store,
        "files": done.files,
        "bytes": done.bytes,
        "there": done.there,
        "made_buckets": to_json(done.made_buckets),
        "differ": to_json(done.differ),
        "damaged": to_json(done.damaged),
    }


def status(word: str) -> None:
    """Print what the project has become."""
    line(f"the project is {word}")


def silence(_: str) -> None:
    """Print nothing."""
