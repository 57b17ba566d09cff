"""Events for the tests of the channels."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

from holdfast.model.event import Event, Finding, Kind
from support.model_values import NOW

SECRET = "s3cret-of-the-channel"


def event(kind: Kind, **changes: Any) -> Event:  # noqa: ANN401 - the fields of an Event
    """An event of the kind, about a backup of `shop` on `db1`, with the facts that such a one has."""
    base = Event(
        kind=kind,
        job="backup",
        target="shop",
        host="db1",
        at=NOW,
        run_id=7,
        started_at=NOW - timedelta(minutes=5),
        finished_at=NOW,
        attempt=2,
    )
    facts: dict[Kind, dict[str, object]] = {
        "failure": {
            "failures": 2,
            "since": NOW - timedelta(days=1),
            "last_success_at": NOW - timedelta(days=2),
            "error_code": "store",
            "error": "the bucket is full",
        },
        "recovery": {"failures": 3, "since": NOW - timedelta(days=1)},
        "overdue": {"run_id": None, "since": NOW - timedelta(days=3), "interval_seconds": 86400},
        "loss": {
            "job": "catalog",
            "target": "",
            "run_id": None,
            "since": NOW,
            "error_code": "vanished",
            "error": "the ledger was gone",
        },
        "anomaly": {
            "backup_id": "20261122T020000Z-7f3a",
            "findings": (Finding(database="app", measure="rows", value=3, expected=1000.5),),
        },
        "success": {"backup_id": "20261122T020000Z-7f3a", "bytes_done": 10},
    }
    return dataclasses.replace(base, **{**facts.get(kind, {}), **changes})
