"""What `keys` and `status` tell of keys and copies, with nothing missing in it."""

from __future__ import annotations

from holdfast.jobs.keyring import Keyring, Opening, Signer
from holdfast.jobs.spread import Spread
from holdfast.ledger.canaries import Tried
from support.model_values import NOW


def keyring_sample() -> Keyring:
    tried = Tried(target="shop", recipient="age1", which="oldest", backup_id="x", store="disk", at=NOW)
    return Keyring(
        openings=(Opening(recipient="age1", current=True, here=True, tried=(tried,)),),
        signers=(Signer(public="RW", own=True, named=True, backups=1, newest="x"),),
        unopened=(tried,),
    )


def spread_sample() -> Spread:
    return Spread(
        backup_id="x",
        copies=("a",),
        off_site=("a",),
        locked=(("a", "compliance"),),
        encrypted=True,
        proven="x",
        proven_at=NOW,
    )
