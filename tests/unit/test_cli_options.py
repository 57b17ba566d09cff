from __future__ import annotations

import pytest

from holdfast.cli.options import pair
from holdfast.model.errors import UsageError


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a=b", ("a", "b")),
        ("a=b=c", ("a", "b=c")),
        ('"a=b"=c', ('"a=b"', "c")),
        ('s."a ""="" b"="x=y"', ('s."a ""="" b"', '"x=y"')),
    ],
)
def test_a_pair_is_parted_at_the_first_sign_outside_of_quotes(text: str, found: tuple[str, str]) -> None:
    assert pair(text, "--rename-table", "NEW") == found


@pytest.mark.parametrize("text", ["a", "=b", "a=", '"a=b', ""])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write OLD=NEW"):
        pair(text, "--rename-table", "NEW")
