"""An argument that is empty, as `"$UNSET"` in a script is, never stands for something that exists."""

from __future__ import annotations

import pytest

from support.home import Home


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("show", ""), "no backup was named"),
        (("restore", ""), "no backup was named"),
        (("verify", ""), "no backup was named"),
        (("restore", "latest", "--to", ""), "--to is empty"),
        (("restore", "latest", "--to", " "), "--to is empty"),
        (("restore", "latest", "--database", "app", "--as", ""), "--as is empty"),
        (("show", "latest", "--before", ""), "is not a time"),
        (("show", "latest", "--before", "0001-01-01T00:00:00+05:00"), "is not a time"),
        (("show", "latest", "--before", "9999-12-31T23:59:59-05:00"), "is not a time"),
    ],
)
def test_it_is_refused(stocked: Home, args: tuple[str, ...], said: str) -> None:
    done = stocked.run(*args, code=2)
    assert said in done.stderr
    assert "internal" not in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("show", "latest", "--target", ""),
        ("verify", "latest", "--store", ""),
        ("restore", "latest", "--database", ""),
        ("backup", ""),
    ],
)
def test_nothing_has_the_empty_name(stocked: Home, args: tuple[str, ...]) -> None:
    done = stocked.run(*args, code=12)
    assert "no " in done.stderr
