"""What people and programs read of a project on Supabase: its platform's own backups, their time, and what a restore would undo."""

from __future__ import annotations

from holdfast.jobs.platform_restore import Intent
from holdfast.model.codec import Json, to_json
from holdfast.model.platform import BackupSchedule, PlatformBackups
from holdfast.render import line, table
from holdfast.words import duration, when


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


def status(word: str) -> None:
    """Print what the project has become."""
    line(f"the project is {word}")


def silence(_: str) -> None:
    """Print nothing."""
