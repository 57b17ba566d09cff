"""What PostgreSQL complains of in a restore comes with what to do about it."""

from __future__ import annotations

import pytest

from holdfast.methods import restore_hints


@pytest.mark.parametrize(
    ("complaint", "advice"),
    [
        ("ERROR:  deadlock detected\nDETAIL:  Process 1 waits", "--jobs 1"),
        ("ERROR:  DROP SUBSCRIPTION cannot run inside a transaction block", "SET (slot_name = NONE)"),
        (
            (
                "ERROR:  compression method lz4 not supported\n"
                "DETAIL:  This functionality requires the server to be built with lz4 support."
            ),
            "built without lz4:",
        ),
        (
            (
                'pg_restore: error: COPY failed for table "log": ERROR:  relation "app.orders" does not exist\n'
                "CONTEXT:  COPY log, line 1, column which…"
            ),
            "type regclass",
        ),
    ],
)
def test_a_complaint_has_its_advice(complaint: str, advice: str) -> None:
    assert advice in (restore_hints.hint(complaint, 150000) or "")
