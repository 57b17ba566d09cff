"""Where a Supabase project's server is: directly, or behind the session pooler; never behind the transaction pooler."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from holdfast.model.errors import ConfigError
from holdfast.model.platform import PoolerAddress
from holdfast.model.supabase import PROJECT_DATABASE
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.errors import PermanentSourceError

PORT, TRANSACTION_PORT = 5432, 6543
OWNER = "postgres"
_POOLER = ".pooler.supabase.com"


def direct_host(ref: str) -> str:
    """Give the name of the server itself."""
    return f"db.{ref}.supabase.co"


def direct(host: str, password: str | None) -> Conninfo:
    """Give the way to the server itself."""
    return Conninfo(params=_params(host, PORT, OWNER, PROJECT_DATABASE), password=password)


def through_pooler(poolers: Iterable[PoolerAddress], password: str | None) -> Conninfo | None:
    """Give the way through the session pooler; None where there is none. The shared pooler has both modes, by the port."""
    for each in sorted(poolers, key=lambda pooler: pooler.mode != "session"):
        if each.primary and (each.mode == "session" or each.host.endswith(_POOLER)):
            port = each.port if each.mode == "session" else PORT
            return Conninfo(params=_params(each.host, port, each.user, each.database), password=password)
    return None


def _params(host: str, port: int, user: str, database: str) -> dict[str, str]:
    return {"host": host, "port": str(port), "user": user, "dbname": database, "sslmode": "prefer"}


def refuse_wrong_way(where: Conninfo, ref: str) -> None:
    """Raise ConfigError or PermanentSourceError for an address at which no dump can be taken, with the one to use."""
    host, port, user = (where.params.get(key, "") for key in ("host", "port", "user"))
    if port == str(TRANSACTION_PORT):
        session = replace(where, params={**where.params, "port": str(PORT)})
        raise PermanentSourceError(
            f"{where.safe} is the transaction pooler, and a dump needs a session of its own",
            hint=f"Use the session pooler: port {PORT} of the same host ({session.safe}).",
        )
    if host.startswith("db.") and host.endswith(".supabase.co") and host != direct_host(ref):
        raise ConfigError(
            f"{host} is the server of another project than {ref}",
            hint="Which one is meant? Correct url or project_ref: both stand in the dashboard's address.",
        )
    if host.endswith(_POOLER) and not user.endswith(f".{ref}"):
        raise ConfigError(
            f"the pooler at {host} takes the user {OWNER}.{ref}, not {user or 'none'}",
            hint="Copy the session pooler's address from Connect in the project's dashboard.",
        )
