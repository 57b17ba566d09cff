"""What pg_dumpall prints of roles is compared across versions and zones, and passwords are kept apart."""

from __future__ import annotations

import pytest

from holdfast.postgres.role_facts import role_facts

_TEXT = b"""SET standard_conforming_strings = on;
CREATE ROLE app;
ALTER ROLE app WITH NOSUPERUSER INHERIT LOGIN CONNECTION LIMIT 3 PASSWORD 'SCRAM-SHA-256$x''y' VALID UNTIL '2038-01-01 00:00:00+05';
CREATE ROLE "o'dd";
ALTER ROLE "o'dd" WITH NOLOGIN;
COMMENT ON ROLE app IS 'an application';
ALTER ROLE app SET search_path TO 'a', 'b';
ALTER ROLE app IN DATABASE shop SET work_mem TO '1MB';
GRANT app TO "o'dd" WITH ADMIN OPTION GRANTED BY postgres;
CREATE TABLESPACE fast OWNER app LOCATION '/somewhere';
GRANT CREATE ON TABLESPACE fast TO app;
"""


def test_facts_are_read() -> None:
    facts = role_facts(_TEXT)
    assert facts.roles == {
        "app": "NOSUPERUSER INHERIT LOGIN CONNECTION LIMIT 3 VALID UNTIL '2037-12-31T19:00:00+00:00'",
        "o'dd": "NOLOGIN",
    }
    assert facts.passwords == {"app": "'SCRAM-SHA-256$x''y'"}
    assert facts.settings == {("app", "search_path"): "TO 'a', 'b'"}
    assert list(facts.others) == [("role comment", "app")]
    assert facts.tablespaces == {
        ("tablespace owner", "fast"): {"app"},
        ("tablespace grant", "fast"): {"GRANT CREATE ON TABLESPACE fast TO app"},
    }
    assert "SCRAM" not in repr(facts)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("GRANT a TO b GRANTED BY c", "GRANT a TO b WITH INHERIT TRUE GRANTED BY c", True),
        (
            "GRANT a TO b WITH ADMIN OPTION GRANTED BY c",
            "GRANT a TO b WITH ADMIN OPTION, INHERIT TRUE GRANTED BY c",
            True,
        ),
        (
            "GRANT a TO b WITH ADMIN OPTION GRANTED BY c",
            "GRANT a TO b WITH INHERIT TRUE GRANTED BY c",
            False,
        ),
        (
            "GRANT a TO b WITH INHERIT TRUE GRANTED BY c",
            "GRANT a TO b WITH INHERIT FALSE GRANTED BY c",
            False,
        ),
        (
            "GRANT a TO b WITH INHERIT TRUE, SET FALSE GRANTED BY c",
            "GRANT a TO b WITH INHERIT TRUE GRANTED BY c",
            False,
        ),
    ],
)
def test_memberships_are_compared_as_far_as_both_versions_can_say(one: str, other: str, same: bool) -> None:  # noqa: FBT001 - a case of the table
    (first,) = role_facts(f"{one};".encode()).memberships.values()
    (second,) = role_facts(f"{other};".encode()).memberships.values()
    assert first.same_as(second) is same
    assert second.same_as(first) is same
