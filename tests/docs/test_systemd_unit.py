"""The units in systemd/: what they promise stands in them, and systemd's own tools find nothing wrong."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from holdfast import daemon
from holdfast.config import sources
from holdfast.model.errors import ConfigError, UsageError

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd/holdfast.service"
PROVER = ROOT / "systemd/holdfast-prover.conf"
HOW_TO = (ROOT / "docs/how-to/systemd.md").read_text()
EXPOSURE = {
    None: 20,
    PROVER: 21,
}  # in tenths, at most; namespaces to shut servers in with cost the prover one
LOCKED = {  # each takes something away that the daemon does not need
    "LockPersonality", "MemoryDenyWriteExecute", "NoNewPrivileges", "PrivateDevices", "PrivateIPC", "PrivateMounts",
    "PrivateTmp", "PrivateUsers", "ProtectClock", "ProtectControlGroups", "ProtectHome", "ProtectHostname",
    "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "RemoveIPC", "RestrictNamespaces",
    "RestrictRealtime", "RestrictSUIDSGID",
}  # fmt: skip


def settings(path: Path) -> dict[str, list[str]]:
    """What a unit says, by key; systemd takes a key as often as it stands there."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


SERVICE = settings(UNIT)


def test_systemd_is_told_when_it_is_ready_and_restarts_what_dies_or_stands_still() -> None:
    assert SERVICE["Type"] == ["notify"]
    assert SERVICE["Restart"] == ["on-failure"]
    [watchdog] = SERVICE["WatchdogSec"]
    assert int(watchdog) >= 3 * daemon._TICK, "two ticks may come late"
    [patience] = SERVICE["TimeoutStopSec"]
    assert int(patience) > daemon._STOP_SECONDS + daemon._LAST_WORDS
    assert SERVICE["KillMode"] == ["mixed"], "its children are its own to end"
    assert "kill -HUP" in SERVICE["ExecReload"][0]
    assert SERVICE["RestartPreventExitStatus"] == [f"{UsageError.exit_code} {ConfigError.exit_code}"]


def test_everything_is_locked_that_it_does_not_need() -> None:
    assert {key for key in LOCKED if SERVICE.get(key) != ["yes"]} == set()
    assert SERVICE["CapabilityBoundingSet"] == [""]
    assert SERVICE["ProtectSystem"] == ["strict"]
    assert SERVICE["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    assert SERVICE["User"] == ["holdfast"]
    assert SERVICE["UMask"] == ["0077"]


def test_it_comes_after_the_database() -> None:
    assert int(SERVICE["Nice"][0]) > 0
    assert int(SERVICE["IOSchedulingPriority"][0]) == 7
    assert int(SERVICE["IOWeight"][0]) < 100 > int(SERVICE["CPUWeight"][0])


def test_its_secrets_are_found_by_their_names_and_the_identity_is_not_among_them() -> None:
    keys = "holdfast_signing.key"
    assert keys in SERVICE["LoadCredential"]
    assert f"HOLDFAST_ENCRYPTION__SIGNING_KEY_FILE=%d/{keys}" in SERVICE["Environment"]
    page = re.findall(r"(?m)^LoadCredential=(\S+)$", HOW_TO)
    for name in {*SERVICE["LoadCredential"], *page} - {keys}:
        found = sources._keys(name, None)
        assert found is not None, name
        assert sources._is_secret(name, found), name
    assert "identity" not in " ".join(value for values in SERVICE.values() for value in values)
    assert "HOLDFAST_ENCRYPTION__IDENTITY_FILE=%d/holdfast_identity.txt" in settings(PROVER)["Environment"]


def test_the_page_puts_everything_where_the_unit_looks_for_it() -> None:
    program, config = SERVICE["ExecStart"][0].split()[0], SERVICE["ExecStart"][0].split()[-1]
    assert f"python3 -m venv {program.removesuffix('/bin/holdfast')}\n" in HOW_TO
    assert f"`{config}`" in HOW_TO
    for name in ("holdfast.service", "holdfast.sysusers.conf", "holdfast-prover.conf"):
        assert f" systemd/{name} " in HOW_TO


@pytest.mark.extended
@pytest.mark.parametrize("drop_in", [None, PROVER], ids=["writer", "prover"])
def test_systemd_finds_nothing_wrong_and_little_exposed(tmp_path: Path, drop_in: Path | None) -> None:
    tool = shutil.which("systemd-analyze")
    assert tool, "script/bootstrap --extended installs systemd"
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(SERVICE["ExecStart"][0].split()[0], "/bin/true"))
    if drop_in is not None:
        folder = tmp_path / f"{UNIT.name}.d"
        folder.mkdir()
        shutil.copy(drop_in, folder)
    for command in (
        ["verify", "--recursive-errors=yes"],
        ["security", "--offline=true", f"--threshold={EXPOSURE[drop_in]}"],
    ):
        done = subprocess.run(
            [tool, *command, unit], capture_output=True, text=True, check=False, env={"SYSTEMD_PAGER": ""}
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if command[0] == "verify":
            assert done.stderr == ""
