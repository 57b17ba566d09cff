"""The dashboard answers "am I safe?": a row for each target, everything else below, and Grafana's own types take it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/holdfast.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
TYPES = ROOT / ".cache/grafana/node_modules"
MODULES = {  # the plugin's name in the dashboard and in the schema, and whether it has settings for each field
    "stat": ("stat", False),
    "gauge": ("gauge", False),
    "timeseries": ("timeseries", True),
    "state-timeline": ("statetimeline", True),
    "table": ("table", True),
}
# The schema has enums, of which JSON has the values.
WRITTEN = """
type Written<T> = T extends string ? `${T}` : T extends (infer E)[] ? Written<E>[]
  : T extends object ? { [K in keyof T]: Written<T[K]> } : T;
"""


def test_the_first_row_is_repeated_for_each_target_and_says_whether_it_is_safe() -> None:
    rows = [number for number, panel in enumerate(PANELS) if panel["type"] == "row"]
    assert rows[0] == 0
    assert PANELS[0]["repeat"] == "target"
    first = PANELS[1 : rows[1]]
    assert {panel["type"] for panel in first} <= {"stat", "gauge"}
    assert [panel["title"] for panel in first] == [
        "Last good backup",
        "Age against its limit",
        "Last proven to restore",
        "Size",
        "Failures in a row",
        "Unusual measures",
    ]


@pytest.mark.parametrize(
    ("kind", "metric"),
    [
        ("timeseries", "holdfast_backup_database_size_bytes"),
        ("timeseries", "holdfast_backup_size_expected_bytes"),
        ("timeseries", "holdfast_backup_last_duration_seconds"),
        ("timeseries", "holdfast_recovery_time_estimate_seconds"),
        ("timeseries", "holdfast_store_bytes"),
        ("state-timeline", "holdfast_run_in_progress"),
        ("table", "holdfast_job_next_run_timestamp_seconds"),
    ],
)
def test_what_an_operator_asks_next_is_below(kind: str, metric: str) -> None:
    asked = [
        target["expr"] for panel in PANELS if panel["type"] == kind for target in panel.get("targets", ())
    ]
    assert any(metric in expression for expression in asked)


def test_datasource_instance_and_target_can_be_chosen() -> None:
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == [
        "datasource",
        "instance",
        "target",
    ]
    for panel in PANELS:
        for place in (panel, *panel.get("targets", ())):
            if "datasource" in place:
                assert place["datasource"]["uid"] == "${datasource}", panel["title"]


def typescript() -> str:
    """The dashboard, and the options of its panels, as declarations that the compiler checks."""
    schema = "./node_modules/@grafana/schema/dist/types/raw/composable"
    lines = ['import type { Dashboard } from "@grafana/schema";']
    lines += [
        f'import type * as {name} from "{schema}/{name}/panelcfg/x/types.gen";'
        for name, _ in MODULES.values()
    ]
    lines += [WRITTEN, f"export const whole: Written<Dashboard> = {json.dumps(DASHBOARD)};"]
    for panel in PANELS:
        if panel["type"] == "row":
            continue
        name, has_fields = MODULES[panel["type"]]
        number = panel["id"]
        lines.append(f"// {panel['title']}")
        lines.append(
            f"export const o{number}: Partial<Written<{name}.Options>> = {json.dumps(panel['options'])};"
        )
        if has_fields:
            custom = json.dumps(panel["fieldConfig"]["defaults"].get("custom", {}))
            lines.append(f"export const f{number}: Partial<Written<{name}.FieldConfig>> = {custom};")
    return "\n".join(lines)


def compiled(folder: Path, text: str) -> tuple[int, str]:
    assert TYPES.exists(), "script/bootstrap --extended installs Grafana's schema"
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(TYPES)
    (folder / "dashboard.ts").write_text(text)
    options = ("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext")
    done = subprocess.run(
        [TYPES / ".bin/tsc", *options, "--moduleResolution", "bundler", "dashboard.ts"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return done.returncode, done.stdout


@pytest.mark.extended
def test_grafanas_own_types_take_it(tmp_path: Path) -> None:
    code, said = compiled(tmp_path, typescript())
    assert code == 0, said
    for good, bad in (('"lineWidth": 1', '"lineWidth": "1"'), ('"textMode": ', '"textmode": ')):
        text = typescript()
        assert good in text
        code, said = compiled(tmp_path, text.replace(good, bad))
        assert code != 0, "a mistake would not be noticed"
