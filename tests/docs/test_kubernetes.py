"""The manifests in deploy/kubernetes fit each other, the restricted profile, and the alert rules."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # no types are published with it

from holdfast.config.loading import load
from support.config import RECIPIENT, schedule_of

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
PODS = ("deployment.yaml", "cronjob.yaml", "sidecar.yaml")
PORT = 9853
Facts = dict[str, Any]


def documents(name: str) -> list[Facts]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def one(name: str, kind: str) -> Facts:
    [found] = [each for each in documents(name) if each["kind"] == kind]
    return dict(found)


def pod(name: str) -> Facts:
    """The spec of the pods that a file describes."""
    spec: Facts = documents(name)[0]["spec"]
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    return dict(spec["template"]["spec"])


def container(name: str) -> Facts:
    [found] = pod(name)["containers"]
    return dict(found)


@pytest.mark.parametrize("name", PODS)
def test_pods_keep_to_the_restricted_profile(name: str) -> None:
    whole = pod(name)
    both = {**whole.get("securityContext", {}), **container(name)["securityContext"]}
    assert both["runAsNonRoot"] is True
    assert both["runAsUser"] == both["runAsGroup"] == 10001, "the image's"
    assert both["seccompProfile"] == {"type": "RuntimeDefault"}
    assert both["allowPrivilegeEscalation"] is False
    assert both["readOnlyRootFilesystem"] is True
    assert both["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & whole.keys()
    kinds = {kind for volume in whole["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "secret", "persistentVolumeClaim", "emptyDir"}


@pytest.mark.parametrize("name", PODS)
def test_pods_mount_what_there_is(name: str) -> None:
    whole, mounts = pod(name), container(name)["volumeMounts"]
    volumes = {volume["name"]: volume for volume in whole["volumes"]}
    assert {mount["name"] for mount in mounts} == volumes.keys()
    claims = {each["metadata"]["name"] for each in documents("storage.yaml")}
    for volume in volumes.values():
        if claim := volume.get("persistentVolumeClaim"):
            assert claim["claimName"] in claims
        if chosen := volume.get("configMap"):
            assert chosen["name"] == one("config.yaml", "ConfigMap")["metadata"]["name"]
    assert {"/etc/holdfast", "/run/secrets/holdfast", "/var/lib/holdfast", "/tmp", "/var/tmp"} <= {  # noqa: S108 - of the pod
        mount["mountPath"] for mount in mounts
    }


@pytest.mark.parametrize("name", PODS)
def test_secrets_come_as_files(name: str) -> None:
    assert not {"env", "envFrom"} & container(name).keys()
    modes = [volume["secret"]["defaultMode"] for volume in pod(name)["volumes"] if "secret" in volume]
    assert modes == [0o444 if name == "sidecar.yaml" else 0o440], "without an fsGroup all may read, or none"


def test_the_daemon_is_asked_how_it_is() -> None:
    daemon = container("deployment.yaml")
    assert daemon["args"] == ["run"]
    [port] = daemon["ports"]
    assert port == {"name": "metrics", "containerPort": PORT}
    asked = {name: daemon[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: get["path"] for name, get in asked.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    assert {get["port"] for get in asked.values()} == {"metrics"}
    deployment = one("deployment.yaml", "Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    assert "readinessProbe" not in container("sidecar.yaml")


def test_prometheus_finds_it_under_the_name_that_the_rules_count_on() -> None:
    service, monitor = (
        one("deployment.yaml", "Service"),
        one("service-monitor.yaml", "ServiceMonitor")["spec"],
    )
    labels = service["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert labels[monitor["jobLabel"]] == "holdfast"
    assert monitor["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    pods = one("deployment.yaml", "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == pods
    policy = one("network-policy.yaml", "NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"] == pods
    assert policy["ingress"][0]["ports"] == [{"protocol": "TCP", "port": PORT}]


def test_the_rules_are_those_of_prometheus() -> None:
    rules = yaml.safe_load((FOLDER.parent / "prometheus/holdfast.rules.yml").read_text())
    assert one("prometheus-rule.yaml", "PrometheusRule")["spec"] == rules, (
        "its first lines say how to make it anew"
    )


def test_its_config_is_one(tmp_path: Path) -> None:
    text = one("config.yaml", "ConfigMap")["data"]["holdfast.toml"]
    (tmp_path / "password").write_text("secret")
    path = tmp_path / "holdfast.toml"
    path.write_text(
        text.replace("age1-PUT-YOUR-RECIPIENT-HERE", RECIPIENT).replace(
            "/run/secrets/holdfast", str(tmp_path)
        )
    )
    config = load(path, environ={"HOME": str(tmp_path)})
    assert [schedule_of(target) for target in config.targets()] == ["@daily"]
    assert config.listen_address == ("0.0.0.0", PORT)  # noqa: S104 - within the pod


def test_the_kustomization_names_the_files_of_the_daemon() -> None:
    [whole] = documents("kustomization.yaml")
    other = {"kustomization.yaml", "cronjob.yaml", "sidecar.yaml"}
    assert set(whole["resources"]) == {path.name for path in FOLDER.iterdir()} - other
    assert whole["images"][0]["name"] == container("deployment.yaml")["image"]


@pytest.mark.extended
@pytest.mark.parametrize("name", ["config.yaml", "storage.yaml", *PODS, "network-policy.yaml"])
def test_kubernetes_own_schema_takes_them(name: str) -> None:
    validate = importlib.import_module("kubernetes_validate")  # script/bootstrap --extended installs it
    for document in documents(name):
        whole = document
        if name == "sidecar.yaml":  # a patch: what it is laid over has these
            labels = {"matchLabels": {"a": "b"}}
            template = {"metadata": {"labels": {"a": "b"}}, **document["spec"]["template"]}
            whole = {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": {"name": "x"},
                "spec": {"serviceName": "x", "selector": labels, "template": template},
            }
        validate.validate(whole, "1.34", strict=True)
