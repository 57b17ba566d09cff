"""Saves the files of a project's buckets: what changed is stored, encrypted, and a signed snapshot names what there is."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from holdfast.jobs import fence, runner, writing
from holdfast.jobs.services import Services
from holdfast.jobs.supabase.storage_access import bucket_files
from holdfast.jobs.supabase.storage_copy import copy
from holdfast.jobs.supabase.storage_journal import Journal, journal
from holdfast.jobs.supabase.storage_shelf import (
    Shelf,
    check_there,
    commit,
    known_before,
    locked,
    there_in,
    trusted_comment,
)
from holdfast.model import layout
from holdfast.model.backup import Segment
from holdfast.model.errors import Error, NotFoundError, StoreError
from holdfast.model.run import MANUAL, Occasion, Run
from holdfast.model.storage import (
    SNAPSHOT_VERSION,
    Content,
    Entry,
    File,
    Snapshot,
    content_id,
    dump,
    entry_line,
    head_of,
    index_line,
    secret_of,
)
from holdfast.model.target import Target
from holdfast.stores.bucket_files import BucketFiles
from holdfast.streams import age, compress
from holdfast.streams.chunks import Tally, counted, rechunk, tally
from holdfast.streams.sign import sign
from holdfast.system import spool
from holdfast.system.stop import Stop

_TOKEN_BYTES = 2
_LIST, _INDEX = "files.jsonl.zst", "index.zst"
_PIECE = 256 * 1024
_NUMBERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What a run did: the snapshot, how many files were stored anew, and their bytes."""

    snapshot: Snapshot
    new_files: int
    new_bytes: int


def save(services: Services, target: Target, stop: Stop, *, occasion: Occasion = MANUAL) -> Saved:
    """Save the files into the target's first store, and bring the snapshot to the others. Raise what went wrong."""
    run = runner.new_run(services, "objects", target.name, occasion)
    with locked(services, target.name):
        runner.close_lost_runs(services, "objects", target.name, locked=True)
        return runner.execute(services, run, lambda meter: _save(services, target, run, meter, stop))


def _save(services: Services, target: Target, run: Run, meter: runner.Meter, stop: Stop) -> Saved:
    services.keys.signer()  # without it there is no need to begin
    source = bucket_files(target, stop)
    store = services.store(target.stores[0])
    with (
        stop.calling(source.hurry),
        fence.fenced_in_time(services, store, target.name, "objects", stop) as held,
        journal(services.state_dir, target.name, store.name) as kept,
    ):
        shelf = Shelf(store=held, target=target.name, pulse=meter.pulse)
        saving = _Saving(services, target, shelf, source, kept, meter, stop)
        snapshot = saving.snapshot(run)
        services.stage("objects:committed")
    failed: list[tuple[str, Error]] = []
    for name in target.stores[1:]:
        stop.check()
        try:
            to = services.store(name)
            with fence.fenced_in_time(services, to, target.name, "objects", stop) as held:
                copy(
                    services,
                    replace(shelf, store=store),
                    replace(shelf, store=held),
                    snapshot.id,
                    meter,
                    stop,
                )
        except Error as error:
            stop.check()
            services.reporter.warn("the files could not be copied", store=name, error=error.message)
            failed.append((name, error))
    if failed:
        raise failed[0][1]
    return Saved(snapshot=snapshot, new_files=saving.new_files, new_bytes=saving.new_bytes)


