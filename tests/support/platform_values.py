"""What the commands about a hosting platform print as JSON, with nothing missing in it."""

from __future__ import annotations

from holdfast.jobs.supabase.storage_restore import Brought, Found
from holdfast.jobs.supabase.storage_save import Saved
from holdfast.jobs.supabase.storage_shelf import Shelf
from holdfast.model.backup import Segment
from holdfast.model.platform import BackupSchedule, PlatformBackup, PlatformBackups
from holdfast.model.storage import Snapshot
from holdfast.render import supabase
from support.memory_store import MemoryStore
from support.model_values import NOW


def platform_samples() -> dict[str, object]:
    """Give the JSON of every `supabase` command."""
    made = PlatformBackup(id=1, at=NOW, status="COMPLETED", physical=True)
    backups = PlatformBackups(region="r", pitr=True, backups=(made,), window=(NOW, NOW))
    schedule = BackupSchedule(at=NOW.time(), updated_at=NOW)
    snapshot = Snapshot(
        snapshot_version=1,
        target="shop",
        id="20261122T020000Z-7f3a",
        started_at=NOW,
        finished_at=NOW,
        host="h",
        signer="RW",
        buckets=1,
        files=1,
        size=1,
        stored_size=1,
        recipients=(),
        list=Segment(name="l", size=1, sha256=""),
        index=Segment(name="i", size=1, sha256=""),
    )
    found = Found(snapshot=snapshot, shelf=Shelf(store=MemoryStore("a"), target="shop"))
    return {
        "supabase objects": [supabase.snapshot_facts(found)],
        "supabase save-objects": supabase.saved_facts(Saved(snapshot=snapshot, new_files=1, new_bytes=1)),
        "supabase restore-objects": supabase.brought_facts(Brought(snapshot=snapshot, store="a")),
        "supabase backups": supabase.backups_facts("shop", backups),
        "supabase schedule": supabase.schedule_facts("shop", schedule),
    }
