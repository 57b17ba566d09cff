"""Says what to do about what pg_restore or the server complains of: each sign with its advice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from holdfast.methods import extension_packages
from holdfast.model.errors import SourceError

_RIGHTS = (
    "Restore as a superuser, or as a role that may act for the owners; with --no-owner and --no-privileges everything"
    " belongs to the role that restores."
)
_LOCALE = (
    "Give the new server's machine that locale (Debian: dpkg-reconfigure locales), and restart the server; or make the"
    " database yourself, empty, with another, and restore into it."
)
_OLD_SERVER = "The server is older than what the archive was made for: restore into the major version of the backup, or a later one."
_LOST = "The server ended the connection: see its log for a crash, a restart or a lack of memory, then restore again."


def _sign(pattern: str, advice: str) -> tuple[re.Pattern[str], str]:
    return re.compile(pattern, re.MULTILINE), advice


# The first that fits; what a group caught is put into the advice.
_SIGNS = (
    _sign(
        r"(?P<library>[\w.-]+) (must be|can only be|has to be) loaded via [\"“]?shared_preload_libraries",
        "Add {library} to shared_preload_libraries of the new server, and restart it.",
    ),
    _sign(
        r"could not (access|load) (file|library) \"(?P<library>[^\"]+)\"",
        "The server lacks the library {library}: install the package of the extension that it belongs to.",
    ),
    _sign(
        r"role \"(?P<role>[^\"]+)\" does not exist",
        "Restore the roles first: --roles brings those of the backup; or create the role {role}, or leave owners and"
        " grants out with --no-owner and --no-privileges.",
    ),
    _sign(
        r"in encoding \"(?P<source>\w+)\" has no equivalent in encoding \"(?P<target>\w+)\"",
        "The database here is {target}, and the text needs {source}: restore into a new database (--as NEW_NAME), which"
        " gets the backup's encoding.",
    ),
    _sign(
        r"invalid byte sequence for encoding \"(?P<encoding>\w+)\"",
        "The database here is {encoding}, and the bytes are not: restore into a new database (--as NEW_NAME), which gets"
        " the backup's encoding.",
    ),
    _sign(
        r"set the (settings|properties) of .*(invalid value for parameter|unrecognized configuration parameter) \"(?P<setting>[^\"]+)\"",
        "This server or its machine lacks what {setting} is set to: a locale, a time zone, a module that is to be loaded"
        " (shared_preload_libraries), or the setting itself, which other majors may not have.",
    ),
    _sign(r"encoding \"?\w+\"? does not match locale|is incompatible with the (encoding|collation)", _LOCALE),
    _sign(
        r"collation version|has version mismatch|has no actual version",
        "The operating system's collations are of another version than the database was made with: rebuild its indexes"
        " (REINDEX), then run ALTER DATABASE … REFRESH COLLATION VERSION there.",
    ),
    _sign(
        r"invalid (LC_\w+ )?locale name|could not create locale|could not open collator|collation \"[^\"]+\" for"
        r" encoding \"\w+\" does not exist|ICU is not supported in this build",
        _LOCALE,
    ),
    _sign(
        r"requires the server to be built with (?P<what>[\w ]+) support",
        "The new server was built without {what}: restore into one that has it.",
    ),
    _sign(
        r"trigger \"(?P<trigger>[^\"]+)\" for table \"(?P<table>[^\"]+)\" does not exist",
        "The trigger {trigger} of {table}, a partition, was switched off or on by itself, and pg_dump wrote that by a name that"
        " no restore gives it. Restore --section pre-data and --section data; then `holdfast export --format archive` and, without"
        " --exit-on-error, pg_restore --section=post-data. In the original give it the state of its parent's (ALTER TABLE … ENABLE"
        " TRIGGER ALL): the next backup restores as usual.",
    ),
    _sign(
        r"deadlock detected",
        "Sessions stood in each other's way: restore when nobody else works in the database, and with --jobs 1.",
    ),
    _sign(
        r"DROP SUBSCRIPTION cannot run inside a transaction block",
        "A subscription with a slot cannot be replaced. Take it off its slot, which stays with the publisher: ALTER"
        " SUBSCRIPTION … DISABLE, then ALTER SUBSCRIPTION … SET (slot_name = NONE); or restore beside it (--as NEW_NAME).",
    ),
    _sign(
        r"No space left on device|could not extend file|Disk quota exceeded",
        "The new server's disk is full: free space there, or put the data on another with --tablespace-map.",
    ),
    _sign(
        r"max_locks_per_transaction|out of shared memory",
        "Raise max_locks_per_transaction on the new server and restart it, or restore with fewer jobs.",
    ),
    _sign(
        r"remaining connection slots|too many clients|too many connections",
        "The server has no connection left: restore with fewer --jobs, or raise its max_connections.",
    ),
    _sign(
        r"cannot execute [A-Z ]+ (in a read-only transaction|during recovery)|is in recovery mode",
        "The server is a standby or set to be read-only: restore into the primary.",
    ),
    _sign(
        r"canceling statement due to lock timeout",
        "Somebody else works in the database: end those sessions, or restore when it is quiet.",
    ),
    _sign(
        r"due to (statement|idle-in-transaction|idle-session|transaction) timeout",
        "A time limit of the server or of a pooler ended the restore: raise it for the role that restores.",
    ),
    _sign(
        r"unsupported startup parameter",
        "Restore into the server itself, or add options to the pooler's ignore_startup_parameters.",
    ),
    _sign(
        r"server closed the connection|terminating connection|no connection to the server|could not receive data"
        r"|SSL connection has been closed|Connection refused|the database system is",
        _LOST,
    ),
    _sign(
        r"unsupported version \([\d.]+\) in file header", "Install newer PostgreSQL clients on this machine."
    ),
    _sign(
        r"(?s)(function|relation|type|operator|table|column) .{1,200}? does not exist.*?CONTEXT:.*?function \"?"
        r"(?P<inside>[^\"\n]+?)\"?( during| line| statement|$)",
        "The function {inside} names things without their schema, and a restore runs with an empty search_path: qualify"
        " the names in it, or give it a SET search_path, in the original, and take another backup; or restore"
        " --section pre-data, mend the function, and restore --section data and --section post-data.",
    ),
    _sign(
        r"COPY failed for table .*ERROR:\s+(relation|function|operator|type|schema|text search \w+) .+ does not exist"
        r"\nCONTEXT:\s+COPY .+, line \d+, column",
        "The rows name something that is not there (a column of type regclass or the like): restore it as well, or all of"
        " the database.",
    ),
    _sign(
        r"cannot attach index .+ as a partition of index .+\nDETAIL:\s+The index definitions do not match",
        "PostgreSQL does not bring such a constraint of a partitioned table (EXCLUDE, WITHOUT OVERLAPS) back from a dump of"
        " its own. Restore --section pre-data and --section data; then `holdfast export --format archive`, and pg_restore"
        " --section=post-data of that, without --exit-on-error: all else of it comes back.",
    ),
    _sign(
        r"cannot drop .+ because other objects depend on it",
        "Something that the backup does not know needs what --clean replaces: drop it first, or restore beside it (--as"
        " NEW_NAME).",
    ),
    _sign(
        r"\" is not an? (\w+ )?(table|view|sequence|index|type|domain)$|cannot change (name|data type) of view column|cannot drop"
        r" columns from view",
        "What has that name now is of another kind or shape than in the backup: rename or drop it first, or restore beside"
        " it.",
    ),
    _sign(
        r"violates foreign key constraint|could not create unique index|violates check constraint",
        "The rows do not keep what the definitions promise: they did not in the original either (a damaged index, a"
        " constraint that looks at other rows). Restore --section pre-data and --section data, mend the rows, then"
        " --section post-data.",
    ),
    _sign(
        r"(relation|schema|type|function|constraint|trigger|index|extension|policy) .{1,200}? already exists"
        r"|multiple primary keys for table",
        "Something of that name is there: restore into an empty database, or replace what is there with --clean.",
    ),
    _sign(
        r"permission denied|must be (superuser|owner|member|able to SET ROLE)|only superuser|Must be superuser",
        _RIGHTS,
    ),
    _sign(
        r"Command was: REFRESH MATERIALIZED VIEW (?P<view>.+);",
        "The query of the materialised view {view} fails, as it would in the original by now. Restore --section pre-data and"
        " --section data, make the view anew so that it can be filled, then restore --section post-data.",
    ),
    _sign(
        r"at RAISE",
        "A trigger or event trigger of the database refused: disable it (ALTER EVENT TRIGGER … DISABLE) while you"
        " restore.",
    ),
    _sign(r"syntax error at or near|unrecognized (configuration )?parameter", _OLD_SERVER),
)
_EXTENSION = re.compile(
    r"extension \"(?P<a>[^\"]+)\" is not available|control file \"[^\"]*/(?P<b>[^/\"]+)\.control\""
)


def hint(text: str, version_num: int) -> str | None:
    """Find what to do about a complaint of a server of this version; None where nothing is known."""
    if missing := _EXTENSION.search(text):
        return install([missing["a"] or missing["b"]], version_num)
    for sign, advice in _SIGNS:
        if found := sign.search(text):
            return advice.format(**found.groupdict())
    return None


@contextmanager
def hinted(version_num: int) -> Iterator[None]:
    """Add what to do to an error of a server of this version."""
    try:
        yield
    except SourceError as error:
        error.hint = error.hint or hint(error.message, version_num)
        raise


def install(extensions: Iterable[str], version_num: int) -> str:
    """Say which packages bring these extensions to a server of this version."""
    names = list(extensions)
    packages = [extension_packages.package(name, version_num // 10_000) for name in names]
    apt, dnf = (" ".join(dict.fromkeys(pair[place] for pair in packages)) for place in (0, 1))
    guess = "" if all(map(extension_packages.is_known, names)) else "; a guess where we know none"
    return f"Install on the new server: {apt} (apt), {dnf} (dnf){guess}. Then restore again."
