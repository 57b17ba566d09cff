"""Drills that came to their end are kept, and told of."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from holdfast.ledger import Ledger, drills, facts
from holdfast.metrics import restores
from holdfast.metrics.scene import Scene
from holdfast.model.overview import Configured
from support.model_values import NOW, sample_drill


def told(ledger: Ledger) -> dict[str, float]:
    scene = Scene(
        overview=facts.overview(ledger.path, NOW),
        configured=Configured(targets={"shop": ("disk",)}, stores=("disk",)),
        now=NOW.timestamp(),
    )
    return {family.name: next(iter(samples))[1] for family, samples in restores.families(scene)}


def test_the_last_drill_is_kept_and_told_of(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite", now=NOW) as ledger:
        assert drills.last(ledger, "shop") is None
        before = told(ledger)
        assert before["holdfast_drill_last_success_timestamp_seconds"] == 0
        assert math.isnan(before["holdfast_drill_duration_seconds"])
        last = replace(sample_drill(), at=NOW + timedelta(days=1), seconds=30.0)
        drills.record(ledger, last)
        drills.record(ledger, sample_drill())
        drills.record(ledger, replace(last, target="blog", at=NOW + timedelta(days=2)))
        assert drills.last(ledger, "shop") == last
        after = told(ledger)
    assert after["holdfast_drill_last_success_timestamp_seconds"] == last.at.timestamp()
    assert after["holdfast_drill_duration_seconds"] == 30
