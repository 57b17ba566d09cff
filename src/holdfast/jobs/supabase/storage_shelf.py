"""The snapshots of a target's files in one store: finds them, opens them, and reads what they name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.jobs import writing
from holdfast.jobs.services import Keys, Services
from holdfast.model import layout
from holdfast.model.backup import Segment
from holdfast.model.errors import IntegrityError, KeyFileError, NotFoundError, StoreError
from holdfast.model.storage import Content, Entry, Snapshot, parse, parse_entry, parse_index_line
from holdfast.stores.base import Store, read_all
from holdfast.streams import age, compress
from holdfast.streams.chunks import Tally, tally
from holdfast.streams.sign import verify
from holdfast.system import lock, spool

_HINT = "Take another copy or another snapshot; find out what changed the store."


def _no_pulse() -> None:
    """Take no notice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """All that a store keeps of the files of a target. Names are relative to its prefix."""

    store: Store
    target: str
    pulse: Callable[[], None] = field(default=_no_pulse, repr=False, compare=False)

    def key(self, name: str) -> str:
        """The key of an object."""
        return layout.objects_prefix(self.target) + name

    def content(self, content_id: str, *, encrypted: bool) -> str:
        """The name of a content."""
        return layout.content_key(self.target, content_id, encrypted=encrypted).removeprefix(self.key(""))

    def member(self, snapshot_id: str, name: str) -> str:
        """The name of an object of a snapshot."""
        return layout.snapshot_key(self.target, snapshot_id, name).removeprefix(self.key(""))

    def snapshots(self) -> list[str]:
        """The ids of the snapshots that have a manifest, the oldest first."""
        found = (layout.parse_snapshot_key(each.key) for each in self.store.list(self.key("")))
        return sorted(each[0] for each in found if each is not None and each[1] == layout.MANIFEST)


@contextmanager
def locked(services: Services, target: str) -> Iterator[None]:
    """Hold the lock of what writes and removes files of a target on this host. Raise BusyError when it is taken."""
    since = services.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    with lock.exclusive(
        services.state_dir / "locks" / f"{target}.objects.lock",
        what=f"the files of target {target}",
        holder=f"process {services.pid} on {services.host} since {since}",
    ):
        yield


def trusted_comment(target: str, snapshot_id: str) -> str:
    """What the signature of a snapshot binds it to, besides its bytes: its place."""
    return f"holdfast {layout.snapshot_key(target, snapshot_id, layout.MANIFEST)}"


def open_snapshot(shelf: Shelf, snapshot_id: str, keys: Keys) -> tuple[Snapshot, bytes, bytes]:
    """Read and check a manifest; give it with its bytes and its signature.

    Raise NotFoundError when there is none, IntegrityError when it is damaged or lies in another's place, and KeyFileError
    when its signer is not known here.
    """
    name = shelf.member(snapshot_id, layout.MANIFEST)
    where = f"{shelf.store.location}: {shelf.key(name)}"
    data = read_all(shelf.store, shelf.key(name))
    try:
        signature = read_all(shelf.store, shelf.key(layout.signature_name(name)))
        verified = verify(data, signature, keys.trusted)
    except NotFoundError as error:
        raise IntegrityError(f"{where} has no signature") from error
    except (IntegrityError, KeyFileError) as error:
        raise type(error)(f"{where}: {error.message}", hint=error.hint) from error
    found = parse(data, where=where)
    if verified.trusted_comment != trusted_comment(shelf.target, snapshot_id) or (
        (found.target, found.id) != (shelf.target, snapshot_id)
    ):
        raise IntegrityError(
            f"{where}: is signed as {verified.trusted_comment!r}",
            hint="Somebody moved or replaced objects in the store.",
        )
    return found, data, signature


def contents(shelf: Shelf, snapshot: Snapshot) -> Iterator[tuple[str, Content]]:
    """The contents that a snapshot needs. What comes before the end may be forged: an error tells so at the latest there."""
    where = f"{shelf.store.location}: {shelf.key(shelf.member(snapshot.id, snapshot.index.name))}"
    for line in _lines(compress.decompress(checked(shelf, snapshot, snapshot.index)), where):
        try:
            yield parse_index_line(line)
        except ValueError as error:
            raise IntegrityError(f"{where}: {error}", hint=_HINT) from error


