"""What people read of keys, and the facts that `keys --json` prints."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from holdfast.model.codec import Json, to_json
from holdfast.render import printing
from holdfast.render.words import many, when
from holdfast.streams.age_keys import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.jobs.keyring import Keyring, Opening, Signer
    from holdfast.ledger.canaries import Tried

_LONG, _SHOWN = 80, 40  # a post-quantum recipient has two thousand letters


def keys(value: Keyring, now: datetime) -> None:
    """Print every recipient with what it opens, then the signers."""
    for each in value.openings:
        printing.line(f"{_short(each.recipient)}  (fingerprint {fingerprint(each.recipient)})")
        use = "new backups are encrypted to it" if each.current else "no new backup is encrypted to it"
        printing.line(f"      use        {use}")
        printing.line(f"      identity   {'here' if each.here else 'not here'}")
        printing.line(f"      opens      {_opens(each)}")
        printing.line(f"      may go     {_may_go(each, now)}")
        _tried(each.tried)
    if value.clear:
        printing.line(f"{many(value.clear, 'backup')} in the clear: everybody opens them")
    for tried in value.unopened:
        printing.line(
            f"NOT OPENED  the {tried.which} backup of {tried.target}, {tried.backup_id}: {tried.error}"
        )
    reads = any(each.here for each in value.openings)  # who only writes needs no file that names the signers
    for signer in value.signers:
        named = "" if signer.named or not reads else "NOT in the identity file"
        printing.line(f"{signer.public}  (signer)")
        printing.line(f"      signed     {'; '.join(filter(None, (_signed(signer), named)))}")


def _short(recipient: str) -> str:
    return recipient if len(recipient) <= _LONG else f"{recipient[:_SHOWN]}…"


def _opens(value: Opening) -> str:
    if not value.backups:
        return "nothing that is known"
    only = f"; {value.only} of them nothing else opens" if value.only else ""
    copies = "1 copy" if value.copies == 1 else f"{value.copies} copies"
    return f"{many(value.backups, 'backup')} in {copies}, from {value.oldest} to {value.newest}{only}"


def _may_go(value: Opening, now: datetime) -> str:
    if value.current:
        return "not while new backups are encrypted to it"
    if not value.backups:
        return "now: it opens nothing"
    if value.expires_at is None:
        return f"never, by today's rules: {value.last} is kept for good"
    if value.expires_at <= now:
        return f"when retention has removed {value.last}, which is due"
    return f"after {value.expires_at:%Y-%m-%d}, when {value.last} is removed by today's rules"


def _tried(found: Iterable[Tried]) -> None:
    for each in found:
        said = "opens" if each.error is None else f"does NOT open: {each.error};"
        printing.line(
            f"      {each.which:<10} {each.backup_id} of {each.target} in {each.store} {said} {when(each.at)}"
        )


def _signed(value: Signer) -> str:
    count = (
        f"{many(value.backups, 'backup')}, the newest {value.newest}"
        if value.newest
        else "nothing that is known"
    )
    return f"{count}; this host's key" if value.own else count


def facts(value: Keyring) -> dict[str, Json]:
    """The keys as facts."""
    return {
        "recipients": [_opening(each) for each in value.openings],
        "clear": value.clear,
        "unopened": [_tried_facts(each) for each in value.unopened],
        "signers": to_json(value.signers),
    }


def _opening(value: Opening) -> dict[str, Json]:
    return {
        "recipient": value.recipient,
        "fingerprint": fingerprint(value.recipient),
        "current": value.current,
        "here": value.here,
        "backups": value.backups,
        "only": value.only,
        "copies": value.copies,
        "oldest": value.oldest,
        "newest": value.newest,
        "last": value.last,
        "expires_at": to_json(value.expires_at),
        "forever": value.backups > 0 and value.expires_at is None,
        "tried": [_tried_facts(each) for each in value.tried],
    }


def _tried_facts(value: Tried) -> dict[str, Json]:
    return {
        "target": value.target,
        "which": value.which,
        "id": value.backup_id,
        "store": value.store,
        "at": to_json(value.at),
        "error": value.error,
    }
