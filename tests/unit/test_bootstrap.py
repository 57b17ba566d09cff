"""The scratch cluster's first role is called as the original's, so that grants and owners come back as they were."""

from __future__ import annotations

import pytest

from holdfast.postgres.bootstrap import superuser


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", "postgres"),
        (
            "CREATE ROLE postgres; ALTER ROLE postgres WITH SUPERUSER; CREATE ROLE a; ALTER ROLE a WITH SUPERUSER;",
            "postgres",
        ),
        (
            "CREATE ROLE admin; ALTER ROLE admin WITH SUPERUSER; CREATE ROLE b; ALTER ROLE b WITH NOSUPERUSER;",
            "admin",
        ),
        (
            "ALTER ROLE postgres WITH NOSUPERUSER; ALTER ROLE boss WITH SUPERUSER; ALTER ROLE z WITH SUPERUSER; GRANT a TO b GRANTED BY z;",
            "z",
        ),
        ("CREATE ROLE postgres; ALTER ROLE postgres WITH NOSUPERUSER;", "holdfast_scratch"),
    ],
)
def test_the_first_role_is_found_in_the_globals(text: str, name: str) -> None:
    assert superuser(text.encode()) == name
