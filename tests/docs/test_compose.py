"""The composition in deploy/compose: what it mounts exists, what it publishes is for this machine only, and its configs load."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # no types are published with it

from holdfast.config.loading import load
from support.config import RECIPIENT, schedule_of

COMPOSE = Path(__file__).parents[2] / "deploy/compose"
DEPLOY = COMPOSE.parent
WHOLE: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = WHOLE["services"]
SETUP = (COMPOSE / "setup.sh").read_text()
OURS = {"setup", "holdfast", "by-hand"}


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Give what is mounted, by where."""
    return {text.split(":")[1]: text.split(":")[0] for text in service["volumes"]}


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_mounts_is_there(name: str) -> None:
    for source in mounts(SERVICES[name]).values():
        if source.startswith("."):
            assert (COMPOSE / source).exists(), source
        else:
            assert source in WHOLE["volumes"]
    assert set(SERVICES[name].get("networks", ())) <= WHOLE["networks"].keys()
    assert set(SERVICES[name].get("depends_on", ())) <= SERVICES.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_insecure_by_default(name: str) -> None:
    service = SERVICES[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_drop") == ["ALL"] or name == "postgres", "whose image drops root by itself"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert "privileged" not in service
    secrets = {key for key in service.get("environment", {}) if re.search("PASSWORD|KEY|TOKEN|SECRET", key)}
    assert all(key.endswith("FILE") for key in secrets)
    assert name in OURS or re.search(r":v?\d+\.\d+", service["image"]), "pinned"


def test_the_database_is_reached_by_nobody_but_holdfast() -> None:
    assert WHOLE["networks"]["database"] == {"internal": True}
    assert {name for name, each in SERVICES.items() if "database" in each.get("networks", ())} == {
        "postgres",
        "holdfast",
        "by-hand",
    }


def test_the_daemon_cannot_read_its_backups() -> None:
    assert {name for name, each in SERVICES.items() if "identity" in mounts(each).values()} == {
        "setup",
        "by-hand",
    }


def test_every_secret_that_is_read_is_made_at_the_first_start() -> None:
    texts = [(COMPOSE / name).read_text() for name in ("compose.yml", "role.sql", "holdfast/holdfast.toml")]
    read = {name for text in texts for name in re.findall(r"/(?:secrets|identity)/([\w.]+)", text)}
    made = {*re.findall(r"(?m)^password (\w+)", SETUP), *re.findall(r"/(?:secrets|identity)/([\w.]+)", SETUP)}
    assert read
    assert read <= made


def test_its_config_is_one(tmp_path: Path) -> None:
    text = (COMPOSE / "holdfast/holdfast.toml").read_text()
    (tmp_path / "recipient.txt").write_text(RECIPIENT)
    (tmp_path / "holdfast_password").write_text("secret")
    path = tmp_path / "holdfast.toml"
    path.write_text(text.replace("/secrets/", f"{tmp_path}/"))
    config = load(path, environ={"HOME": str(tmp_path)})
    assert [schedule_of(target) for target in config.targets()] == ["every 5m"]
    [store] = config.stores.values()
    assert str(getattr(store, "path", None)) in mounts(SERVICES["holdfast"])
    assert config.listen_address[0] == "0.0.0.0"  # noqa: S104 - within the container


def test_the_services_find_each_other() -> None:
    prometheus = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    [scrape] = prometheus["scrape_configs"]
    assert scrape["job_name"] == "holdfast"
    assert scrape["static_configs"] == [{"targets": ["holdfast:9853"]}]
    assert prometheus["alerting"]["alertmanagers"] == [
        {"static_configs": [{"targets": ["alertmanager:9093"]}]}
    ]
    assert mounts(SERVICES["prometheus"])[f"/etc/prometheus/{prometheus['rule_files'][0]}"].endswith(
        ".rules.yml"
    )
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())
    assert sources["datasources"][0]["url"] == "http://prometheus:9090"
    dashboards = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/holdfast.yml").read_text())
    folder = dashboards["providers"][0]["options"]["path"]
    assert f"{folder}/holdfast.json" in mounts(SERVICES["grafana"])
    for name in ("prometheus", "alertmanager", "grafana", "holdfast"):
        assert "monitoring" in SERVICES[name]["networks"]


def checked(*argv: str | Path) -> str:
    tool = shutil.which(str(argv[0]))
    assert tool, f"{argv[0]} not found: script/bootstrap --extended installs it"
    done = subprocess.run([tool, *argv[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.extended
def test_prometheus_and_alertmanager_take_their_configs(tmp_path: Path) -> None:
    for path in (COMPOSE / "prometheus.yml", DEPLOY / "prometheus/holdfast.rules.yml"):
        shutil.copy(path, tmp_path)
    checked("promtool", "check", "config", tmp_path / "prometheus.yml")
    checked("amtool", "check-config", DEPLOY / "alertmanager/alertmanager.yml")


@pytest.mark.extended
@pytest.mark.parametrize(("severity", "receiver"), [("critical", "at-night"), ("warning", "by-day")])
def test_what_is_critical_wakes_somebody(severity: str, receiver: str) -> None:
    config = f"--config.file={DEPLOY / 'alertmanager/alertmanager.yml'}"
    assert checked("amtool", "config", "routes", "test", config, f"severity={severity}").strip() == receiver
