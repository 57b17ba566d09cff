"""The unit in a real systemd, set up by the words of its how-to page: ready, backups, reload, kill, watchdog, stop."""

from __future__ import annotations

import os
import re
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.machine import SOURCE, Machine, awaited, booted, machine

pytestmark = [
    pytest.mark.extended,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root boots a machine"),
]

PASSWORD = "pass-w0rd-of-the-role"
CONFIG = "/etc/holdfast/holdfast.toml"
HOW_TO = (Path(__file__).parents[2] / "docs/how-to/systemd.md").read_text()


def blocks(language: str, heading: str) -> list[str]:
    """The blocks of a section of the page, as they are to be typed."""
    section = HOW_TO.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [textwrap.dedent(text) for text in re.findall(rf"(?ms)^ *```{language}\n(.*?)^ *```", section)]


@pytest.fixture(scope="module")
def host() -> Iterator[Machine]:
    """A machine on which somebody did what the page says, with a backup every 5 seconds."""
    install, user, keys, role, start = blocks("sh", "Set it up")
    [config] = blocks("toml", "Set it up")
    with machine() as made:
        made.shell(install)
        with booted(made) as running:
            running.shell(user)
            recipient = running.shell(keys).split()[0]
            asks = re.compile(r"systemd-ask-password -n \"[^\"]*\"")
            assert asks.search(role)
            running.shell(asks.sub(f"printf %s {PASSWORD}", role), stdin=f"{PASSWORD}\n{PASSWORD}\n")
            assert 'schedule = "@daily"' in config
            running.path(CONFIG).write_text(
                config.replace("age1…", recipient).replace('schedule = "@daily"', 'every = "5s"')
            )
            running.shell(start)
            yield running


@pytest.fixture
def service(host: Machine) -> Machine:
    """That machine, with the service newly started."""
    host.run("systemctl", "restart", "holdfast")
    return host


def told(host: Machine, name: str) -> str:
    return host.run("systemctl", "show", "--value", f"--property={name}", "holdfast").strip()


def schedules(host: Machine) -> int:
    """How many the daemon says that it has."""
    found = re.fullmatch(r"1 target, (\d+) schedules", told(host, "StatusText"))
    assert found
    return int(found[1])


def log(host: Machine) -> str:
    """What the service said since it was last started."""
    invocation = told(host, "InvocationID")
    return host.run("journalctl", "--output=cat", f"_SYSTEMD_INVOCATION_ID={invocation}")


def awaits(host: Machine, word: str) -> None:
    awaited(lambda: word in log(host), lambda: log(host))


def test_it_is_ready_and_takes_a_backup_by_its_schedule(service: Machine) -> None:
    assert told(service, "ActiveState") == "active"
    assert schedules(service) >= 1
    awaits(service, "run succeeded")
    assert "SAFE  main" in service.run("holdfast", "status")
    assert service.run("holdfast", "health") == "ok\n"
    verify = f"HOLDFAST_ENCRYPTION__IDENTITY_FILE={SOURCE}/identity.txt holdfast verify latest"
    service.shell(verify)


def test_it_runs_as_its_user_after_others_and_with_no_capability(service: Machine) -> None:
    status = service.run("cat", f"/proc/{told(service, 'MainPID')}/status")
    assert re.search(r"(?m)^CapBnd:\s+0+$", status)
    assert re.search(r"(?m)^NoNewPrivs:\s+1$", status)
    assert re.search(rf"(?m)^Uid:\s+{service.run('id', '-u', 'holdfast').strip()}\s", status)
    stat = service.run("cat", f"/proc/{told(service, 'MainPID')}/stat")
    assert stat.rpartition(")")[2].split()[16] == "10", "nice"


def test_only_the_service_reads_its_secrets(service: Machine) -> None:
    environ = service.run("cat", f"/proc/{told(service, 'MainPID')}/environ")
    assert PASSWORD not in environ
    as_user = ("runuser", "-u", "holdfast", "--", "cat", "/etc/credstore/holdfast_password")
    service.run(*as_user, code=1)
    service.run("runuser", "-u", "postgres", "--", "ls", "/run/credentials/holdfast.service", code=2)
    assert PASSWORD not in service.run("journalctl", "--output=cat", "--unit=holdfast")


