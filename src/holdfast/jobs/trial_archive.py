"""Makes the archive of a database ready for a restore test: reads it into a file, without what would act on the world."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field

from holdfast.jobs import restore_reading, runner
from holdfast.jobs.part_archive import in_words
from holdfast.jobs.reading import Opened, plain_chunks
from holdfast.jobs.services import Services
from holdfast.methods import staging, standing_in
from holdfast.methods.proving import Stopwatch
from holdfast.methods.staging import Staged
from holdfast.model.backup import Part
from holdfast.model.catalog import Database, LeftOut
from holdfast.model.testing import RestoreTesting
from holdfast.postgres import acting, cutting
from holdfast.postgres.archive import TocReader
from holdfast.postgres.entries import Entry, Toc
from holdfast.postgres.stand_ins import StoodIn
from holdfast.system.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """An archive that is ready: what was kept out of it, what is stood in for, and what is restored after that."""

    staged: Staged = field(repr=False)
    left_out: tuple[LeftOut, ...]
    stood_in: StoodIn
    only: tuple[int, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialArchive:
    """The archive of one database of a backup that is tested."""

    services: Services
    opened: Opened
    plan: RestoreTesting
    found: Database
    part: Part

    @contextmanager
    def ready(
        self, missing: Collection[str], meter: runner.Meter, watch: Stopwatch, stop: Stop
    ) -> Iterator[Ready]:
        """Stage it, and show progress until the `with` ends. `missing` extensions are stood in for.

        Raise IntegrityError where it is not what was written, and what `staging.staged` raises.
        """
        entries = list(in_words(self._toc(everything=False).entries, self.found.properties.encoding))
        stood_in = standing_in.stood_in(entries, self.found, missing)
        kept = acting.acting(
            entries,
            without_extensions=self.plan.without_extensions,
            besides=standing_in.needing(entries, missing),
        )
        with (
            self.services.reporter.progress(f"test {self.part.database}", self.part.size) as show,
            closing(self._chunks(meter, show, stop)) as whole,
            ExitStack() as stack,
        ):
            with watch.phase("reading"):
                staged = stack.enter_context(self._staged(whole, kept))
            yield Ready(
                staged=staged,
                left_out=(*kept.left_out, *standing_in.told(stood_in)),
                stood_in=stood_in,
                only=self._rest(kept.out | stood_in.entries) if stood_in.entries else None,
            )

    def _chunks(
        self, meter: runner.Meter, show: Callable[[int], None], stop: Stop
    ) -> Generator[bytes, None, None]:
        for chunk in plain_chunks(self.opened.place, self.part, self.services.keys, threads=True):
            stop.check()
            meter.add(len(chunk))
            show(len(chunk))
            yield chunk

    @contextmanager
    def _staged(self, whole: Iterator[bytes], kept: acting.Kept) -> Iterator[Staged]:
        blocks = None
        if kept.out:
            toc = self._toc(everything=True)
            whole = cutting.cut(whole, toc, [each for each in toc.entries if each.dump_id not in kept.out])
        else:
            blocks = restore_reading.known_blocks(self.services, self.opened, self.part)
        with staging.staged(whole, self.services.spool_dir, size=self.part.size, blocks=blocks) as staged:
            yield staged

    def _rest(self, out: Collection[int]) -> tuple[int, ...]:
        """Tell what is left to restore where some of it is stood in for."""
        return tuple(each.dump_id for each in self._toc(everything=True).entries if each.dump_id not in out)

    def _toc(self, *, everything: bool) -> Toc:
        """Read the table of contents; unless `everything`, without large objects, which may be millions."""
        keep = None if everything else _is_no_large_object
        reader = TocReader(self.opened.place.key(self.part.name), keep=keep, copies=True)
        for chunk in plain_chunks(self.opened.place, self.part, self.services.keys):
            reader.feed(chunk)
            if reader.done:
                break
        return reader.finish()


def _is_no_large_object(entry: Entry) -> bool:
    return not entry.desc.startswith("BLOB") and not (entry.tag or "").startswith("LARGE OBJECT ")
