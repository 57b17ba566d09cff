"""The names that scripts give to their dumps tell the time and the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from holdfast.model.filenames import Named, compile_pattern

AT = datetime(2026, 1, 31, 2, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pattern", "name", "at", "database"),
    [
        ("backup_%Y%m%d_%H%M%S.dump*", "backup_20260131_023005.dump.gz.enc", AT, None),
        (
            "{database}-%F.sql.gz",
            "my-app-2026-01-31.sql.gz",
            AT.replace(hour=0, minute=0, second=0),
            "my-app",
        ),
        ("{database}_%Y-%m-%dT%T%z.tar", "app_2026-01-31T03:30:05+0100.tar", AT, "app"),
        ("%y%j-{database}.dump", "26031-a.b.dump", AT.replace(hour=0, minute=0, second=0), "a.b"),
        ("dump.%s", f"dump.{int(AT.timestamp())}", AT, None),
        ("%Y/%m/%d/{database}_%H%M.*", "2026/01/31/app_0230.sql", AT.replace(second=0), "app"),
        (
            "{database}/{database}-%Y%m%d?.dump",
            "a/a-20260131x.dump",
            AT.replace(hour=0, minute=0, second=0),
            "a",
        ),
        ("app-%a.sql.gz", "app-Mon.sql.gz", None, None),
        ("100%%_%H.sql", "100%_02.sql", None, None),
    ],
)
def test_a_name_tells_its_time_and_database(
    pattern: str, name: str, at: datetime | None, database: str | None
) -> None:
    assert compile_pattern(pattern, UTC).read(name) == Named(at=at, database=database)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("a_%Y%m%d.dump", "a_20260230.dump"),
        ("a_%Y%m%d.dump", "a_20261301.dump"),
        ("a_%Y%m%d.dump", "b_20260131.dump"),
        ("a_%Y.dump", "aa_2026.dump"),
        ("{database}/{database}.sql", "a/b.sql"),
        ("*.sql", "folder/a.sql"),
        ("%y%j.dump", "25366.dump"),
    ],
)
def test_another_name_is_none_of_the_patterns(pattern: str, name: str) -> None:
    assert compile_pattern(pattern, UTC).read(name) is None


def test_the_time_is_that_of_the_scripts_clock() -> None:
    summer = compile_pattern("%Y%m%d%H", ZoneInfo("Europe/Berlin")).read("2026070102")
    assert summer is not None
    assert summer.at == datetime(2026, 7, 1, 0, tzinfo=UTC)
    fixed = compile_pattern("%Y%m%d%H", timezone(timedelta(hours=-5))).read("2026070102")
    assert fixed is not None
    assert fixed.at == datetime(2026, 7, 1, 7, tzinfo=UTC)


@pytest.mark.parametrize("pattern", ["", "%Q.dump", "{name}.dump", "%Y%", "{database}*a*b*c*d"])
def test_a_pattern_that_says_nothing_sensible_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        compile_pattern(pattern, UTC)


def test_stars_side_by_side_are_one() -> None:
    assert compile_pattern("*" * 40 + "e", UTC).read("x" * 250) is None
    assert compile_pattern("a**-%F", UTC).read("abc-2026-07-01") is not None