def test_a_good_config_counts_at_a_reload_and_a_bad_one_is_refused(service: Machine) -> None:
    config = service.path(CONFIG)
    good, before, count = config.read_text(), told(service, "MainPID"), schedules(service)
    try:
        config.write_text(f"{good}nonsense = 1\n")
        service.run("systemctl", "reload", "holdfast")
        awaits(service, "the new config is refused, the old one goes on")
        awaited(lambda: "the new config is refused" in told(service, "StatusText"), lambda: log(service))
        config.write_text(f'{good}verify_schedule = ""\n')
        service.run("systemctl", "reload", "holdfast")
        awaits(service, "the config was read again")
        assert schedules(service) == count - 1
        assert (told(service, "MainPID"), told(service, "ActiveState")) == (before, "active")
    finally:
        config.write_text(good)


def test_killed_it_comes_back(service: Machine) -> None:
    before = told(service, "MainPID")
    awaits(service, "run begins")
    service.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", "holdfast")
    awaited(
        lambda: told(service, "MainPID") not in {before, "0"} and told(service, "ActiveState") == "active",
        lambda: log(service),
    )
    awaits(service, "run succeeded")


def test_one_that_stands_still_is_started_anew(service: Machine) -> None:
    drop_in = "/run/systemd/system/holdfast.service.d/soon.conf"
    service.shell(f"mkdir -p $(dirname {drop_in}); printf '[Service]\\nWatchdogSec=15\\n' >{drop_in}")
    try:
        service.run("systemctl", "daemon-reload")
        service.run("systemctl", "restart", "holdfast")
        before = told(service, "MainPID")
        time.sleep(20)
        assert (told(service, "MainPID"), told(service, "NRestarts")) == (before, "0"), (
            "its ticks were not heard"
        )
        service.run("systemctl", "kill", "--signal=STOP", "--kill-who=main", "holdfast")
        awaited(
            lambda: (
                told(service, "MainPID") not in {before, "0"} and told(service, "ActiveState") == "active"
            ),
            lambda: log(service),
            120,
        )
        assert "Watchdog timeout" in service.run("journalctl", "--output=cat", "--unit=holdfast")
    finally:
        service.run("rm", drop_in)
        service.run("systemctl", "daemon-reload")


def test_it_stops_in_time_in_the_middle_of_a_backup(service: Machine) -> None:
    awaits(service, "run begins")
    began = time.monotonic()
    service.run("systemctl", "stop", "holdfast")
    assert time.monotonic() - began < 10
    assert told(service, "Result") == "success"
    assert "the daemon has ended" in log(service)


def test_a_wrong_config_is_not_tried_again(service: Machine) -> None:
    config = service.path(CONFIG)
    good = config.read_text()
    try:
        config.write_text(f"{good}nonsense = 1\n")
        service.run("systemctl", "restart", "holdfast", code=1)
        assert (told(service, "ActiveState"), told(service, "ExecMainStatus")) == ("failed", "10")
    finally:
        config.write_text(good)


def test_a_host_with_the_identity_tests_restores_within_its_limits(service: Machine) -> None:
    [prove] = blocks("sh", "A host that tests restores")
    drop_in = service.path("/etc/systemd/system/holdfast.service.d/prover.conf")
    try:
        service.shell(prove)
        awaited(
            lambda: re.search(r"run succeeded .*job=restore_test", log(service)), lambda: log(service), 180
        )
        [newest] = re.findall(r"(?m)^(\d{8}T\S+).*proven", service.run("holdfast", "list"))[:1]
        assert "isolated" in service.run("holdfast", "proof", "show", newest)
    finally:
        drop_in.unlink()
        service.path("/etc/credstore/holdfast_identity.txt").unlink()
        service.run("systemctl", "daemon-reload")
