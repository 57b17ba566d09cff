from __future__ import annotations

import pytest

from holdfast.model.errors import ConfigError
from holdfast.postgres.patterns import Kind, to_regex


@pytest.mark.parametrize(
    ("pattern", "schema", "name"),
    [
        ("orders", None, "^(orders)$"),
        ("Orders", None, "^(orders)$"),
        ('"Orders"', None, "^(Orders)$"),
        ('Or"De"rs', None, "^(orDers)$"),
        ("ÄÖ", None, "^(ÄÖ)$"),
        ("audit.*", "^(audit)$", "^(.*)$"),
        ("a?c.t", "^(a.c)$", "^(t)$"),
        ("db.audit.log", "^(audit)$", "^(log)$"),
        ('"a.b".c', "^(a\\.b)$", "^(c)$"),
        ('"say ""hi"""', None, '^(say "hi")$'),
        ('""', None, "^()$"),
        ("tab$", None, "^(tab\\$)$"),
        ('"*?[]$"', None, "^(\\*\\?\\[\\]\\$)$"),
        ("(a|b)+", None, "^((a|b)+)$"),
        ("int[]", None, "^(int\\[])$"),
        ("[ab]c", None, "^([ab]c)$"),
        ("a.", "^(a)$", "^()$"),
        ('"never closed.x', None, "^(never closed\\.x)$"),
    ],
)
def test_a_table_pattern_becomes_the_expressions_that_pg_dump_makes(
    pattern: str, schema: str | None, name: str
) -> None:
    assert to_regex(pattern, kind="table") == (schema, name)


def test_a_schema_pattern_has_one_part() -> None:
    assert to_regex('app_*|"A.b"', kind="schema") == (None, "^(app_.*|A\\.b)$")


@pytest.mark.parametrize(("pattern", "kind"), [("a.b", "schema"), ("a.b.c.d", "table")])
def test_too_many_dots_are_refused_with_the_way_to_quote_them(pattern: str, kind: Kind) -> None:
    with pytest.raises(ConfigError, match="too many dots") as caught:
        to_regex(pattern, kind=kind)
    assert "double quotes" in str(caught.value.hint)
