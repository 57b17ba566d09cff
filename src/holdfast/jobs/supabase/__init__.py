"""A Supabase project: what its platform says of itself, its settings, and the files that lie in its storage.

`platform` asks, `platform_settings` and `platform_restore` keep settings and bring them back, and `storage_save`, `storage_restore`,
`storage_scrub` and `storage_prune` do with its files what the other jobs do with backups: `storage_shelf` is where they lie.
"""
