"""Tells what to do about the usual complaints of pg_dump and pg_dumpall."""

from __future__ import annotations

from holdfast.postgres.errors import DAMAGED, SIGNS_OF_DAMAGE, STANDBY


def hint(stderr: str) -> str | None:
    """Give the hint for what pg_dump or pg_dumpall complained of, or None."""
    return next((text for sign, text in _HINTS if sign in stderr), None)


LARGE_OBJECTS = (
    "pg_read_all_data does not cover large objects: GRANT SELECT ON LARGE OBJECT to the backup role for each, or, as a"
    " superuser, ALTER ROLE … SET lo_compat_privileges = on for it."
)

ROLE_NAME = (
    "The name of a role is in the encoding of the database in which somebody made it, and no UTF-8, which PostgreSQL itself"
    " cannot dump: rename it in a session of that database (ALTER ROLE … RENAME TO …), or set globals = false, which leaves"
    " all roles out."
)

_HINTS = (
    ("FROM pg_authid WHERE rolname = ", ROLE_NAME),
    (
        "permission denied for large object",
        LARGE_OBJECTS,
    ),
    (
        "permission denied",
        (
            "Let the backup role read it (GRANT pg_read_all_data TO it), or leave it out with exclude_tables. Where a role is set"
            " for the database or for the backup role (ALTER … SET role), that one has to be able to."
        ),
    ),
    (
        "row-level security",
        "Give the backup role BYPASSRLS: a dump under row-level security would miss rows.",
    ),
    (
        "canceling statement due to statement timeout",  # how pg_dump waits for locks; it sets no other limit
        "Another session holds a lock on the table; back up at a quieter time or raise lock_wait_timeout.",
    ),
    ("conflict with recovery", STANDBY),
    (
        "max_locks_per_transaction",
        "A dump locks every table: raise max_locks_per_transaction on the server, and restart it.",
    ),
    (
        "invalid connection option",
        "The clients are older than this option: take it out of the url, or install newer ones.",
    ),
    (
        '" does not exist\npg_dump: detail: Query was: LOCK TABLE',
        "It was dropped or renamed while the dump began: try again.",
    ),
    ("just been dropped or renamed", "It was dropped or renamed since the backup began: try again."),
    ("server version mismatch", "Install the client programs of the server's own major version."),
    ("No space left on device", "The disk is full."),
    *((sign, DAMAGED) for sign in SIGNS_OF_DAMAGE),
    *(
        (
            sign,
            (
                "A row is more text than PostgreSQL gives out at once (1 GB), or it is damaged: look for it by pg_column_size;"
                " make it smaller, or leave the rows of its table out with exclude_table_data."
            ),
        )
        for sign in ("invalid memory alloc request size", "Cannot enlarge string buffer")
    ),
)
