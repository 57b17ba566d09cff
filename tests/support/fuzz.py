"""What reads bytes that others may have written: each with the errors that it may end with, and bytes that it takes."""

from __future__ import annotations

import atexit
import gzip
import io
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC
from functools import lru_cache
from pathlib import Path

from holdfast.config import loading
from holdfast.jobs import proofs, reading, writing
from holdfast.jobs.catalog import rebuild
from holdfast.jobs.services import Keys
from holdfast.jobs.verify import verify
from holdfast.methods.base import Source
from holdfast.model import codec, cron_script, filenames, layout, lease, manifest, mark, schedule, storage
from holdfast.model.backup import Segment
from holdfast.model.catalog import Catalog, Database, Properties, Table
from holdfast.model.errors import Error, IntegrityError
from holdfast.model.proof import DatabaseTested, Detail
from holdfast.model.target import Compression
from holdfast.postgres import archive, blocks, conninfo, copy_data, tar_archive
from holdfast.providers.shapes import ShapeError, parsed
from holdfast.starter import answers_of, starter_config
from holdfast.streams import age, age_keys, compress, seekable, sign, unwrap
from holdfast.streams.openssl import Passphrase
from support import archives
from support.config import BASE, RECIPIENT
from support.memory_store import MemoryStore
from support.model_values import NOW, restore_test, sample_backup
from support.scripts import PASSPHRASE, encrypted
from support.shelved import shelved
from support.world import world

CRON = Path(__file__).parent / "cron"
IDENTITY, SIGNING = age_keys.generate(), sign.generate()
KEYS = Keys(identities=(IDENTITY,), signing=SIGNING, trusted=(SIGNING.public,))
PASSWORD = Passphrase(secret=PASSPHRASE.encode(), iterations=1)
DUMP = b"-- PostgreSQL database dump\n" * 20


PROPERTIES = Properties(
    owner="app", encoding="UTF8", collate="C", ctype="C", provider="c", locale=None, icu_rules=None,
    collation_version=None, tablespace="pg_default", connection_limit=-1, comment=None, grants=None, settings=(),
)  # fmt: skip
TABLE = Table(oid=16384, schema="public", name="t", kind="r", rows=3)
DATABASE = Database(
    name="app", properties=PROPERTIES, schemas=("public",), tables=(TABLE,), sequences=(), large_objects=0,
    extensions=(), collations=(),
)  # fmt: skip
CATALOG = Catalog(
    version=1, server_version="17.1", version_num=170001, system_identifier="7", roles=("app",),
    tablespaces={}, role_passwords=True, databases=(DATABASE,),
)  # fmt: skip
DETAIL = Detail(
    backup_id=sample_backup().id,
    target="shop",
    databases=(DatabaseTested(name="app", archive_bytes=7, phases=(), comparison=None, failure="it failed"),),
)


