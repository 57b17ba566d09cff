"""What the endpoint answers with, over real HTTP, while runs write into the same ledger."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from holdfast.jobs.monitoring import Monitoring, probe
from holdfast.ledger import Ledger, facts, probes, scheduling
from holdfast.metrics import endpoint
from holdfast.metrics.host import Surroundings
from holdfast.model import layout, manifest
from holdfast.model.errors import CancelledError
from holdfast.model.overview import Configured
from holdfast.model.run import Run
from holdfast.stores.local import LocalStore
from holdfast.system.clock import SystemClock
from holdfast.system.stop import Stop
from support.model_values import NOW, sample_backup

CONFIGURED = Configured(targets={"shop": ("disk",)}, stores=("disk",), channels=("pager",))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite", now=NOW) as opened:
        yield opened


def monitoring(ledger: Ledger) -> Monitoring:
    return Monitoring(
        ledger_file=ledger.path,
        surroundings=Surroundings(version="1", state_dir=ledger.path.parent),
        configured=lambda: CONFIGURED,
        clock=SystemClock(),
    )


@pytest.fixture(autouse=True)
def quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the endpoint notice at once that it is to end."""
    monkeypatch.setattr(endpoint, "_TICK", 0.01)


@contextmanager
def served(ledger: Ledger) -> Iterator[str]:
    watched = monitoring(ledger)
    with endpoint.serving(("127.0.0.1", 0), watched.metrics, watched.problems, watched.problems) as (
        host,
        port,
    ):
        yield f"http://{host}:{port}"


def ask(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - our own server
        return str(answer.read().decode())


def value(text: str, name: str, **labels: str) -> float:
    [found] = [
        sample.value
        for family in parsed(text)
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    return float(found)


def take_backup(ledger: Ledger, at: datetime) -> str:
    backup = sample_backup(layout.new_backup_id(at, "00"))
    run = ledger.begin(Run(job="backup", target="shop", started_at=at))
    ledger.record_backup(backup, manifest=manifest.dump(backup), signature=b"s", coverage=None)
    ledger.finish(run.id, status="succeeded", now=at, backup_id=backup.id)
    ledger.record_copy(backup.id, "disk", "complete", at)
    return backup.id


def test_scrapes_go_on_while_runs_are_recorded(ledger: Ledger) -> None:
    """A backup counts as good after its run has ended, and never the other way round."""
    done = threading.Event()

    def work() -> None:
        for number in range(60):
            take_backup(ledger, NOW + timedelta(seconds=number))
        done.set()

    worker = threading.Thread(target=work)
    before = 0.0
    with served(ledger) as url:
        worker.start()
        scrapes = 0
        while not done.is_set() or scrapes < 3:
            text = ask(f"{url}/metrics")
            runs = value(text, "holdfast_runs_total", job="backup", target="shop", result="succeeded")
            good = value(text, "holdfast_backups", target="shop", proof="stored")
            assert runs - 1 <= good <= runs
            assert before <= runs
            before, scrapes = runs, scrapes + 1
        worker.join()
        assert value(ask(f"{url}/metrics"), "holdfast_backups", target="shop", proof="stored") == 60


def test_a_scrape_is_one_moment(ledger: Ledger) -> None:
    made = take_backup(ledger, NOW)
    ledger._connection.execute("PRAGMA synchronous = OFF")
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            ledger.record_copy(made, "disk", "damaged", NOW)
            ledger.record_copy(made, "disk", "complete", NOW)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(300):
            found = facts.overview(ledger.path, NOW)
            assert (
                found.backups["shop", "stored"] == found.holdings["shop", "disk"].backups == len(found.newest)
            )
    finally:
        done.set()
        worker.join()


def test_a_locked_ledger_does_not_hold_up_a_scrape(ledger: Ledger) -> None:
    with served(ledger) as url, ledger.writing():
        begun = time.monotonic()
        assert value(ask(f"{url}/metrics"), "holdfast_ledger_up") == 1
        assert time.monotonic() - begun < 5


def test_numbers_survive_a_restart(ledger: Ledger) -> None:
    take_backup(ledger, NOW)
    first = monitoring(ledger).metrics().decode()
    ledger.close()
    with Ledger.open(ledger.path, now=NOW) as again:
        second = monitoring(again).metrics().decode()
    for text in (first, second):
        assert value(text, "holdfast_runs_total", job="backup", target="shop", result="succeeded") == 1


def test_a_ledger_that_is_gone_is_told_of_and_so_is_its_return(ledger: Ledger) -> None:
    with served(ledger) as url:
        aside = ledger.path.rename(ledger.path.with_name("aside"))
        assert value(ask(f"{url}/metrics"), "holdfast_ledger_up") == 0
        with pytest.raises(urllib.error.HTTPError, match="503"):
            ask(f"{url}/healthz")
        aside.rename(ledger.path)
        assert value(ask(f"{url}/metrics"), "holdfast_ledger_up") == 1


def test_health_follows_the_scheduler(ledger: Ledger) -> None:
    with served(ledger) as url:
        with pytest.raises(urllib.error.HTTPError, match="503") as caught:
            ask(f"{url}/healthz")
        assert caught.value.read() == b"the scheduler has not begun yet\n"
        scheduling.started(ledger, now=datetime.now(UTC), version="1", host="h", pid=1)
        assert ask(f"{url}/healthz") == "ok\n"
        scheduling.ticked(ledger, datetime.now(UTC) - timedelta(minutes=10), clock_suspect=False)
        with pytest.raises(urllib.error.HTTPError, match="503"):
            ask(f"{url}/readyz")


def test_a_store_that_lost_its_newest_backup_is_down(ledger: Ledger, tmp_path: Path) -> None:
    store = LocalStore(name="disk", path=tmp_path / "store")
    up: list[bool] = []

    def look() -> None:
        probes.record(ledger, probe(ledger, {"disk": store}, SystemClock(), Stop()))
        up.append(facts.overview(ledger.path, NOW).probes["disk"].up)

    look()
    made = take_backup(ledger, NOW)
    look()
    store.put(layout.key("shop", made, layout.MANIFEST), [b"{}"])
    look()
    shutil.rmtree(tmp_path / "store")  # as when the disk is not mounted any more
    look()
    assert up == [True, False, True, False]
    [row] = ledger.read("SELECT error FROM stores", [])
    assert made in str(row["error"])


def test_a_probe_that_is_told_to_stop_tells_nothing(ledger: Ledger, tmp_path: Path) -> None:
    stop = Stop()
    stop.request()
    with pytest.raises(CancelledError):
        probe(ledger, {"disk": LocalStore(name="disk", path=tmp_path)}, SystemClock(), stop)


@pytest.mark.extended
def test_promtool_finds_nothing_to_mend(ledger: Ledger) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "the extended suite needs promtool (Debian's package prometheus)"
    for number in range(10):
        take_backup(ledger, NOW + timedelta(seconds=number))
    text = monitoring(ledger).metrics()
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
