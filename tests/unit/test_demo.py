from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from holdfast.demo.demo import show_same
from holdfast.demo.same import Content, differences, summary
from holdfast.model.errors import RestoreTestError
from holdfast.postgres.compare import Digest

SHOP = Digest(
    tables={"public.t": "3 11 22", "public.u": "4 0 0"},
    sequences={"public.s": "7 t"},
    large_objects={"500": "1 2"},
)
ROLES = ("CREATE ROLE app;", "ALTER ROLE app WITH LOGIN PASSWORD 'SCRAM-SHA-256$4096:x$y:z';")
CONTENT = Content(digests={"shop": SHOP}, schemas={"shop": ("CREATE TABLE public.t (", ");")}, globals=ROLES)


def _with(**parts: Mapping[str, str]) -> Content:
    return replace(CONTENT, digests={"shop": replace(SHOP, **parts)})


def test_what_is_the_same_has_no_differences() -> None:
    assert differences(CONTENT, replace(CONTENT)) == ()


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (_with(tables={"public.t": "3 11 22"}), "database shop: table public.u is missing in the second"),
        (_with(sequences={"public.s": "8 t"}), "database shop: sequence public.s differs in content"),
        (_with(large_objects={}), "database shop: large object 500 is missing in the second"),
        (replace(CONTENT, digests={}), "database shop is missing in the second"),
        (
            replace(CONTENT, digests={"shop": SHOP, "other": SHOP}, schemas={**CONTENT.schemas, "other": ()}),
            "database other is only in the second",
        ),
        (
            replace(CONTENT, schemas={"shop": ("CREATE TABLE public.t (", ");", "CREATE INDEX i;")}),
            "schema of shop: only in the second: CREATE INDEX i;",
        ),
        (replace(CONTENT, globals=ROLES[1:]), "roles: only in the first: CREATE ROLE app;"),
    ],
)
def test_every_kind_of_difference_is_told(other: Content, expected: str) -> None:
    assert differences(CONTENT, other) == (expected,)


def test_lines_in_another_order_differ() -> None:
    assert differences(CONTENT, replace(CONTENT, globals=ROLES[::-1]))


def test_a_differing_password_is_told_without_its_hash() -> None:
    changed = (ROLES[0], ROLES[1].replace("y:z", "secret:hash"))
    told = differences(CONTENT, replace(CONTENT, globals=changed))
    assert len(told) == 2
    assert not any("SCRAM" in text or "secret" in text for text in told)


def test_what_was_compared_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    show_same(CONTENT, CONTENT)
    assert dict(summary(CONTENT)) == {
        "databases": 1,
        "tables that hold rows": 2,
        "rows": 7,
        "sequences": 1,
        "large objects": 1,
        "schema lines": 2,
        "roles": 1,
    }
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()][2] == ["identical", "7"]


def test_a_difference_fails_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RestoreTestError, match="differs from the original in 1 places"):
        show_same(CONTENT, _with(tables={"public.t": "3 11 22", "public.u": "5 0 0"}))
    assert "DIFFERENT  database shop: table public.u has 4 rows, the second 5" in capsys.readouterr().out


def test_comparing_nothing_is_no_success() -> None:
    nothing = Content(digests={}, schemas={}, globals=())
    with pytest.raises(RestoreTestError, match="nothing to compare"):
        show_same(nothing, nothing)
