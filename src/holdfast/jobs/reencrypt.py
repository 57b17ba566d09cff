"""Brings backups to a store encrypted to others: each is opened and sealed again as it streams, and has a manifest of its own there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from holdfast.jobs import fence, locking, marks, runner, writing
from holdfast.jobs.adopting import recognise
from holdfast.jobs.copies import CaughtUp, lacks, locked
from holdfast.jobs.copy import copy
from holdfast.jobs.find import open_best
from holdfast.jobs.reading import Opened, compressed_chunks, open_backup, opens, read_document
from holdfast.jobs.restore_text import created_by, restore_text
from holdfast.jobs.services import Services
from holdfast.ledger import variants
from holdfast.ledger.ledger import BackupRow
from holdfast.model import layout
from holdfast.model.backup import Backup, Origin, Part
from holdfast.model.errors import BusyError, Error, KeyFileError, NotFoundError, StoreError
from holdfast.model.kinship import Stored
from holdfast.model.run import Run
from holdfast.streams.age_keys import Recipient
from holdfast.streams.chunks import counted
from holdfast.system.stop import Stop

_SHOWN = 40  # of a recipient: a post-quantum one has two thousand letters


def copy_to(
    services: Services,
    target: str,
    rows: Iterable[BackupRow],
    store: str,
    recipients: tuple[Recipient, ...],
    stop: Stop,
) -> CaughtUp:
    """Bring these backups of a target to a store that lacks them, the oldest first, encrypted to the recipients.

    What lies there already stays as it is, and so does what was there once. One that is encrypted to just them is
    copied as it is. A failure is in the result; one of the store ends the round. Raise BusyError while somebody copies
    for the target, KeyFileError where this host cannot sign.
    """
    services.keys.signer()
    services.store(store)
    done = CaughtUp()
    wanted = sorted((row for row in rows if row.whole), key=lambda row: row.backup.id)
    with locked(services, target):
        runner.close_lost_runs(services, "copy", target, locked=True)
        for row in wanted:
            stop.check()
            if not lacks(row, store):
                continue
            try:
                _copy(services, row, store, recipients, stop)
            except Error as error:
                stop.check()
                services.reporter.warn("a copy failed", store=store, backup=row.backup.id, error=str(error))
                done.failed.append((row.backup.id, store, error))
                if isinstance(error, StoreError | BusyError):
                    break
            else:
                done.copied.append((row.backup.id, store))
    now = (services.ledger.backup(row.backup.id) for row in wanted)
    done.left = {store: sum(1 for row in now if row is not None and lacks(row, store))}
    return done


def _copy(
    services: Services, row: BackupRow, store: str, recipients: tuple[Recipient, ...], stop: Stop
) -> None:
    opened = open_best(services, row)
    backup_id, target = row.backup.id, row.backup.target
    to = {recipient.text for recipient in recipients}
    if all(set(part.recipients) == to for part in opened.backup.parts):
        copy(services, target, backup_id, opened.place.store.name, store, stop)
        return
    _require_opening(services, opened)
    with fence.fenced(services, services.store(store), target, "copies") as held:
        place = writing.Place(store=held, target=target, backup_id=backup_id)
        _copy_fenced(services, opened, place, recipients, stop)


def _copy_fenced(
    services: Services, opened: Opened, place: writing.Place, recipients: tuple[Recipient, ...], stop: Stop
) -> None:
    backup_id, store = place.backup_id, place.store.name
    run = Run(
        job="copy",
        target=place.target,
        started_at=services.clock.now(),
        backup_id=backup_id,
        host=services.host,
        pid=services.pid,
    )
    services.ledger.record_copy(backup_id, store, "copying", run.started_at)

    def body(meter: runner.Meter) -> None:
        try:  # within the run: whoever is told of its end finds the state of the copy
            _write(services, opened, dataclasses.replace(place, pulse=meter.pulse), recipients, meter, stop)
        except BaseException as error:  # also Ctrl-C: nobody writes that copy any more
            services.ledger.record_copy(backup_id, store, "missing", services.clock.now(), str(error))
            raise
        services.ledger.record_copy(backup_id, store, "complete", services.clock.now())

    runner.execute(services, run, body)


def _require_opening(services: Services, opened: Opened) -> None:
    if opens(services.keys, opened.backup):
        return
    found = dict.fromkeys(text for part in opened.backup.parts for text in part.recipients)
    named = ", ".join(text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]}…" for text in found)
    raise KeyFileError(
        f"no identity here opens backup {opened.backup.id}, which is encrypted to {named}",
        hint="Set encryption.identity_file to the file that holds the identity of one of them.",
    )


def _write(
    services: Services,
    opened: Opened,
    place: writing.Place,
    recipients: tuple[Recipient, ...],
    meter: runner.Meter,
    stop: Stop,
) -> None:
    """Write the copy, its manifest last. What breaks off is taken back: its key is gone, so that nobody could go on."""
    for each in (opened.place, place):
        if marks.standing(services, each) is not None:
            raise NotFoundError(
                f"{each.store.location}: a tombstone hides backup {each.backup_id}: it is not copied",
                hint="`holdfast undelete` brings it back, as long as its objects are there.",
            )
    if place.store.stat(place.key(layout.MANIFEST)) is not None:
        recognise(services, open_backup(place, services.keys))  # another host was first
        return
    locking.prepare(services, place.store, stop)
    writing.discard(services, place)  # what an earlier try left
    writing.check_free(place)  # or that would count, as what was written first, and be no part of this copy
    try:
        parts = _parts(services, opened, place, recipients, meter, stop)
        made = _made(services, opened, parts)
        text = restore_text(made, to_create=_to_create(opened))
        document = writing.put_bytes(place, layout.RESTORE_TEXT, text.encode())
        made = dataclasses.replace(made, documents=(document,))
        marks.copy(services, opened.place, place)
        manifest, signature = writing.commit(services, place, made)
    except BaseException:  # also Ctrl-C: what was not committed is nobody's
        writing.discard(services, place)
        raise
    stored = Stored(backup=made, manifest=manifest, signature=signature)
    variants.record(services.ledger, made.id, place.store.name, stored)


def _parts(
    services: Services,
    opened: Opened,
    place: writing.Place,
    recipients: tuple[Recipient, ...],
    meter: runner.Meter,
    stop: Stop,
) -> tuple[Part, ...]:
    parts = []
    label = f"encrypt to {place.store.name}"
    with services.reporter.progress(label, opened.backup.stored_size) as show:
        for part in opened.backup.parts:
            chunks = compressed_chunks(opened.place, part, services.keys)

            def on_bytes(count: int) -> None:
                stop.check()
                meter.add(count)
                show(count)

            parts.append(writing.write_resealed(place, part, counted(chunks, on_bytes), recipients))
            services.stage(f"resealed:{part.role}")
    return tuple(parts)


def _made(services: Services, opened: Opened, parts: tuple[Part, ...]) -> Backup:
    """The manifest of the copy: who signs it, and what it was made from; all else is as it was."""
    source = Stored(backup=opened.backup, manifest=opened.manifest, signature=opened.signature)
    first = opened.backup.origin
    return dataclasses.replace(
        opened.backup,
        parts=parts,
        signer=services.keys.signer().public.text,
        origin=Origin(
            manifest_sha256=source.first_sha256,
            signer=first.signer if first is not None else opened.backup.signer,
            at=services.clock.now(),
            host=services.host,
        ),
    )


def _to_create(opened: Opened) -> dict[str, str]:
    """What the text beside the source says of databases that have to be made by hand."""
    found = (read_document(opened.place, document) for document in opened.backup.documents)
    text = next((each for each in found if each is not None), b"")
    return created_by(text.decode(errors="replace"), opened.backup)