class _Saving:
    """One pass over the buckets into one store."""

    def __init__(
        self,
        services: Services,
        target: Target,
        shelf: Shelf,
        source: BucketFiles,
        kept: Journal,
        meter: runner.Meter,
        stop: Stop,
    ) -> None:
        self._services, self._target, self._shelf = services, target, shelf
        self._source, self._journal = source, kept
        self._meter, self._stop = meter, stop
        self._recipients = services.keys.recipients
        self._secret = secret_of(services.keys.signer().seed, target.name)
        self._known = {**known_before(services, shelf, encrypted=bool(self._recipients)), **kept.known}
        self._there = there_in(shelf)
        self._taken = self._look_elsewhere()
        self._named: dict[str, Content] = {}
        self._buckets = self._files = self._size = 0
        self._lacking: list[str] = []
        self.new_files = self.new_bytes = 0

    def snapshot(self, run: Run) -> Snapshot:
        """Go through all files, store what is new, and commit what there is."""
        snapshot_id = layout.new_backup_id(run.started_at, secrets.token_hex(_TOKEN_BYTES))
        with spool.unnamed_file(self._services.spool_dir) as handle:
            name = _LIST + (".age" if self._recipients else "")
            chunks = compress.compress(rechunk(self._lines(), _PIECE))
            if self._recipients:
                chunks = age.encrypt(chunks, self._recipients)
            with open(handle, "r+b", closefd=False) as file:
                file.writelines(chunks)
                file.seek(0)
                listed = self._put(snapshot_id, name, iter(lambda: file.read(_PIECE), b""))
        indexed = self._put(snapshot_id, _INDEX, compress.compress(self._index()))
        check_there(self._shelf, self._named)
        if self._lacking:
            self._services.reporter.warn(
                "files were listed, and are not there",
                count=len(self._lacking),
                first=self._lacking[0],
            )
        made = Snapshot(
            snapshot_version=SNAPSHOT_VERSION,
            target=self._target.name,
            id=snapshot_id,
            started_at=run.started_at,
            finished_at=self._services.clock.now(),
            host=self._services.host,
            signer=self._services.keys.signer().public.text,
            buckets=self._buckets,
            files=self._files,
            size=self._size,
            stored_size=sum(content.size for content in self._named.values()),
            recipients=tuple(recipient.text for recipient in self._recipients),
            list=listed,
            index=indexed,
        )
        self._services.stage("objects:manifest")
        data = dump(made)
        signature = sign(
            data,
            self._services.keys.signer(),
            trusted_comment=trusted_comment(self._target.name, snapshot_id),
        )
        commit(self._shelf, snapshot_id, data, signature)
        return made

    def _put(self, snapshot_id: str, name: str, chunks: Iterator[bytes]) -> Segment:
        written = Tally()
        writing.put_checked(
            self._shelf, self._shelf.member(snapshot_id, name), tally(chunks, written), written
        )
        return Segment(name=name, size=written.size, sha256=written.sha256)

    def _look_elsewhere(self) -> set[str]:
        """The ids that the other stores have: other bytes may lie there under them. One where they do is known no more."""
        taken: set[str] = set()
        for name in self._target.stores[1:]:
            shelf = replace(self._shelf, store=self._services.store(name))
            try:
                taken.update(there_in(shelf))
            except StoreError as error:
                self._services.reporter.warn("a store cannot be looked into", store=name, error=error.message)
                continue
            for each, content in known_before(
                self._services, shelf, encrypted=bool(self._recipients)
            ).items():
                if self._known.get(each, content) != content:
                    del self._known[each]
        return taken

    def _index(self) -> Iterator[bytes]:
        for each in sorted(self._named):
            yield index_line(each, self._named[each])

    def _lines(self) -> Iterator[bytes]:
        """Store what is new as it comes by; give the lines of the list."""
        for bucket in self._source.buckets():
            self._buckets += 1
            for file in self._source.files(bucket):
                self._stop.check()
                self._meter.pulse()
                try:
                    entry = self._entry(file)
                except NotFoundError:  # deleted since it was listed, or lost by the platform
                    self._lacking.append(f"{bucket}/{file.name}")
                    continue
                self._files += 1
                self._size += entry.size
                yield entry_line(entry)

    def _entry(self, file: File) -> Entry:
        found = self._id(file)
        content = self._known.get(found)
        if content is None:
            file, found, content = self._store(file)
        self._named[found] = content
        return Entry(
            bucket=file.bucket,
            name=file.name,
            size=file.size,
            etag=file.etag,
            modified_at=file.modified_at,
            content=found,
        )

    def _id(self, file: File) -> str:
        """The id of what is stored of a file, or a free one: what is there and not known may be of an older snapshot."""
        free: str | None = None
        for number in count():
            found = content_id(self._secret, file, number)
            content = self._known.get(found)
            if content is not None and self._there.get(found) == content.size:
                return found
            if free is None and found not in self._there and found not in self._taken:
                free = found
            if free is not None and number >= _NUMBERS:  # an earlier one may have become free since
                self._known.pop(free, None)
                return free
        raise AssertionError

    def _store(self, listed: File) -> tuple[File, str, Content]:
        """Store a file as it is now, which may be newer than it was listed."""
        file, properties, body = self._source.open(listed.bucket, listed.name)
        found = self._id(file)
        if (content := self._known.get(found)) is not None:
            return file, found, content
        self._services.reporter.doing(f"{file.bucket}/{file.name}")
        chunks: Iterator[bytes] = _after(
            head_of(properties), counted(self._stop.checked(body), self._meter.add)
        )
        if self._recipients:
            chunks = age.encrypt(chunks, self._recipients)
        name, written = self._shelf.content(found, encrypted=bool(self._recipients)), Tally()
        writing.put_checked(self._shelf, name, tally(chunks, written), written)
        content = Content(written.size, written.sha256)
        self._journal.add(found, content)
        self._known[found], self._there[found] = content, content.size
        self.new_files += 1
        self.new_bytes += file.size
        self._services.stage("objects:stored")
        return file, found, content


def _after(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from chunks
