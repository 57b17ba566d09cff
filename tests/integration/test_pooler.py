"""A backup through a real pooler: in session mode it works, in the others it is refused before it does harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.jobs.checks.check import check
from holdfast.model.errors import SourceError
from holdfast.postgres.scratch import Cluster
from support.pgbouncer import pgbouncer
from support.postgres import query
from support.restoring import drop, put_back, take
from support.world import world

pytestmark = pytest.mark.extended


def test_session_mode_works_with_a_warning(cluster: Cluster, second_cluster: Cluster, tmp_path: Path) -> None:
    with pgbouncer(cluster, "session") as url, world(tmp_path, url, databases=("postgres",)) as w:
        found = [each for each in check(w.services, (w.target,), encrypted=True) if "pooler" in each.message]
        opened = take(w)
        put_back(w, opened, second_cluster, database="postgres", rename="through_pooler")
        drop(second_cluster, "through_pooler")
    assert [each.level for each in found] == ["warn"]


@pytest.mark.fault("server.pooler")
@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_other_modes_are_refused_and_nothing_stays_behind(
    cluster: Cluster, tmp_path: Path, mode: str
) -> None:
    with pgbouncer(cluster, mode) as url, world(tmp_path, url, databases=("postgres",)) as w:
        found = [each for each in check(w.services, (w.target,), encrypted=True) if each.level == "fail"]
        with pytest.raises(SourceError, match="pool") as caught:
            take(w)
        locks = query(cluster.conninfo, "SELECT * FROM pg_locks WHERE locktype = 'advisory'")
    assert ["session mode" in (each.hint or "") for each in found] == [True]
    assert "session mode" in str(caught.value.hint)
    assert not caught.value.retryable
    assert locks == []
