"""What PostgreSQL complains of in a dump or a restore comes with what to do about it."""

from __future__ import annotations

import pytest

from holdfast.methods import dump_hints, restore_hints


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
        (
            (
                'ERROR:  cannot attach index "p1_id_v_excl" as a partition of index "p_id_v_key"\n'
                "DETAIL:  The index definitions do not match."
            ),
            "without --exit-on-error",
        ),
    ],
)
def test_a_complaint_has_its_advice(complaint: str, advice: str) -> None:
    assert advice in (restore_hints.hint(complaint, 150000) or "")


def test_a_table_that_goes_while_a_dump_begins_has_its_advice() -> None:
    said = 'ERROR:  relation "public.t" does not exist\npg_dump: detail: Query was: LOCK TABLE public.t IN ACCESS SHARE MODE'
    assert "try again" in (dump_hints.hint(said) or "")
