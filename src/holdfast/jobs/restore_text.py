"""Writes RESTORE.txt: how to restore a backup with `age`, `zstd`, `psql` and `pg_restore` alone."""

from __future__ import annotations

import re
from collections.abc import Mapping

from holdfast.model import codec
from holdfast.model.backup import Backup, Part
from holdfast.model.shell_quoting import shell_word

_HEAD = """\
Holdfast backup {id} of target {target}
taken {started} from PostgreSQL {version}

This folder restores without Holdfast. You need an empty PostgreSQL server, and on the machine that restores:
{needs}

Run the commands in bash, in this folder (or in a copy of it), one after the other; each has to end
without an error. They connect as libpq does: set PGHOST, PGPORT, PGUSER and PGPASSWORD for the new
server first. The user has to be a superuser there.

    set -o pipefail
    # Some database may be set to be read-only, or to read a NULL in an array as the word:
    export PGOPTIONS='-c default_transaction_read_only=off -c array_nulls=on'
"""

_CHECK = """
1. Check the files; each line has to say OK:

{sums}

   The program minisign can check the manifest itself, against the signer's key that you trust (not the one that
   a stranger may have put here): `minisign -V -P {signer} -m manifest.json`
"""

_GLOBALS = """
2. Roles and tablespaces. That a role exists already is a harmless error; read the others. The directory of each
   tablespace has to be there first, empty, and the server's own. All roles get the passwords that they had, but for
   the one that you connect as: the first and the last word of the command keep that as it is.

    {command}
"""
# One session, as a second one would be asked for the password that the role had where the backup was taken.
_KEEPING_OWN = (
    "{{ printf '%s\\n' \"SELECT format('ALTER ROLE %I PASSWORD %L', rolname, rolpassword) AS own FROM pg_authid"
    " WHERE rolname = current_user \\gset\" && {roles} && echo ':own;'; }} | psql --no-psqlrc -d postgres"
)

_NO_GLOBALS = """
2. Roles and tablespaces are not part of this backup: create the owners and the grantees by hand.
"""

_DATABASES = """
3. The databases. Each is created with its owner, encoding, locale, settings and grants; `postgres`, which every server
   has, is restored in place. To restore under another name, create that database yourself and leave out --create.

{commands}
"""

_PLAIN = """
3. The databases, from plain dumps that another program made. psql obeys commands in what it is fed: this file was looked
   through for them when it was taken over; still, use a psql that is up to date. To restore a dump with its own CREATE
   DATABASE under another name, edit it.

{commands}
"""

_CATALOG = """
4. To compare: what there was, with the number of rows of each table, as JSON:

    {command}
"""


_SETTINGS = """
5. To look up: the settings of the project on its platform, as JSON. There are secrets among them:

    {command}
"""


def restore_text(backup: Backup, *, to_create: Mapping[str, str] = {}) -> str:
    """Give the text for a backup. Every command in it stands on lines that begin with four spaces.

    `to_create` are the databases whose plain dumps do not make them, with their encodings.
    """
    encrypted = any(part.recipients for part in backup.parts)
    text = _HEAD.format(
        id=backup.id,
        target=backup.target,
        started=codec.time_text(backup.started_at),
        # A server says what it likes, also a line that would look like a command.
        version=" ".join(filter(str.isprintable, backup.server.version.split())),
        needs=_needs(backup),
    )
    if encrypted:
        text += (
            "    IDENTITY=${IDENTITY:-identity.txt}   # the path of the file that `holdfast keygen` wrote\n"
        )
    text += _CHECK.format(sums=_sums(backup), signer=backup.signer)
    roles = backup.part("globals")
    text += _GLOBALS.format(command=_KEEPING_OWN.format(roles=_open(roles))) if roles else _NO_GLOBALS
    databases = [part for part in backup.parts if part.role == "database"]
    if any(part.format != "plain" for part in databases):
        text += _DATABASES.format(
            commands="\n".join(_database(part) for part in databases if part.format != "plain")
        )
    if any(part.format == "plain" for part in databases):
        text += _PLAIN.format(
            commands="\n".join(_plain(part, to_create) for part in databases if part.format == "plain")
        )
    catalog, settings = backup.part("catalog"), backup.part("settings")
    text += "" if catalog is None else _CATALOG.format(command=_open(catalog))
    return text + ("" if settings is None else _SETTINGS.format(command=_open(settings)))


def created_by(text: str, backup: Backup) -> dict[str, str]:
    """The databases that an earlier text for the same backup makes by hand, with their encodings ("" where it has none)."""
    found = {}
    for name in (part.database for part in backup.parts if part.format == "plain" and part.database):
        line = (
            rf"(?m)^    createdb --template=template0 (?:--encoding=(\w+) )?-- {re.escape(shell_word(name))}$"
        )
        if match := re.search(line, text):
            found[name] = match[1] or ""
    return found


def _needs(backup: Backup) -> str:
    lines = []
    if any(part.recipients for part in backup.parts):
        post_quantum = any(text.startswith("age1pq1") for part in backup.parts for text in part.recipients)
        version = " 1.3 or later (the recipients are post-quantum)" if post_quantum else ""
        lines.append(f"- age{version}, or any program that reads age v1 files, and the identity file")
    if any(part.codec == "zstd" for part in backup.parts):
        lines.append("- zstd")
    major = backup.server.version_num // 10000
    of = f"PostgreSQL {major}, or of the new server's version where that is later"
    lines.append(f"- psql and pg_restore of {of if major else 'the version of the new server'}")
    return "\n".join(lines)


def _sums(backup: Backup) -> str:
    return "\n".join(
        f"    echo '{segment.sha256}  {segment.name}' | sha256sum --check"
        for part in backup.parts
        for segment in part.segments
    )


def _open(part: Part) -> str:
    """The shell pipe that prints what the dumping program printed."""
    # With ./ before it, since a name may begin with a dash.
    steps = ["cat " + " ".join(f"./{segment.name}" for segment in part.segments)]
    if part.recipients:
        steps.append('age --decrypt -i "$IDENTITY"')
    if part.codec == "zstd":
        steps.append("zstd -d -c")
    return " | ".join(steps)


def _plain(part: Part, to_create: Mapping[str, str]) -> str:
    name, psql = part.database or "", "psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1"
    if name not in to_create:
        return f"    {_open(part)} | {psql} -d postgres"
    encoding = f"--encoding={to_create[name]} " if re.fullmatch(r"\w+", to_create[name]) else ""
    create = (
        f"    createdb --template=template0 {encoding}-- {shell_word(name)}\n" if name != "postgres" else ""
    )
    # A name alone could be taken for a connection string.
    where = "dbname='" + re.sub(r"(['\\])", r"\\\1", name) + "'"
    return f"{create}    {_open(part)} | {psql} -d {shell_word(where)}"


def _database(part: Part) -> str:
    into = "--dbname=postgres" if part.database == "postgres" else "--create --dbname=postgres"
    return f"    {_open(part)} | pg_restore --exit-on-error --no-password {into}"
