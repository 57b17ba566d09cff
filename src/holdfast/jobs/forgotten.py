"""Says in words what the ledger of this host has lost, and what to do about it."""

from __future__ import annotations

from holdfast.ledger.ledger import Ledger
from holdfast.ledger.losses import Loss
from holdfast.system import lasting


def sentence(ledger: Ledger, loss: Loss) -> str:
    """What was lost, without what ends the telling of it."""
    at = f"{loss.at:%Y-%m-%d %H:%M:%SZ}"
    if loss.reason == "damaged":
        what = f"the ledger was damaged and made anew from the stores at {at}, and knows no earlier run"
        return what + (f"; the damaged one is {loss.set_aside}" if loss.set_aside is not None else "")
    if loss.reason == "rolled_back":
        return (
            f"the ledger did not know a backup that this host took, as was found at {at}: it was put back to an earlier"
            " state, or another machine or ledger works under this host's name"
        )
    state = ledger.path.parent
    passes = lasting.passing(state)
    return (
        f"the ledger was gone, as was found at {at}: backups in the stores were signed by this host before, and no run of"
        " that time is known. "
        + (
            f"The state directory {state} lies {passes}: let daemon.state_dir be on a lasting disk, in a container on a volume"
            f" with a name (`--volume holdfast:{state}`), or it will be gone again"
            if passes is not None
            else f"Was {ledger.path} removed, or was daemon.state_dir another directory than {state}"
        )
    )
