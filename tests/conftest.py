"""What all tests share: PostgreSQL clusters, fresh databases, and the switch for the slow suites."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support import cluster_copies
from support.kill_driver import killer
from support.postgres import new_database, running_cluster

# Nothing is timed in a test: the machine may be busy.
settings.register_profile(
    "fast", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("extended", settings.get_profile("fast"), max_examples=200)
settings.load_profile("fast")

# How long a test takes, on average.
_MILLISECONDS = {"unit": 20, "docs": 80, "contract": 100, "integration": 400, "e2e": 650, "fault": 750}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--extended", action="store_true", help="also run the slow suites against real components"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--extended"):
        settings.load_profile("extended")
    config.option.loadscopereorder = False  # the order of `_longest_first` is better than that of xdist
    # A shell that starts this with `&` has SIGINT ignored, nohup SIGHUP, which the programs under test would inherit.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--extended"):
        _leave_out_the_slow(config, items)
    if os.environ.get("PYTEST_XDIST_WORKER"):
        _longest_first(items)


def _longest_first(items: list[pytest.Item]) -> None:
    """Have long files begin before short ones, so that no worker waits at the end for another."""
    files = Counter(item.path for item in items)
    items.sort(key=lambda item: -files[item.path] * _MILLISECONDS.get(item.path.parent.name, 0))


def _leave_out_the_slow(config: pytest.Config, items: list[pytest.Item]) -> None:
    every: dict[tuple[str, str], list[pytest.Item]] = defaultdict(list)
    for item in items:
        if not item.get_closest_marker("extended"):
            every[item.nodeid.partition("[")[0], getattr(item.parent, "nodeid", "")].append(item)
    kept = {id(item) for cases in every.values() for item in _sample(cases)}
    slow = [item for item in items if id(item) not in kept]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if id(item) in kept]


def _sample(cases: list[pytest.Item]) -> list[pytest.Item]:
    """Give the cases of a test that the fast suite runs: the first, the last, and some of those in between.

    In the order in which they stand in the file: another plugin has shuffled them, and every run is to have the same ones.
    """
    mark = cases[0].get_closest_marker("sampled")
    if mark is None or mark.args[0] >= len(cases):
        return cases
    cases = sorted(cases, key=_place)
    step = (len(cases) - 1) / max(1, mark.args[0] - 1)
    return [cases[round(number * step)] for number in range(mark.args[0])]


def _place(case: pytest.Item) -> tuple[int, ...]:
    assert isinstance(case, pytest.Function)
    return tuple(case.callspec.indices.values())


@pytest.fixture(autouse=True)
def unset_logs() -> Iterator[None]:
    """Forget how a test had the log configured: after a quiet one, another would find lines missing."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session", autouse=True)
def _copies() -> Iterator[None]:
    yield
    cluster_copies.forget()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Run a PostgreSQL cluster for the whole session (one per xdist worker); over TCP with a password, too."""
    with running_cluster() as running:
        yield running


@pytest.fixture(scope="session")
def second_cluster() -> Iterator[Cluster]:
    """Run another cluster, to restore into."""
    with running_cluster() as running:
        yield running


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Conninfo]:
    """Create a fresh, empty database in `cluster`, dropped after the test."""
    with new_database(cluster) as conninfo:
        yield conninfo


@pytest.fixture(scope="session")
def kill() -> Iterator[Callable[..., int]]:
    """Run the process whose children kill themselves in the midst of a job (`support.kill_driver`)."""
    with killer() as process:
        yield process


@pytest.fixture(scope="module")
def bucket_server() -> Iterator[str]:
    """Run an S3 server that stands for the buckets of a hosting platform."""
    from support.moto_server import moto_server  # noqa: PLC0415 - slow to import, and few need it

    with moto_server() as url:
        yield url


@pytest.fixture
def s3(bucket_server: str) -> Any:  # noqa: ANN401 - boto3 makes its clients when it runs
    """The platform's buckets, empty."""
    from support.buckets import emptied  # noqa: PLC0415 - as above

    return emptied(bucket_server)


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """Give a directory that everybody may look into; those of pytest are for its own user."""
    path = Path(tempfile.mkdtemp(prefix="holdfast-test-", dir="/tmp")).resolve()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
