"""Opens the buckets of a target's project."""

from __future__ import annotations

from holdfast.jobs.supabase.platform import api_of
from holdfast.model.errors import ConfigError
from holdfast.model.target import Target
from holdfast.stores.bucket_files import BucketAccess, BucketFiles
from holdfast.system.stop import Stop


def bucket_files(target: Target, stop: Stop) -> BucketFiles:
    """Give the files of the project's buckets. Raise ConfigError where the target has no keys for them.

    A region that the config does not name is asked for.
    """
    storage = None if target.supabase is None else target.supabase.storage
    if storage is None:
        raise ConfigError(
            f"target {target.name} has no keys for the files of its project",
            hint="Make S3 access keys under Storage > S3 in the dashboard; set storage_access_key_id and storage_secret_access_key.",
        )
    return BucketFiles(
        BucketAccess(
            url=storage.url,
            region=storage.region or api_of(target, stop).standing().region,
            access_key_id=storage.access_key_id,
            secret_access_key=storage.secret_access_key,
        )
    )
