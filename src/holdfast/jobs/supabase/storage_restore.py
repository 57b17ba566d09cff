"""Brings the files of a snapshot back: into a project's buckets, or into a directory. Never over what is there and differs, unasked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.jobs import runner
from holdfast.jobs.services import Services
from holdfast.jobs.supabase.storage_shelf import Shelf, contents, entries, exact, open_snapshot
from holdfast.model.errors import Error, IntegrityError, KeyFileError, NotFoundError, PartialError, StoreError
from holdfast.model.run import Run
from holdfast.model.storage import Content, Entry, File, Properties, Snapshot, parse_head
from holdfast.model.target import Target
from holdfast.stores.base import Hurrying
from holdfast.streams import age
from holdfast.streams.chunks import counted
from holdfast.system.stop import Stop

_HEAD_BYTES = 1024 * 1024
_SHOWN = 3


class Destination(Protocol):
    """Where files are brought to."""

    def files(self, bucket: str) -> Iterator[File]:
        """The files that are in a bucket; raise NotFoundError or give none where there is no such bucket."""
        ...

    def make_bucket(self, bucket: str) -> bool:
        """Make a bucket; return whether it was not there."""
        ...

    def put(self, bucket: str, name: str, properties: Properties, chunks: Iterable[bytes]) -> None:
        """Write a file, whole or not at all, over one of that name."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which files: of a bucket only, of names that begin so only; whether what differs there may be overwritten."""

    bucket: str | None = None
    prefix: str = ""
    overwrite: bool = False

    def takes(self, entry: Entry) -> bool:
        """Whether the file is one of them."""
        return self.bucket in (None, entry.bucket) and entry.name.startswith(self.prefix)


