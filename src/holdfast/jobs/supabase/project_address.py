"""Finds the way to a target's server: for a Supabase project without a URL by the management API, and by trying."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from holdfast.jobs.supabase.platform import api_of
from holdfast.model.errors import ProviderError, SourceError
from holdfast.model.target import Target
from holdfast.postgres import conninfo, supabase_address
from holdfast.postgres.conninfo import Conninfo
from holdfast.system.reach import reach
from holdfast.system.stop import Stop

_SECONDS = 5.0
_PATIENCE = 5.0
_NO_WAY = (
    "Put the address of the session pooler (Connect in the project's dashboard, port 5432) into url, or give an"
    " access_token: then it is asked for."
)


def reached(target: Target, stop: Stop) -> Target:
    """Give the target with the URL by which its server is reached; one that has a URL, or is no project, as it is.

    Raise SourceError where no way is found, ProviderError where the API cannot be asked, and what makes no sense.
    """
    project = target.supabase
    if project is None:
        return target
    if target.url is not None:
        supabase_address.refuse_wrong_way(conninfo.parse(target.url, password=target.password), project.ref)
        return target
    return replace(target, url=conninfo.keyword_string(_found(target, stop).params))


def address(target: Target, stop: Stop) -> Conninfo:
    """Give the way to a target's server. Raise as `reached` does."""
    found = reached(target, stop)
    return conninfo.parse(found.url, password=found.password)


def _found(target: Target, stop: Stop) -> Conninfo:
    """The server itself where it answers, else the session pooler that the API names."""
    project = target.supabase
    assert project is not None  # noqa: S101 - for the type checker
    host = supabase_address.direct_host(project.ref)
    if project.access_token is not None:
        host = api_of(target, stop).standing().host or host
    tried = reach(host, supabase_address.PORT, seconds=_SECONDS)
    if tried.answers:
        return supabase_address.direct(host, target.password)
    if project.access_token is not None:
        poolers = api_of(target, stop).poolers()
        if (where := supabase_address.through_pooler(poolers, target.password)) is not None:
            return where
    why = "it has an address of IPv6 only, and this machine has no IPv6" if tried.only_ipv6 else "no answer"
    raise SourceError(
        f"cannot reach {host}:{supabase_address.PORT}: {why}",
        hint=f"{_NO_WAY} Docker's own network has no IPv6." if tried.only_ipv6 else _NO_WAY,
    )


@contextmanager
def explained(target: Target, stop: Stop) -> Iterator[None]:
    """Add to a failed connection what the platform knows: which addresses it has shut out."""
    try:
        yield
    except SourceError as error:
        project = target.supabase
        if project is None or project.access_token is None or "cannot connect" not in error.message:
            raise
        with suppress(ProviderError):  # the failure itself is told in any case
            if banned := replace(api_of(target, stop), patience=_PATIENCE).banned():
                error.hint = (
                    f"The platform has shut out {', '.join(banned)} after wrong passwords; if one is this machine's, lift that in"
                    f" the dashboard (Database > Settings). {error.hint or ''}".rstrip()
                )
        raise
