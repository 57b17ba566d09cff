"""Turns what psycopg raises into SourceError: what failed, on which thing, and what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass

import psycopg
from psycopg import errors

from holdfast.model.errors import SourceError


class PermanentSourceError(SourceError):
    """PostgreSQL refused something that only a change by the operator mends: a new attempt alone does not help."""

    retryable = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """A reason for a failed connection, known by libpq's or the server's text (no SQLSTATE reaches the client)."""

    text: re.Pattern[str]
    says: str
    hint: str
    retryable: bool = False


def _rule(text: str, says: str, hint: str, *, retryable: bool = False) -> _Rule:
    return _Rule(text=re.compile(text, re.IGNORECASE), says=says, hint=hint, retryable=retryable)


DAMAGED = (
    "The server's data is damaged: keep the backups that there are (holdfast pin), look at its disk and its log, and restore"
    " the last good one beside it. exclude_tables or exclude_table_data lets the rest be backed up meanwhile."
)
# What the server says then; an operating system's own error among it.
SIGNS_OF_DAMAGE = (
    "invalid page in block",
    "invalid page header",
    "could not read block",
    "unexpected chunk",
    "missing chunk number",
    " data is corrupt",
    "could not access status of transaction",
    'could not open file "base/',
    'could not read file "base/',
    "query to get data of sequence",
)
_CONNECTING = (
    _rule(
        "|".join(SIGNS_OF_DAMAGE),
        "the database's own catalogs cannot be read",
        DAMAGED,
    ),
    _rule(
        r"password authentication failed|no password supplied|authentication failed for user",
        "authentication failed",
        "Check the user and the password (password_file, PGPASSFILE); the server's log says more.",
    ),
    _rule(
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        "the server's pg_hba.conf lets no such connection in",
        "Add a line for this user, database, address and TLS mode to pg_hba.conf, and reload the server.",
    ),
    _rule(
        r"role \".*\" does not exist|role \".*\" is not permitted to log in",
        "there is no such role that may log in",
        "Create the role with LOGIN, or name another user in the url.",
    ),
    _rule(
        r"database \".*\" does not exist",
        "there is no such database",
        "Check the database's name in the config, case and all; for the lock name another: lock_database.",
    ),
    _rule(
        r"not currently accepting connections",
        "the database does not allow connections",
        "Exclude it, or set it to ALLOW_CONNECTIONS true.",
    ),
    _rule(
        r"conversion between \w+ and \w+ is not supported",
        "its encoding has nothing to do with UTF-8, in which it is read",
        "Name it in exclude_databases, and dump it by other means; or make it anew in an encoding of today.",
    ),
    _rule(
        r"permission denied for database",
        "the role may not connect to this database",
        "GRANT CONNECT ON DATABASE to the role, or exclude the database; for the lock name another: lock_database.",
    ),
    _rule(
        r"too many (clients|connections)|remaining connection slots|no more connections allowed",
        "the server has no connection left",
        "Free connections, or raise max_connections or the role's or database's connection limit.",
        retryable=True,
    ),
    _rule(
        r"is starting up|is shutting down|in recovery mode|not yet accepting connections",
        "the server is starting up, shutting down or recovering",
        "Wait until it accepts connections; on a standby see hot_standby.",
        retryable=True,
    ),
    _rule(
        r"could not (access|load) (file|library) \"",
        "a library that each session is to load is not there",
        "Look at session_preload_libraries and local_preload_libraries, of the server, the database and the role: install"
        " the package that the library is in, or reset the setting.",
    ),
    _rule(
        r"unsupported startup parameter",
        "the pooler before the server refuses a parameter",
        "Connect to the server itself, or add the parameter to the pooler's ignore_startup_parameters.",
    ),
    _rule(
        r"certificate|\bSSL\b|\bTLS\b|sslmode|sslrootcert",
        "the encrypted connection could not be made",
        "Check sslmode, sslrootcert and the server's certificate and host name.",
    ),
    _rule(
        r"could not translate host name|name or service not known|failed to resolve|nodename nor servname"
        r"|name resolution|no address associated",
        "the host name cannot be resolved",
        "Check the host in the url, and DNS on this machine.",
        retryable=True,
    ),
    _rule(
        r"timeout expired|timed out|connection timeout",
        "the server did not answer in time",
        "Check the address, firewalls, and that the server is up.",
        retryable=True,
    ),
    _rule(
        r"on socket .* failed: no such file or directory",
        "no server is there on this machine",
        "Start it, or name another machine in the URL: postgresql://user@host/database.",
        retryable=True,
    ),
    _rule(
        r"connection refused|no such file or directory|no route to host|network is unreachable"
        r"|server closed the connection|connection reset",
        "the server cannot be reached",
        "Check host and port, that the server is up, and that it listens there.",
        retryable=True,
    ),
)

# What Supabase's pooler says, and what common complaints mean there.
_OF_SUPABASE = (
    _rule(
        r"tenant or user not found|tenant/user .* not found",
        "the pooler knows no such user or project",
        "The user is postgres.REF, and the host is that of the project's region: copy both from Connect in the"
        " dashboard. A project that is paused is not known, either.",
    ),
    _rule(
        r"too many authentication|circuit ?breaker",
        "the platform has shut this address out for a while after wrong passwords",
        "Correct the password, then wait some minutes, or lift the ban in the dashboard (Database > Settings).",
    ),
    _rule(
        r"allow_list|address not allowed",
        "the project's network restrictions let no such address in",
        "Add this machine's address in the dashboard (Database > Settings > Network Restrictions).",
    ),
    _rule(
        r"max ?clients|EMAXCONN",
        "the session pooler has no connection left",
        "Raise its pool size in the dashboard, or use the direct address.",
        retryable=True,
    ),
    _rule(
        r"password authentication failed|authentication failed for user",
        "authentication failed",
        "It is the database's password, set in the dashboard (Database > Settings); a new one takes minutes to reach the"
        " pooler. Wrong ones again and again get the address shut out.",
    ),
    _rule(
        r"network is unreachable|cannot assign requested address|no address associated|name or service not known"
        r"|could not translate host name|failed to resolve|name resolution",
        "the direct address is to be had by IPv6 only, and this machine seems to have none",
        "Use the session pooler, which has IPv4: copy its address (port 5432) from Connect in the dashboard. Docker's own"
        " network has no IPv6.",
        retryable=True,
    ),
    _rule(
        r"connection refused|timeout expired|timed out",
        "the project does not answer",
        "It may be paused, or have shut this address out after wrong passwords: see the dashboard (Database > Settings).",
        retryable=True,
    ),
)
_POOLERS_OWN = 4  # nobody else says these
_DIRECT = re.compile(r"(?:^|\W)db\.[a-z]{20}\.supabase\.co\b")
_SUPABASE = re.compile(r"\.supabase\.(?:co|com)\b")


POOLER = "Connect to the server itself, or to the pooler's session mode."
STANDBY = (
    "The standby had to apply changes of the primary: set hot_standby_feedback = on there, raise"
    " max_standby_streaming_delay, or back up at a quieter time."
)


def connection_error(error: psycopg.Error, where: str) -> SourceError:
    """Say why no connection came about. `where` names host, port, database and user, without a secret."""
    text = _first_line(error)
    said = re.sub(r'"[^"]*"', '""', str(error))  # a host may be called tls.example
    for rule in (*_rules_of(where), *_CONNECTING):
        if rule.text.search(said):
            kind = SourceError if rule.retryable else PermanentSourceError
            return kind(f"cannot connect to {where}: {rule.says} ({text})", hint=rule.hint)
    return SourceError(f"cannot connect to {where}: {text}", hint="Try the same connection with psql.")


def _rules_of(where: str) -> tuple[_Rule, ...]:
    """The platform's rules where it is the platform's server; that of IPv6 for the direct address alone."""
    if not _SUPABASE.search(where):
        return _OF_SUPABASE[:_POOLERS_OWN]
    if _DIRECT.search(where):
        return _OF_SUPABASE
    return tuple(rule for rule in _OF_SUPABASE if "IPv6" not in rule.says)


def translate(error: psycopg.Error, what: str) -> SourceError:
    """Turn an error of a statement into ours. `what` says what was being done: "counting rows of app"."""
    message = f"{what}: {_first_line(error)}"
    hint = _hint(error, message)
    permanent = isinstance(error, errors.InsufficientPrivilege) or hint == POOLER
    return (PermanentSourceError if permanent else SourceError)(message, hint=hint)


def _hint(error: psycopg.Error, message: str) -> str | None:
    for said, hint in _SAID.items():
        if said in message:
            return hint
    for kinds, hint in _KINDS:
        if isinstance(error, kinds):
            return hint
    return _LOST if error.sqlstate is None else None


_SAID = {
    "pooling mode": POOLER,
    "conflict with recovery": STANDBY,
    "exceeds temp_file_limit": "Raise temp_file_limit, or work_mem, for the role or the database.",
}
_LOST = "The connection was lost; see the server's log."
_KINDS: tuple[tuple[tuple[type[psycopg.Error], ...], str], ...] = (
    (
        (errors.InsufficientPrivilege,),
        "Grant the role what it lacks (on 14 and later: GRANT pg_read_all_data), or leave it out.",
    ),
    ((errors.LockNotAvailable,), "Something holds a strong lock; try later, or raise lock_wait_timeout."),
    (
        (errors.OutOfMemory, errors.ConfigurationLimitExceeded),
        "Raise max_locks_per_transaction, or give the server more memory.",
    ),
    ((errors.AdminShutdown, errors.CrashShutdown), _LOST),
    ((errors.DataCorrupted, errors.IndexCorrupted, errors.IoError, errors.UndefinedFile), DAMAGED),
)


def _first_line(error: psycopg.Error) -> str:
    """Give the server's own words, on one line; libpq repeats itself for each address that it tried."""
    primary = error.diag.message_primary
    lines = [line.strip() for line in (primary or str(error)).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
