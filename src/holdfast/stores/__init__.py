"""Places that keep objects. The contract is in `base`; each adapter (`local`, `s3`, `gcs`, `azure`) stands alone.

`locking` is the contract of what some services do besides: versions and locks. Wrappers are stores, too: `retrying`, `limited`,
`read_only`, `fenced` (asks before each change), `versioned` (looks past deletions). `bucket_files` is none: the files of others.
"""
