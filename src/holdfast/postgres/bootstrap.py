"""Chooses what a scratch cluster begins with, by the backup: the name of its first role, and the libraries it loads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from holdfast.model.catalog import Catalog
from holdfast.postgres import statements
from holdfast.postgres.tools import Toolset

_USUAL = "postgres"
_NONE_OF_THEIRS = "holdfast_scratch"
_SUPERUSER = re.compile(r"\bSUPERUSER\b")  # NOSUPERUSER is another word
# Extensions whose library has to be there when the server starts. pg_cron starts jobs by itself, but its table of them
# is never filled here.
_PRELOADED = {
    "timescaledb": "timescaledb",
    "pg_cron": "pg_cron",
    "citus": "citus",
    "pglogical": "pglogical",
    "pg_squeeze": "pg_squeeze",
}


def superuser(text: bytes) -> str:
    """Find who was the server's first role, by what pg_dumpall printed of the roles; else give a likely name.

    Memberships since PostgreSQL 16 name their grantor, who is that role for all that superusers granted; a scratch
    server takes such a grant from a role of this name alone.
    """
    found = [statements.classify(each) for each in statements.split_statements([text])] if text else []
    superusers = {
        each.name or ""
        for each in found
        if each.kind == "alter_role" and _SUPERUSER.search(each.statement.text)
    }
    grantors = Counter(
        each.grantor for each in found if each.kind == "membership" and each.grantor in superusers
    )
    if grantors:
        return str(grantors.most_common(1)[0][0])
    if _USUAL in superusers or not superusers:
        roles = {each.name for each in found if each.kind == "create_role"}
        return _NONE_OF_THEIRS if not superusers and _USUAL in roles else _USUAL
    return min(superusers)


def preloads(catalog: Catalog, programs: Toolset) -> Mapping[str, str]:
    """Give the settings that the extensions of the backup need; libraries that are not here are left out."""
    used = {extension.name for database in catalog.databases for extension in database.extensions}
    libraries = [
        library for name, library in _PRELOADED.items() if name in used and _is_there(programs, library)
    ]
    if not libraries:
        return {}
    settings = {"shared_preload_libraries": ", ".join(libraries)}
    if "pg_cron" in libraries:
        home = next(
            database.name
            for database in catalog.databases
            if any(extension.name == "pg_cron" for extension in database.extensions)
        )
        settings["cron.database_name"] = home
    return settings


def _is_there(programs: Toolset, library: str) -> bool:
    """Look where a server has its libraries, by Debian's and by everybody else's habit."""
    installation = programs.bin_dir.parent
    places = (installation / "lib", installation / "lib64", installation / "lib" / "postgresql")
    return any((place / f"{library}.so").exists() for place in places)
