"""The options of pg_dump that a target may add: an allow-list, and why the others would break a promise."""

from __future__ import annotations

import re

from holdfast.config.values import nearest

_FLAGS = frozenset(
    {
        "--blobs",
        "--large-objects",
        "--load-via-partition-root",
        "--no-comments",
        "--no-publications",
        "--no-security-labels",
        "--no-statistics",
        "--no-subscriptions",
        "--no-sync",
        "--no-table-access-method",
        "--no-tablespaces",
        "--no-toast-compression",
        "--no-unlogged-table-data",
        "--quote-all-identifiers",
        "--statistics",
        "--strict-names",
    }
)
_WITH_VALUE = frozenset({"--encoding", "--include-foreign-data", "--role"})
ALLOWED = _FLAGS | _WITH_VALUE
_COMPRESS = re.compile(r"(?:-Z|--compress=)[a-z0-9][a-z0-9:=,-]*")

_PLACE = "Holdfast reads the dump from pg_dump's output as it comes"
_LOGIN = "the server and the login stand in the target's url and password"
_OWN_KEY = "so that the coverage report knows it, use the key {}"
_INCOMPLETE = "the backup would lack {}, and a restore would not give back what was there"
_INSERTS = "rows as INSERT commands restore many times slower, and cannot be compared with the server's"
_PLAIN = "it matters for plain SQL only: give it when you export or restore"
_NO_DUMP = "it prints no dump"
_SCHEMAS = _OWN_KEY.format("include_schemas or exclude_schemas")
_TABLES = _OWN_KEY.format("include_tables or exclude_tables")
_DATA = _OWN_KEY.format("exclude_table_data")
_ROWS = _INCOMPLETE.format("the rows")
_DEFINITIONS = _INCOMPLETE.format("the definitions")
_LARGE_OBJECTS = _INCOMPLETE.format("the large objects")

_REFUSED = {
    "-f --file": _PLACE,
    "-F --format": "only the custom format has the table of contents by which a backup is checked",
    "-j --jobs": "several jobs write a directory, and a backup is one stream",
    "--snapshot": "Holdfast gives the snapshot in which it read the catalog",
    "--serializable-deferrable": "it cannot be combined with the snapshot in which Holdfast reads the catalog",
    "-d --dbname -h --host -p --port -U --username -w --no-password -W --password": _LOGIN,
    "--lock-wait-timeout": "use the key lock_wait_timeout",
    "-n --schema -N --exclude-schema": _SCHEMAS,
    "-t --table -T --exclude-table --table-and-children --exclude-table-and-children --filter": _TABLES,
    "--exclude-table-data --exclude-table-data-and-children": _DATA,
    "-e --extension --exclude-extension": _INCOMPLETE.format("extensions"),
    "-a --data-only --no-schema": _DEFINITIONS,
    "-s --schema-only --no-data --statistics-only": _ROWS,
    "--section": _INCOMPLETE.format("the other sections"),
    "-B --no-blobs --no-large-objects": _LARGE_OBJECTS,
    "-x --no-privileges --no-acl": _INCOMPLETE.format("the grants"),
    "--no-policies": _INCOMPLETE.format("the row-level security policies"),
    "--enable-row-security": "rows that a policy hides would be missing without a word",
    "--extra-float-digits": "floating-point numbers could lose digits",
    "--inserts --column-inserts --attribute-inserts --rows-per-insert --on-conflict-do-nothing": _INSERTS,
    "-c --clean --if-exists -C --create -O --no-owner -S --superuser --disable-triggers": _PLAIN,
    "--disable-dollar-quoting --use-set-session-authorization --restrict-key": _PLAIN,
    "--binary-upgrade": "it is for pg_upgrade: such a dump cannot be restored by itself",
    "-v --verbose": "its chatter would hide the warnings",
    "-V --version -? --help": _NO_DUMP,
    "-b": "write --blobs",
    "-E": "write --encoding=NAME",
}
_REASONS = {option: reason for options, reason in _REFUSED.items() for option in options.split(" ")}


def problem(option: str, compression: str) -> str | None:
    """Tell why a target with this `compression` cannot have the option; None when it can.

    An option with a value is one text: `--role=backup`.
    """
    name, equals, value = option.partition("=")
    if not name.startswith("--"):
        name = name[:2]
    if name in _FLAGS:
        return f"{name} takes no value" if equals else None
    if name in _WITH_VALUE:
        return None if value else f"give {name} its value in the same text: {name}=VALUE"
    if name in {"-Z", "--compress"}:
        return _compress_problem(option, compression)
    if name in _REASONS:
        return f"{name} is refused: {_REASONS[name]}"
    return f"{name} is not on the list of options that keep the promises{_meant(name)}"


def _compress_problem(option: str, compression: str) -> str | None:
    if compression != "pg_dump":
        return "compression is Holdfast's own; for pg_dump's set compression = \"pg_dump\""
    return None if _COMPRESS.fullmatch(option) else "write --compress=VALUE in one text"


def _meant(name: str) -> str:
    close = nearest(name, ALLOWED)
    return f"; did you mean {close}?" if close else ""
