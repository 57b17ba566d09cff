"""Saves the files of a project's buckets: what changed is stored, encrypted, and a signed snapshot names what there is."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from holdfast.jobs import runner, writing
from holdfast.jobs.services import Services
from holdfast.jobs.storage_access import bucket_files
from holdfast.jobs.storage_journal import Journal, journal
from holdfast.jobs.storage_shelf import Shelf, contents, exact, locked, newest, open_snapshot, trusted_comment
from holdfast.model import layout
from holdfast.model.backup import Segment
from holdfast.model.errors import Error, IntegrityError, KeyFileError, NotFoundError, StoreError
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What a run did: the snapshot, how many files were stored anew, and their bytes."""

    snapshot: Snapshot
    new_files: int
    new_bytes: int


def save(services: Services, target: Target, stop: Stop, *, occasion: Occasion = MANUAL) -> Saved:
    """Save the files into the target's first store, and bring the snapshot to the others. Raise what went wrong."""
    run = Run(
        job="objects",
        target=target.name,
        trigger=occasion.trigger,
        slot=occasion.slot,
        attempt=occasion.attempt,
        started_at=services.clock.now(),
        host=services.host,
        pid=services.pid,
    )
    with locked(services, target.name):
        for dead in runner.lost_runs(services, "objects", target.name, locked=True):
            runner.close_lost(services, dead)
        return runner.execute(services, run, lambda meter: _save(services, target, run, meter, stop))


def _save(services: Services, target: Target, run: Run, meter: runner.Meter, stop: Stop) -> Saved:
    services.keys.signer()  # without it there is no need to begin
    source = bucket_files(target, stop)
    shelf = Shelf(store=services.store(target.stores[0]), target=target.name, pulse=meter.pulse)
    with stop.calling(source.hurry), journal(services.state_dir, target.name, shelf.store.name) as kept:
        saving = _Saving(services, target, shelf, source, kept, meter, stop)
        snapshot = saving.snapshot(run)
        services.stage("objects:committed")
    failed: list[tuple[str, Error]] = []
    for name in target.stores[1:]:
        stop.check()
        try:
            _copy(services, shelf, replace(shelf, store=services.store(name)), snapshot.id, meter, stop)
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
        self._known = {**_before(services, shelf, encrypted=bool(self._recipients)), **kept.known}
        self._there = _there(shelf)
        self._named: dict[str, Content] = {}
        self._buckets = self._files = self._size = 0
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
        self._check_there()
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
        _commit(self._shelf, snapshot_id, data, signature)
        return made

    def _put(self, snapshot_id: str, name: str, chunks: Iterator[bytes]) -> Segment:
        written = Tally()
        writing.put_checked(
            self._shelf, self._shelf.member(snapshot_id, name), tally(chunks, written), written
        )
        return Segment(name=name, size=written.size, sha256=written.sha256)

    def _check_there(self) -> None:
        """Raise StoreError where a content is gone again: retention of another host may take what no snapshot names yet."""
        there = _there(self._shelf)
        gone = [each for each, content in self._named.items() if there.get(each) != content.size]
        if gone:
            raise StoreError(
                f"{self._shelf.store.location}: {len(gone)} contents were stored, and are there no more",
                hint="Try again: they are stored anew. If that happens twice, find out what removes them.",
            )

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
                except NotFoundError:
                    continue  # deleted since it was listed
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
        for number in count():
            found = content_id(self._secret, file, number)
            content = self._known.get(found)
            if found not in self._there or (content is not None and self._there[found] == content.size):
                break
        if found not in self._there:
            self._known.pop(found, None)
        return found

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


def _before(services: Services, shelf: Shelf, *, encrypted: bool) -> dict[str, Content]:
    """The contents of the newest snapshot, which need not be stored again; none where it is not to be believed."""
    try:
        last = newest(shelf, services.keys)
        if last is None or bool(last.recipients) != encrypted:
            return {}
        return dict(contents(shelf, last))
    except (IntegrityError, KeyFileError) as error:
        services.reporter.warn(
            "the last snapshot of the files cannot be used: all of them are stored anew", error=error.message
        )
        return {}


def _there(shelf: Shelf) -> dict[str, int]:
    """The contents that lie in the store, and their sizes."""
    found = ((layout.parse_content_key(each.key), each.size) for each in shelf.store.list(shelf.key("")))
    return {content: size for content, size in found if content is not None}


def _commit(shelf: Shelf, snapshot_id: str, data: bytes, signature: bytes) -> None:
    """Write what makes the snapshot exist; the manifest comes last."""
    name = shelf.member(snapshot_id, layout.MANIFEST)
    writing.put_bytes(shelf, layout.signature_name(name), signature)
    writing.put_bytes(shelf, name, data)


def _copy(
    services: Services, source: Shelf, to: Shelf, snapshot_id: str, meter: runner.Meter, stop: Stop
) -> None:
    """Bring a snapshot to another store: the contents that it lacks, and then the snapshot's own objects."""
    snapshot, data, signature = open_snapshot(source, snapshot_id, services.keys)
    there = _there(to)
    for found, content in contents(source, snapshot):
        stop.check()
        meter.pulse()
        if there.get(found) == content.size:
            continue
        name = source.content(found, encrypted=bool(snapshot.recipients))
        if found in there:
            to.store.delete(to.key(name))
        written = Tally()
        chunks = tally(stop.checked(exact(source, name, content)), written)
        writing.put_checked(to, name, chunks, written)
    for segment in (snapshot.index, snapshot.list):
        name, written = source.member(snapshot_id, segment.name), Tally()
        chunks = exact(source, name, Content(segment.size, segment.sha256))
        writing.put_checked(to, name, tally(chunks, written), written)
    _commit(to, snapshot_id, data, signature)
