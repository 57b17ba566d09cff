"""The alert rules speak of metrics that exist, say what to do, and are all tested."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # no types are published with it

from holdfast.metrics import collector

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
FAMILIES = {family.name: family for family in collector.FAMILIES}
THEIRS = {"up"}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "holdfast.rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def cases() -> dict[str, list[bool]]:
    """Give for each alert whether it fires, by test case."""
    found: dict[str, list[bool]] = {}
    for test in yaml.safe_load((PROMETHEUS / "holdfast.rules.test.yml").read_text())["tests"]:
        for case in test["alert_rule_test"]:
            found.setdefault(case["alertname"], []).append(bool(case["exp_alerts"]))
    return found


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_has_all_that_an_operator_needs(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"(?m)^## (\w+)$", (ROOT / path).read_text())
    assert anchor in {heading.lower() for heading in headings}
    assert rule["alert"] in headings


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_that_exist(rule: dict[str, Any]) -> None:
    asked = set(re.findall(r"\b(?:holdfast|process)_\w+|\bup\b", rule["expr"]))
    assert asked
    assert asked <= FAMILIES.keys() | THEIRS


@pytest.mark.fault("silence")
def test_every_alert_is_shown_to_fire_and_not_to_fire() -> None:
    assert {name: set(fires) for name, fires in cases().items()} == {
        rule["alert"]: {True, False} for rule in rules()
    }


def test_no_runbook_is_left_over() -> None:
    headings = re.findall(r"(?m)^## (\w+)$", (ROOT / "docs/how-to/alerts.md").read_text())
    assert headings == [rule["alert"] for rule in rules()]


@pytest.mark.extended
@pytest.mark.parametrize(
    "command",
    [["check", "rules", "holdfast.rules.yml"], ["test", "rules", "holdfast.rules.test.yml"]],
    ids=lambda command: " ".join(command[:2]),
)
def test_promtool_takes_the_rules(command: list[str]) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "the extended suite needs promtool (Debian's package prometheus)"
    done = subprocess.run(
        [promtool, *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def panels() -> list[dict[str, Any]]:
    return list(json.loads((ROOT / "deploy/grafana/holdfast.json").read_text())["panels"])


def test_the_dashboard_asks_for_metrics_that_exist_by_labels_that_they_have() -> None:
    ours = {
        "instance",
        "exported_job",
        "work",
        "__name__",
    }  # those that Prometheus adds, or the expression makes
    for panel in panels():
        for target in panel.get("targets", ()):
            for name, labels in re.findall(r"\b(holdfast_\w+|process_\w+)\{([^}]*)\}", target["expr"]):
                asked = set(re.findall(r"(\w+)=~?\"", labels))
                assert name in FAMILIES, panel["title"]
                assert asked <= ours | set(FAMILIES[name].labels), (panel["title"], name)


def test_every_panel_has_a_place_and_says_what_it_shows() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        assert panel["title"]
        assert panel["type"] == "row" or panel["description"].endswith(".")
        taken |= cells
