"""A store with three small backups, to be tampered with: two of the target `shop`, one of `other`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from holdfast.jobs.backup import backup
from holdfast.jobs.catalog import rebuild
from holdfast.jobs.find import open_best
from holdfast.jobs.restore import Wish, restore
from holdfast.jobs.services import Keys, Services
from holdfast.jobs.verify import verify
from holdfast.ledger.ledger import BackupRow
from holdfast.model.backup import Backup
from holdfast.model.errors import Error
from holdfast.postgres.scratch import Cluster
from holdfast.stores.local import LocalStore
from holdfast.streams import age_keys, sign
from holdfast.streams.sign import SigningKey
from support.restoring import create, drop
from support.world import World, world

GLOBALS, DUMP, CATALOG = "globals.sql.zst.age", "tampered.dump.zst.age", "catalog.json.zst.age"
MANIFEST, SIGNATURE = "manifest.json", "manifest.json.minisig"
PARTS = (GLOBALS, DUMP, CATALOG)
DATABASE = "tampered"
A_ROW = b"c4ca4238a0b923820dcc509a6f75849b"  # the digest of 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The folder of a store, whose it is, and what lies in it: `first` and `second` of `shop`, `foreign` of `other`."""

    path: Path
    keys: Keys
    cluster: Cluster
    first: Backup
    second: Backup
    foreign: Backup

    def folder(self, of: Backup) -> Path:
        """Give the folder of a backup."""
        return self.path / of.target / of.id

    def file(self, name: str) -> Path:
        """Give the path of an object of the first backup."""
        return self.folder(self.first) / name

    def flip(self, name: str, at: int) -> None:
        """Change one bit of an object of the first backup; `at` counts from the end when negative."""
        data = bytearray(self.file(name).read_bytes())
        data[at] ^= 1
        self.file(name).write_bytes(data)

    def replace(self, name: str, by: Path) -> None:
        """Put another file in the place of an object of the first backup."""
        shutil.copyfile(by, self.file(name))

    def sign(self, name: str, data: bytes, key: SigningKey, *, as_of: Backup | None = None) -> None:
        """Put an object into the first backup's folder, signed for there (or for the place of `as_of`)."""
        whose = as_of or self.first
        comment = f"holdfast {whose.target}/{whose.id}/{name}"
        self.file(name).write_bytes(data)
        self.file(f"{name}.minisig").write_bytes(sign.sign(data, key, trusted_comment=comment))

    @property
    def signing(self) -> SigningKey:
        """Our own signing key."""
        return self.keys.signer()


@contextmanager
def shelf(folder: Path, cluster: Cluster) -> Iterator[Shelf]:
    """Take the three backups of a database `tampered`, which is in the cluster for as long."""
    fill = "CREATE TABLE t AS SELECT g, md5(g::text) AS m FROM generate_series(1, 3000) g"
    create(cluster, DATABASE, fill)
    with world(folder, cluster.conninfo.argv_dsn(), databases=(DATABASE,)) as made:
        taken = [
            backup(made.services, replace(made.target, name=name), made.stop).backup
            for name in ("shop", "shop", "other")
        ]
        yield Shelf(
            path=folder / "store-a",
            keys=made.keys,
            cluster=cluster,
            first=taken[0],
            second=taken[1],
            foreign=taken[2],
        )
    drop(cluster, DATABASE)


@contextmanager
def host(shelf: Shelf, folder: Path, keys: Keys | None = None) -> Iterator[World]:
    """Give a host, with a ledger that is filled from what lies on the shelf, and our keys unless told otherwise."""
    with world(folder, shelf.cluster.conninfo.argv_dsn(), databases=(DATABASE,)) as made:
        stores = {"a": LocalStore("a", shelf.path)}
        services = replace(made.services, keys=keys or shelf.keys, stores=stores)
        rebuild(services)
        yield replace(made, services=services)


def copied(original: Shelf, folder: Path) -> Shelf:
    """Copy a shelf, to tamper with the copy."""
    shutil.copytree(original.path, folder / "shelf")
    return replace(original, path=folder / "shelf")


def stranger(keys: Keys) -> Keys:
    """Give the keys of somebody who knows our recipients and trusts himself."""
    key = sign.generate()
    return replace(keys, signing=key, trusted=(key.public,), identities=(age_keys.generate(),))


def row(services: Services, of: Backup) -> BackupRow:
    """Give the ledger's row of a backup that it knows."""
    found = services.ledger.backup(of.id)
    assert found is not None
    return found


def state(services: Services, of: Backup) -> str | None:
    """Tell how the ledger lists a backup's copy: None when it is not listed."""
    found = services.ledger.backup(of.id)
    return None if found is None else found.copies[0].state


def verdict(made: World, known: BackupRow) -> Error | None:
    """Verify a backup; give what is wrong with it."""
    (result,) = verify(made.services, known, made.stop)
    return result.error


def restored(made: World, known: BackupRow, shelf: Shelf, name: str) -> None:
    """Restore a backup, roles too, under another name."""
    wish = Wish(into=shelf.cluster.conninfo, database=DATABASE, rename=name, roles=True)
    restore(made.services, open_best(made.services, known), wish, made.stop)
