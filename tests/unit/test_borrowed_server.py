"""A server of the owner's is told from the target's own by its address, too, before anything reaches out to it."""

from __future__ import annotations

import pytest

from holdfast.methods import borrowed_server
from holdfast.model.errors import CouldNotTestError
from support.model_values import sample_backup


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("postgresql://postgres@DB.example", "postgresql://app@db.example:5432/shop"),
        ("host=scratch,db port=5433,5434", "host=db port=5434"),
        ("host=a,b port=5433", "host=b port=5433"),
        ("hostaddr=192.0.2.1", "host=db hostaddr=192.0.2.1"),
        ("service=shop", "service=shop user=other"),
    ],
)
def test_the_address_of_the_target_is_refused(url: str, source: str) -> None:
    with (
        pytest.raises(CouldNotTestError, match="the target's own server") as caught,
        borrowed_server.borrowed_server(url, sample_backup(), source_url=source, sources=(), warn=print),
    ):
        pass
    assert "restore_test.scratch_url" in str(caught.value.hint)
