"""Who comes by way of PgBouncer notices nothing of a swap for which it was paused, as the how-to tells."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from holdfast.jobs.swap import swap
from support.pgbouncer import pgbouncer
from support.postgres import execute, query, running_cluster
from support.swapping import pair
from support.world import world

pytestmark = pytest.mark.extended


@contextmanager
def writing(url: str) -> Iterator[tuple[list[float], list[str]]]:
    """Write all the time, over two connections; give the times of the writes and the errors."""
    done, times, failures = threading.Event(), [time.monotonic()], []

    def write() -> None:
        with closing(psycopg.connect(url, autocommit=True, prepare_threshold=None)) as connection:
            while not done.is_set():
                try:
                    connection.execute("INSERT INTO log DEFAULT VALUES")
                    times.append(time.monotonic())
                except psycopg.Error as error:
                    failures.append(str(error))
                    return

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        yield times, failures
    finally:
        done.set()
        for writer in writers:
            writer.join()


def test_a_paused_pooler_hides_the_swap_from_its_clients(tmp_path: Path) -> None:
    with (
        running_cluster() as server,
        pair(server) as both,
        pgbouncer(server, "transaction") as url,
        world(tmp_path, server.conninfo.argv_dsn()) as made,
    ):
        for each in both:
            execute(each, "CREATE TABLE log (n serial)")
        with (
            closing(psycopg.connect(f"{url} dbname=pgbouncer")) as console,
            writing(f"{url} dbname=shop") as (times, failures),
        ):
            while len(times) < 50:
                time.sleep(0.01)
            assert not console.pgconn.exec_(b"PAUSE shop").error_message
            report = swap(made.services, server.conninfo, "shop", "new", made.stop)
            assert not console.pgconn.exec_(b"RESUME shop").error_message
            resumed = time.monotonic()
            while times[-1] < resumed + 0.2:
                assert not failures
                assert time.monotonic() < resumed + 10
                time.sleep(0.01)
        assert failures == []
        assert max(later - sooner for sooner, later in itertools.pairwise(times)) < 5
        for name in ("shop", report.kept):
            assert query(server.conninfo.with_database(name), "SELECT FROM log LIMIT 1")
