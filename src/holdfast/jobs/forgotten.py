"""Says in words what the ledger of this host has lost, and what to do about it; and when that is news."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.jobs.news import Desk, News
from holdfast.ledger import losses
from holdfast.ledger.ledger import Ledger
from holdfast.ledger.losses import Loss
from holdfast.model.codec import time_text
from holdfast.model.event import Event, one_line
from holdfast.system import lasting


def news(desk: Desk) -> Iterator[News]:
    """Tell of each loss, and of its end for those who were told of it."""
    for loss in losses.known(desk.ledger):
        told = f"loss {loss.reason} {time_text(loss.at)}."
        event = Event(
            kind="recovery" if loss.settled else "loss",
            job="catalog",
            target="",
            host=desk.host,
            at=desk.now,
            since=loss.at,
            error_code=None if loss.settled else loss.reason,
            error=None if loss.settled else one_line(sentence(desk.ledger, loss)),
        )
        if loss.settled:
            yield News(event=event, key=f"recovery {told}", after=(told,))
        else:
            yield News(event=event, key=told)


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