@dataclass(slots=True, kw_only=True)
class Brought:
    """What was done.

    Files and bytes that were written, files that were there already, those that differ and stayed,
    and those whose content is `damaged` or missing.
    """

    snapshot: Snapshot
    store: str
    files: int = 0
    bytes: int = 0
    there: int = 0
    made_buckets: list[str] = field(default_factory=list)
    differ: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A snapshot whose signature holds, and where it lies."""

    snapshot: Snapshot
    shelf: Shelf


def snapshots(services: Services, target: Target) -> list[Found]:
    """All snapshots of a target in all its stores, the newest first. What cannot be read is a warning."""
    found = []
    for name in target.stores:
        shelf = Shelf(store=services.store(name), target=target.name)
        try:
            ids = shelf.snapshots()
        except StoreError as error:
            services.reporter.warn("a store cannot be looked into", store=name, error=error.message)
            continue
        for each in ids:
            try:
                found.append(Found(snapshot=open_snapshot(shelf, each, services.keys)[0], shelf=shelf))
            except (IntegrityError, KeyFileError, NotFoundError) as error:
                services.reporter.warn(
                    "a snapshot is not believed", store=name, snapshot=each, error=error.message
                )
    return sorted(found, key=lambda each: each.snapshot.id, reverse=True)


def choose(services: Services, target: Target, word: str) -> Found:
    """The snapshot that begins with `word`, or the `latest`. Raise NotFoundError."""
    every = snapshots(services, target)
    matching = [each for each in every if word == "latest" or each.snapshot.id.startswith(word)]
    if len({each.snapshot.id for each in matching}) > 1 and word != "latest":
        raise NotFoundError(f"several snapshots begin with {word!r}", hint="Give more of the id.")
    if not matching:
        raise NotFoundError(
            f"no snapshot {word!r} of the files of target {target.name}",
            hint="`holdfast supabase objects` lists them; `holdfast supabase save-objects` takes one.",
        )
    return matching[0]


def restore(
    services: Services, target: Target, found: Found, to: Destination, choice: Choice, stop: Stop
) -> Brought:
    """Bring the chosen files back. What is not what was saved is not written, and told in the result."""
    runner.close_lost_runs(services, "restore_objects", target.name)
    run = Run(
        job="restore_objects",
        target=target.name,
        started_at=services.clock.now(),
        host=services.host,
        pid=services.pid,
    )

    def body(meter: runner.Meter) -> Brought:
        hurry = to.hurry if isinstance(to, Hurrying) else _unhurried
        with stop.calling(hurry):
            return _Bringing(services, found, to, choice, meter, stop).all()

    return runner.execute(services, run, body)


def _unhurried() -> None:
    """There is nothing to hurry."""


class _Bringing:
    """One pass over a snapshot's list."""

    def __init__(
        self,
        services: Services,
        found: Found,
        to: Destination,
        choice: Choice,
        meter: runner.Meter,
        stop: Stop,
    ) -> None:
        self._services, self._shelf, self._snapshot = services, found.shelf, found.snapshot
        self._to, self._choice = to, choice
        self._meter, self._stop = meter, stop
        self._contents = dict(contents(found.shelf, found.snapshot))
        self._bucket: str | None = None
        self._there: dict[str, File] = {}
        self.done = Brought(snapshot=found.snapshot, store=found.shelf.store.name)

    def all(self) -> Brought:
        """Bring all that was chosen, and tell what was done."""
        for entry in entries(self._shelf, self._snapshot, self._services.keys, self._services.spool_dir):
            self._stop.check()
            self._meter.pulse()
            if not self._choice.takes(entry):
                continue
            try:
                self._bring(entry)
            except IntegrityError as error:  # the others are wanted all the same
                self._services.reporter.warn(
                    "a file is not restored", file=f"{entry.bucket}/{entry.name}", error=error.message
                )
                self.done.damaged.append(f"{entry.bucket}/{entry.name}")
        return self.done

    def _bring(self, entry: Entry) -> None:
        if entry.bucket != self._bucket:
            self._enter(entry.bucket)
        there = self._there.get(entry.name)
        if there is not None and (there.size, there.etag) == (entry.size, entry.etag):
            self.done.there += 1
            return
        if there is not None and not self._choice.overwrite:
            self.done.differ.append(f"{entry.bucket}/{entry.name}")
            return
        content = self._contents.get(entry.content)
        if content is None:
            raise IntegrityError(f"the snapshot's index lacks the content of {entry.bucket}/{entry.name}")
        self._services.reporter.doing(f"{entry.bucket}/{entry.name}")
        self._services.stage("objects:restoring")
        properties, body = self._open(entry, content)
        self._to.put(entry.bucket, entry.name, properties, counted(self._stop.checked(body), self._meter.add))
        self.done.files += 1
        self.done.bytes += entry.size

    def _enter(self, bucket: str) -> None:
        self._bucket = bucket
        if self._to.make_bucket(bucket):
            self.done.made_buckets.append(bucket)
        self._there = {file.name: file for file in self._to.files(bucket)}

    def _open(self, entry: Entry, content: Content) -> tuple[Properties, Iterator[bytes]]:
        """The properties of a file, and its bytes; that they are what was saved is known at their end."""
        encrypted = bool(self._snapshot.recipients)
        name = self._shelf.content(entry.content, encrypted=encrypted)
        chunks = exact(self._shelf, name, content)
        if encrypted:
            chunks = age.decrypt(chunks, self._services.keys.identities)
        head = b""
        for chunk in chunks:
            head += chunk
            if b"\n" in head or len(head) > _HEAD_BYTES:
                break
        line, _, rest = head.partition(b"\n")
        try:
            properties = parse_head(line)
        except ValueError as error:
            raise IntegrityError(f"{self._shelf.store.location}: {self._shelf.key(name)}: {error}") from error
        return properties, _sized(rest, chunks, entry)


def _sized(first: bytes, chunks: Iterator[bytes], entry: Entry) -> Iterator[bytes]:
    size = len(first)
    yield first
    for chunk in chunks:
        size += len(chunk)
        yield chunk
    if size != entry.size:
        raise IntegrityError(f"{entry.bucket}/{entry.name} has {size} bytes, and was saved with {entry.size}")


def complaint(done: Brought, choice: Choice | None = None) -> Error | None:
    """What is to be said where files are not as they were saved, or none was chosen; None where all is well."""
    if done.damaged:
        return IntegrityError(
            f"{_some(done.damaged)} could not be restored: not what was saved lies in store {done.store}",
            hint="Take another store or another snapshot: `holdfast supabase objects` lists them.",
        )
    if done.differ:
        return PartialError(
            f"{_some(done.differ)} were there already, and differ",
            hint="They were left as they are; --overwrite replaces them.",
        )
    if choice is not None and (choice.bucket is not None or choice.prefix) and not done.files + done.there:
        return NotFoundError(
            f"snapshot {done.snapshot.id} has no such file: nothing was restored",
            hint="Compare --bucket and --prefix with the dashboard, or take another --snapshot.",
        )
    return None


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
