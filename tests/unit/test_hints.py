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
            "ERROR:  division by zero\nCommand was: REFRESH MATERIALIZED VIEW public.ratios;",
            "materialised view public.ratios fails",
        ),
        (
            (
                'ERROR:  cannot attach index "p1_id_v_excl" as a partition of index "p_id_v_key"\n'
                "DETAIL:  The index definitions do not match."
            ),
            "without --exit-on-error",
        ),
        (
            'pg_restore: error: could not execute query: ERROR:  trigger "RI_ConstraintTrigger_c_30511" for table "fkp1" does not exist',
            "ENABLE TRIGGER ALL",
        ),
    ],
)
def test_a_complaint_has_its_advice(complaint: str, advice: str) -> None:
    assert advice in (restore_hints.hint(complaint, 150000) or "")


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("ERROR:  invalid page in block 3 of relation base/5/16384", "data is damaged"),
        ("ERROR:  missing chunk number 0 for toast value 16390 in pg_toast_16384", "data is damaged"),
        ("DETAIL:  It seems to have just been dropped or renamed.", "try again"),
        ("ERROR:  invalid memory alloc request size 1258291203", "1 GB"),
    ],
)
def test_what_a_damaged_or_changing_server_says_has_its_advice(said: str, advice: str) -> None:
    assert advice in (dump_hints.hint(said) or "")


def test_a_table_that_goes_while_a_dump_begins_has_its_advice() -> None:
    said = 'ERROR:  relation "public.t" does not exist\npg_dump: detail: Query was: LOCK TABLE public.t IN ACCESS SHARE MODE'
    assert "try again" in (dump_hints.hint(said) or "")
