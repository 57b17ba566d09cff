"""What the commands about a hosting platform print as JSON, with nothing missing in it."""

from __future__ import annotations

from holdfast import render_supabase
from holdfast.model.platform import BackupSchedule, PlatformBackup, PlatformBackups
from support.model_values import NOW


def platform_samples() -> dict[str, object]:
    """Give the JSON of every `supabase` command."""
    made = PlatformBackup(id=1, at=NOW, status="COMPLETED", physical=True)
    backups = PlatformBackups(region="r", pitr=True, backups=(made,), window=(NOW, NOW))
    schedule = BackupSchedule(at=NOW.time(), updated_at=NOW)
    return {
        "supabase backups": render_supabase.backups_facts("shop", backups),
        "supabase schedule": render_supabase.schedule_facts("shop", schedule),
    }
