"""Which of the shipped alerts fire when things stay as a scrape says, by promtool."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

RULES = Path(__file__).parents[2] / "deploy/prometheus/holdfast.rules.yml"
_SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")


def firing(scrape: str, *, now: float, hours: int = 48) -> set[str]:
    """The alerts that fire once everything has stayed as the scrape of `now` (seconds since 1970) says for so many hours."""
    promtool = shutil.which("promtool")
    assert promtool, "the extended suite needs promtool (Debian's package prometheus)"
    names = re.findall(r"(?m)^ +- alert: (\w+)$", RULES.read_text())
    test = [
        f"rule_files: [{RULES}]",
        "evaluation_interval: 5m",
        "tests:",
        "  - interval: 5m",
        "    input_series:",
        *_series(scrape, now, hours),
        "    alert_rule_test:",
        *(f"      - {{alertname: {name}, eval_time: {hours}h, exp_alerts: []}}" for name in names),
    ]
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        file = Path(folder, "test.yml")
        file.write_text("\n".join(test) + "\n")
        done = subprocess.run(
            [promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False, timeout=120
        )
    found = set(re.findall(r"alertname: ?(\w+), time", done.stdout + done.stderr))
    assert bool(found) == bool(done.returncode), done.stdout + done.stderr
    return found


def _series(scrape: str, now: float, hours: int) -> list[str]:
    """The samples as series that never change; times count from when promtool's own begin."""
    steps = hours * 12
    lines = [f'      - {{series: \'up{{job="holdfast", instance="db1"}}\', values: "1x{steps}"}}']
    for line in scrape.splitlines():
        found = _SAMPLE.fullmatch(line)
        if line.startswith("#") or found is None:
            continue
        name, labels, value = found[1], found[2] or "", float(found[3])
        if name.endswith("_timestamp_seconds"):
            value -= now
        mine = re.sub(r'(?<!\w)job="', 'exported_job="', labels)
        whole = ", ".join(filter(None, (mine, 'job="holdfast"', 'instance="db1"')))
        if math.isnan(value):
            continue
        quoted = f"{name}{{{whole}}}".replace("'", "''")
        lines.append(f"      - {{series: '{quoted}', values: \"{value:.6f}x{steps}\"}}")
    return lines