LEASE = lease.Lease(
    kind="retention",
    target="shop",
    generation=3,
    owner="o",
    token="t",
    host="db1",
    pid=7,
    at=NOW,
    seconds=300,
)
ENTRY = storage.Entry(bucket="photos", name="a/b.jpg", size=7, etag='"e"', modified_at=NOW, content="ab" * 16)
SNAPSHOT = storage.Snapshot(
    snapshot_version=storage.SNAPSHOT_VERSION, target="shop", id=sample_backup().id, started_at=NOW,
    finished_at=NOW, host="db1", signer="RW", buckets=1, files=1, size=7, stored_size=7, recipients=(),
    list=Segment(name="files.zst", size=7, sha256="0" * 64), index=Segment(name="index.zst", size=7, sha256="0" * 64),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reader:
    """Something that reads bytes. `refuses` are the errors that it may end with; `samples` are bytes that it takes.

    `cost` is how much longer it takes than the others.
    """

    name: str
    read: Callable[[bytes], object]
    samples: Callable[[], tuple[bytes, ...]]
    refuses: tuple[type[Exception], ...] = (Error,)
    cost: int = 1

    def take(self, data: bytes) -> None:
        """Read the bytes; anything but an error that it may end with goes through."""
        try:
            self.read(data)
        except self.refuses:
            return


def _text(data: bytes) -> str:
    return data.decode("latin-1")


@lru_cache(maxsize=1)
def _folder() -> Path:
    path = Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def _file(data: bytes, name: str) -> Path:
    path = _folder() / name
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def _of_catalog(data: bytes) -> object:
    place = writing.Place(store=MemoryStore("a"), target="shop", backup_id=sample_backup().id)
    source = Source(role="catalog", format="json", stem="catalog", chunks=iter([data]))
    part = writing.write_part(
        place, source, recipients=(), compression=Compression(kind="none"), on_bytes=lambda _: None
    )
    backup = replace(sample_backup(), parts=(part,))
    opened = reading.Opened(backup=backup, place=place, manifest=b"", signature=b"")
    return reading.read_catalog(opened, KEYS)


def _of_mark(data: bytes) -> object:
    found = mark.parse(data, where="here")
    return mark.proof(found) if found.kind == "proof" else found


def _of_seek_table(data: bytes) -> object:
    def read(start: int, end: int) -> bytes:
        return data[start:end]

    found = seekable.read_table(read, len(data))
    note = None if found is None else seekable.read_note(read, found)
    return None if note is None else blocks.parse_note(note)


def _of_tar(data: bytes) -> object:
    reader = tar_archive.TarReader(archive.TocReader())
    return list(tar_archive.watch_tar(iter([data]), reader))


def _of_wrapped(data: bytes) -> object:
    def is_dump(head: bytes) -> bool:
        return head.startswith((b"PGDMP", b"--"))

    return sum(map(len, unwrap.unwrapped(iter([data]), PASSWORD, is_dump=is_dump)))


def _of_table_data(data: bytes) -> object:
    return [sum(map(len, each.chunks)) for each in copy_data.table_data(iter([data]))]


def _of_answer(data: bytes) -> object:
    found = parsed(data)
    return [found.at("name").value, *(each.value for each in found.at("at").items())]


def _of_script(data: bytes) -> object:
    return starter_config(answers_of(cron_script.read(_text(data))))


def _example() -> bytes:
    text = (Path(__file__).parents[2] / "config.example.toml").read_text()
    return re.sub(r'"age1[^"]*"', f'"{RECIPIENT}"', text).encode()


_SIGNED = (
    layout.MANIFEST,
    layout.TOMBSTONE,
    "pin-20261122T020000Z-00000000.json",
    "proof-20261122T020000Z-00000000.json",
)


def _of_store(data: bytes) -> object:
    """Make a ledger from a store with these bytes in it, signed by us: the first byte says as what."""
    backup_id, store = sample_backup().id, MemoryStore("a")
    kind, data = (data[0] if data else 0), data[1:]
    with (
        tempfile.TemporaryDirectory(dir=_folder()) as folder,
        world(Path(folder), "postgresql://nobody@127.0.0.1:1/", stores={"a": store}) as made,
    ):
        services = replace(made.services, keys=KEYS)
        shelved(services, store, backup_id)
        prefix = layout.backup_prefix("shop", backup_id)
        if kind < len(_SIGNED):
            name = _SIGNED[kind]
            signature = sign.sign(data, SIGNING, trusted_comment=f"holdfast shop/{backup_id}/{name}")
            store.objects[f"{prefix}{name}"] = data
            store.objects[f"{prefix}{layout.signature_name(name)}"] = signature
        else:
            store.objects[f"{prefix}{layout.signature_name(layout.MANIFEST)}"] = data
        rebuild(services, forget=False)
        row = services.ledger.backup(backup_id)
        return row and verify(services, row, made.stop)


def _stored() -> tuple[bytes, ...]:
    documents = (manifest.dump(sample_backup()), _mark("tombstone"), _mark("pin"), _mark("proof"))
    return tuple(bytes([kind]) + document for kind, document in enumerate(documents))


def _json(value: object) -> bytes:
    return json.dumps(codec.to_json(value)).encode()


def _mark(kind: mark.Kind) -> bytes:
    proof = restore_test(at=NOW, outcome="passed", seconds=1, restore_seconds=1, size=1)
    content: dict[str, codec.Json] = {"why": "before the migration", "until": None}
    if kind == "proof":
        content = mark.of_proof(proof)
    elif kind == "tombstone":
        content = {"store": "a", "why": "not kept", "remove_after": codec.time_text(NOW)}
    made = mark.Mark(
        kind=kind, backup_id=proof.backup_id, target="shop", at=NOW, host="h", signer="RW", content=content
    )
    return mark.dump(made)


def _archive() -> tuple[bytes, ...]:
    items = (
        archives.Item(desc="TABLE", tag="t"),
        archives.Item(desc="TABLE DATA", tag="t", section=3, has_data=True, dependencies=(1,)),
    )
    return tuple(archives.archive(*items, minor=minor) for minor in (14, 15, 16))


def _tar() -> tuple[bytes, ...]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as file:
        for name, data in (("toc.dat", _archive()[0]), ("2.dat", b"1\n\\.\n")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return (packed.getvalue(),)


def _framed() -> tuple[bytes, ...]:
    packed = b"".join(compress.compress(iter([b"plain" * 50]), level=1))
    entries = seekable.entry(60, 250) + seekable.entry(28, 0)
    return packed, bytes(60) + seekable.note(blocks.dump_note({1: 0})) + seekable.table(entries)


READERS = (
    Reader(
        "manifest",
        lambda data: manifest.parse(data, where="here"),
        lambda: (manifest.dump(sample_backup()),),
        (IntegrityError,),
    ),
    Reader("mark", _of_mark, lambda: (_mark("proof"), _mark("pin"))),
    Reader("lease", lease.parse, lambda: (lease.dump(LEASE),), ()),
    Reader(
        "snapshot",
        lambda data: storage.parse(data, where="here"),
        lambda: (storage.dump(SNAPSHOT),),
    ),
    Reader("file's line", storage.parse_entry, lambda: (storage.entry_line(ENTRY),), (ValueError,)),
    Reader(
        "file's head", storage.parse_head, lambda: (storage.head_of(storage.Properties()),), (ValueError,)
    ),
    Reader(
        "content's line",
        storage.parse_index_line,
        lambda: (storage.index_line("ab" * 16, storage.Content(1, "0" * 64)),),
        (ValueError,),
    ),
    Reader(
        "provider's answer",
        _of_answer,
        lambda: (b'{"name": "app", "at": ["2026-01-01T00:00:00Z", 7]}',),
        (ShapeError,),
    ),
    Reader("catalog", _of_catalog, lambda: (_json(CATALOG),)),
    Reader("detail", lambda data: proofs.parse_detail(data, where="here"), lambda: (_json(DETAIL),)),
    Reader(
        "age file",
        lambda data: sum(map(len, age.decrypt(iter([data]), KEYS.identities))),
        lambda: (b"".join(age.encrypt(iter([b"plain" * 20]), (IDENTITY.recipient,))),),
    ),
    Reader(
        "signature",
        lambda data: sign.verify(b"data", data, KEYS.trusted),
        lambda: (sign.sign(b"data", SIGNING, trusted_comment="holdfast shop/x/y"),),
    ),
    Reader(
        "identity file",
        lambda data: age_keys.read_identity_file(_file(data, "identity.txt")),
        lambda: (
            f"# a comment\n# holdfast-signer: {SIGNING.public.text}\n{IDENTITY.secret_text()}\n".encode(),
        ),
    ),
    Reader(
        "signing key",
        lambda data: sign.read_signing_key(_file(data, "signing.key")),
        lambda: (SIGNING.to_text().encode(),),
    ),
    Reader(
        "recipient",
        lambda data: age_keys.parse_recipient(_text(data)),
        lambda: (IDENTITY.recipient.text.encode(),),
    ),
    Reader(
        "public key",
        lambda data: sign.parse_public_key(_text(data)),
        lambda: (SIGNING.public.text.encode(),),
    ),
    Reader(
        "config",
        lambda data: loading.load(_file(data, "holdfast.toml"), environ={}),
        lambda: (BASE.encode(), _example()),
    ),
    Reader(
        "archive",
        lambda data: archive.read_toc(iter([data])),
        _archive,
    ),
    Reader("archive's rows", _of_table_data, _archive),
    Reader("tar archive", _of_tar, _tar),
    Reader(
        "wrapped dump",
        _of_wrapped,
        lambda: (gzip.compress(DUMP), encrypted(gzip.compress(DUMP), "-pbkdf2", "-iter", "1")),
    ),
    Reader("store", _of_store, _stored, cost=8),
    Reader(
        "compressed stream",
        lambda data: sum(map(len, compress.decompress(iter([data])))),
        lambda: (b"".join(compress.compress(iter([b"plain" * 50]), level=3)),),
    ),
    Reader("seek table", _of_seek_table, _framed),
    Reader("backup script", _of_script, lambda: tuple(path.read_bytes() for path in sorted(CRON.iterdir()))),
    Reader(
        "connection URL",
        lambda data: conninfo.parse(_text(data), environ={}),
        lambda: (b"postgresql://app:x@db:5433/shop?sslmode=require", b"host='db' user=app password=' x'"),
    ),
    Reader(
        "schedule",
        lambda data: next(schedule.parse(_text(data)).slots(NOW)),
        lambda: (b"*/5 2-4 * * mon", b"@daily", b"every 6h"),
        (ValueError,),
    ),
    Reader(
        "pattern",
        lambda data: filenames.compile_pattern(_text(data), UTC).read("app_20260101.dump"),
        lambda: (b"{database}_%Y%m%d.dump*",),
        (ValueError,),
    ),
    Reader(
        "key",
        lambda data: layout.parse_key(_text(data)),
        lambda: (b"shop/20261122T020000Z-7f3a/manifest.json",),
    ),
)
BY_NAME = {reader.name: reader for reader in READERS}
