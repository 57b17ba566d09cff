"""What of a Supabase project's database is the platform's: schemas, tables and roles by their names.

The sets are those of the official dump (`supabase db dump`): what it leaves out, because the platform makes it anew in
every project, and whose rows it leaves out though it keeps others'.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

# Whose definitions are the platform's, or an extension's.
PLATFORM = (
    "information_schema",
    "pg_*",
    "_analytics",
    "_realtime",
    "_supavisor",
    "auth",
    "etl",
    "extensions",
    "pgbouncer",
    "realtime",
    "storage",
    "supabase_functions",
    "supabase_migrations",
    "cron",
    "dbdev",
    "graphql",
    "graphql_public",
    "net",
    "pgmq",
    "pgsodium",
    "pgsodium_masks",
    "pgtle",
    "repack",
    "tiger",
    "tiger_data",
    "timescaledb_*",
    "_timescaledb_*",
    "topology",
    "vault",
)
# Of these the rows are the project's own, though the definitions are the platform's.
WITH_ROWS = frozenset({"auth", "storage", "supabase_functions", "cron", "dbdev", "net", "pgmq"})
# The platform's notes of its own migrations, which every project has for itself.
OWN_NOTES = frozenset(
    {
        ("auth", "schema_migrations"),
        ("storage", "migrations"),
        ("supabase_functions", "migrations"),
    }
)
# Where somebody who owns a project may put triggers and policies of his own.
OPEN = frozenset({"auth", "storage", "realtime"})
MIGRATIONS, VAULT = "supabase_migrations", "vault"
_RESERVED = (
    "anon",
    "authenticated",
    "authenticator",
    "cli_login_*",
    "dashboard_user",
    "pgbouncer",
    "postgres",
    "service_role",
    "supabase_*",
    "pgsodium_keyholder",
    "pgsodium_keyiduser",
    "pgsodium_keymaker",
    "pgtle_admin",
)
# What may be set for the platform's own roles.
_SETTABLE = ("pgaudit.*", "pgrst.*", "session_replication_role", "statement_timeout", "track_io_timing")
# Roles that policies, grants and the API speak of, and that any server can have.
_CLIENTS = frozenset({"anon", "authenticated", "authenticator", "service_role", "postgres"})


def is_platform(schema: str | None) -> bool:
    """Whether the platform, or an extension, defines what is in a schema."""
    return schema is not None and any(fnmatchcase(schema, pattern) for pattern in PLATFORM)


def keeps_rows(schema: str, table: str) -> bool:
    """Whether the official dump holds a table's rows."""
    if (schema, table) in OWN_NOTES:
        return False
    return schema in WITH_ROWS or not is_platform(schema)


def is_reserved(role: str | None) -> bool:
    """Whether a role is the platform's own."""
    return role is not None and any(fnmatchcase(role, pattern) for pattern in _RESERVED)


def is_client(role: str) -> bool:
    """Whether it is one of the platform's roles that an application works with."""
    return role in _CLIENTS


def is_settable(setting: str) -> bool:
    """Whether a setting of one of the platform's roles is the project's own."""
    return any(fnmatchcase(setting.lower(), pattern) for pattern in _SETTABLE)
