"""What the ledger keeps of drills that came to their end. Those that failed are runs only."""

from __future__ import annotations

import json

from holdfast.ledger import rows
from holdfast.ledger.ledger import Ledger
from holdfast.model import codec
from holdfast.model.codec import parse_time, time_text
from holdfast.model.comparison import Phase
from holdfast.model.drill import Drill


def record(ledger: Ledger, drill: Drill) -> None:
    """Keep a drill."""
    with ledger.writing() as connection:
        connection.execute(
            "INSERT INTO drills (target, backup_id, at, seconds, phases, databases, size, isolation)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                drill.target,
                drill.backup_id,
                time_text(drill.at),
                drill.seconds,
                json.dumps(codec.to_json(drill.phases)),
                drill.databases,
                drill.size,
                rows.text(drill.isolation),
            ],
        )


def last(ledger: Ledger, target: str) -> Drill | None:
    """The last drill of a target that came to its end, or None."""
    found = ledger.read("SELECT * FROM drills WHERE target = ? ORDER BY at DESC, id DESC LIMIT 1", [target])
    if not found:
        return None
    row = found[0]
    return Drill(
        target=target,
        backup_id=str(row["backup_id"]),
        at=parse_time(str(row["at"])),
        seconds=float(str(row["seconds"])),
        phases=codec.from_json(tuple[Phase, ...], json.loads(str(row["phases"])), "phases"),
        databases=int(str(row["databases"])),
        size=int(str(row["size"])),
        isolation=str(row["isolation"]),
    )
