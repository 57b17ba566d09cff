"""What `check` says of who can read the metrics."""

from __future__ import annotations

import pytest

from holdfast.jobs.checks.endpoint import check_endpoint


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_neither_login_nor_tls(host: str) -> None:
    assert [each.level for each in check_endpoint(host, 9853, tls=False, login=False)] == ["ok"]


@pytest.mark.parametrize(
    ("host", "tls", "login", "said"),
    [
        ("0.0.0.0", False, False, "0.0.0.0:9853 has no login and no TLS"),  # noqa: S104 - nothing listens
        ("", False, False, "has no login and no TLS"),
        ("::", True, False, "[::]:9853 has no login:"),
        ("10.0.0.5", False, True, "10.0.0.5:9853 takes its password without TLS"),
        ("db1.example.com", False, False, "has no login"),
    ],
)
def test_a_network_is_warned_of_until_there_are_both(host: str, said: str, *, tls: bool, login: bool) -> None:
    [found] = check_endpoint(host, 9853, tls=tls, login=login)
    assert (found.level, said in found.message) == ("warn", True)
    assert "container" in (found.hint or "")
    assert [each.level for each in check_endpoint(host, 9853, tls=True, login=True)] == ["ok"]
