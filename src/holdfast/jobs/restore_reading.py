"""Gives the archive of a part to a restore: as a stream that is counted and shown, or staged for several jobs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager

from holdfast.jobs import runner
from holdfast.jobs.reading import Opened, plain_chunks, ranged
from holdfast.jobs.services import Services
from holdfast.methods import staging
from holdfast.methods.staging import Staged
from holdfast.model.backup import Part
from holdfast.system.stop import Stop


@contextmanager
def archive(
    services: Services, opened: Opened, part: Part, jobs: int, meter: runner.Meter, stop: Stop
) -> Iterator[Iterator[bytes] | Staged]:
    """Give a part's archive: as a stream to one job, staged to several."""
    with stream(services, opened, part, meter, stop) as chunks:
        if jobs == 1:
            yield chunks
            return
        services.reporter.doing("staging")
        blocks = known_blocks(services, opened, part)
        with staging.staged(chunks, services.spool_dir, size=part.size, blocks=blocks) as staged:
            services.stage("staged")
            yield staged


def known_blocks(services: Services, opened: Opened, part: Part) -> Mapping[int, int] | None:
    """Tell where the data of each entry of a part's archive begins, where its seek table knows."""
    pieces = ranged(opened.place, part, services.keys)
    return pieces.blocks if pieces is not None else None


@contextmanager
def stream(
    services: Services, opened: Opened, part: Part, meter: runner.Meter, stop: Stop
) -> Iterator[Iterator[bytes]]:
    """Give a part's archive as a stream, whose progress is shown."""
    with (
        services.reporter.progress(part.database or part.name, part.size) as show,
        closing(_read(services, opened, part, meter, stop, show)) as chunks,
    ):
        yield chunks


def _read(
    services: Services,
    opened: Opened,
    part: Part,
    meter: runner.Meter,
    stop: Stop,
    show: Callable[[int], None],
) -> Generator[bytes, None, None]:
    for chunk in plain_chunks(opened.place, part, services.keys, threads=True):
        stop.check()
        yield chunk
        meter.add(len(chunk))
        show(len(chunk))
    services.stage("fed")