def entries(shelf: Shelf, snapshot: Snapshot, keys: Keys, spool_dir: Path) -> Iterator[Entry]:
    """The files of a snapshot, in order; the whole list is known to be ours before the first is given."""
    where = f"{shelf.store.location}: {shelf.key(shelf.member(snapshot.id, snapshot.list.name))}"
    with spool.unnamed_file(spool_dir) as handle, open(handle, "r+b", closefd=False) as file:
        file.writelines(checked(shelf, snapshot, snapshot.list))  # as it is stored: encrypted
        file.seek(0)
        chunks: Iterator[bytes] = iter(lambda: file.read(1024 * 1024), b"")
        if snapshot.recipients:
            chunks = age.decrypt(chunks, keys.identities)
        for line in _lines(compress.decompress(chunks), where):
            try:
                yield parse_entry(line)
            except ValueError as error:
                raise IntegrityError(f"{where}: {error}", hint=_HINT) from error


def known_before(services: Services, shelf: Shelf, *, encrypted: bool) -> dict[str, Content]:
    """The contents of the newest snapshot that is believed, which need not be stored again; none where there is none."""
    for each in reversed(shelf.snapshots()):
        try:
            last = open_snapshot(shelf, each, services.keys)[0]
            return dict(contents(shelf, last)) if bool(last.recipients) == encrypted else {}
        except (IntegrityError, KeyFileError, NotFoundError) as error:
            services.reporter.warn(
                "a snapshot of the files is not believed: what it names may be stored anew",
                store=shelf.store.name,
                snapshot=each,
                error=error.message,
            )
    return {}


def there_in(shelf: Shelf) -> dict[str, int]:
    """The contents that lie in the store, and their sizes."""
    found = ((layout.parse_content_key(each.key), each.size) for each in shelf.store.list(shelf.key("")))
    return {content: size for content, size in found if content is not None}


def check_there(shelf: Shelf, named: Mapping[str, Content]) -> None:
    """Raise StoreError where a content is gone again: retention of another host may take what no snapshot names yet."""
    there = there_in(shelf)
    gone = [each for each, content in named.items() if there.get(each) != content.size]
    if gone:
        raise StoreError(
            f"{shelf.store.location}: {len(gone)} contents were stored, but are no longer there",
            hint="Try again: they are stored anew. If that happens twice, find out what removes them.",
        )


def commit(shelf: Shelf, snapshot_id: str, data: bytes, signature: bytes) -> None:
    """Write what makes the snapshot exist; the manifest comes last."""
    name = shelf.member(snapshot_id, layout.MANIFEST)
    writing.put_bytes(shelf, layout.signature_name(name), signature)
    writing.put_bytes(shelf, name, data)


def checked(shelf: Shelf, snapshot: Snapshot, segment: Segment) -> Iterator[bytes]:
    """The bytes of an object of a snapshot. Raise IntegrityError at the end unless they are what was written."""
    yield from exact(shelf, shelf.member(snapshot.id, segment.name), Content(segment.size, segment.sha256))


def exact(shelf: Shelf, name: str, content: Content) -> Iterator[bytes]:
    """The bytes of an object. Raise IntegrityError when it is missing, and at the end unless they are what was written."""
    where, read = f"{shelf.store.location}: {shelf.key(name)}", Tally()
    try:
        yield from tally(shelf.store.get(shelf.key(name)), read)
    except NotFoundError as error:
        raise IntegrityError(f"{where} is missing", hint=_HINT) from error
    if (read.size, read.sha256) != (content.size, content.sha256):
        raise IntegrityError(f"{where} is not what was written", hint=_HINT)


def _lines(chunks: Iterator[bytes], where: str) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        raise IntegrityError(f"{where}: its last line is cut off", hint=_HINT)
