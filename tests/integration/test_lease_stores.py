"""Leases in real stores: two hosts, a process that is killed while it prunes, and another host that finishes its work."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.app import open_app
from holdfast.jobs import prune_clock
from holdfast.jobs.prune import Pruned, Wish, prune
from holdfast.model import layout
from holdfast.model.lease import LASTS, MARGIN
from support import moto_server as moto
from support.home import called
from support.marked import bury
from support.shelved import shelved
from support.world import Recorder, write_config

NOWHERE = "postgresql://nobody@127.0.0.1:1/"
RULES = "[targets.shop.retention]\ndaily = 2\nweekly = 0\nmonthly = 0\nyearly = 0\n"


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.extended)])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the TOML keys of a store."""
    if request.param == "local":
        yield f'url = "{tmp_path}/store"'
        return
    with moto.moto_server() as url:
        yield moto.keys(url, "x")


def test_what_a_killed_pruner_began_another_host_finishes_when_its_lease_is_over(
    keys: str, kill: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    config = write_config(tmp_path / "one", NOWHERE, stores={"a": keys}, more=RULES)
    with open_app(config, (), reporter=Recorder(), quiet=True) as app:
        services, store = app.writing_services(), app.services.store("a")
        now = services.clock.now()
        ids = [layout.new_backup_id(now - timedelta(days=days), "00") for days in (9, 3, 1, 0)]
        for backup_id in ids:
            shelved(services, store, backup_id)
        bury(services, store, ids[0], at=now - timedelta(days=4))
    shutil.copytree(tmp_path / "one", tmp_path / "two")  # a machine that was copied
    assert kill(config, "stage:prune:object_removed", job="prune") == -9
    two = tmp_path / "two" / "holdfast.toml"
    done = called("prune", "--config", two, cwd=tmp_path)
    assert done.returncode == 11
    assert "has the lease for the retention of target shop" in done.stderr
    assert pruned(two).elsewhere
    true = prune_clock.time_of
    monkeypatch.setattr(prune_clock, "time_of", lambda store: true(store) + LASTS + MARGIN)
    with monkeypatch.context() as later:
        later.setattr(prune_clock, "doubt", lambda *_, **__: None)
        result = pruned(two)
    assert (result.removed, result.hidden) == ((ids[0],), ())  # the other had been hidden
    with open_app(two, (), reporter=Recorder(), quiet=True) as app:
        found = (layout.parse_key(each.key) for each in app.services.store("a").list("shop/"))
        assert {each.backup_id for each in found if each and each.name == layout.MANIFEST} == set(ids[1:])


def pruned(config: Path) -> Pruned:
    with open_app(config, (), reporter=Recorder(), quiet=True) as app:
        (target,) = app.targets
        (result,) = prune(app.services, target, app.stop, wish=Wish())
        return result
