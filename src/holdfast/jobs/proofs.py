"""Makes the proof of a restore test, stores it signed beside the backup with its encrypted detail, and reads both back."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from holdfast import __version__
from holdfast.jobs import find, marks, writing
from holdfast.jobs.reading import Opened
from holdfast.jobs.services import Keys, Services
from holdfast.ledger import marks as kept_marks
from holdfast.ledger.ledger import BackupRow
from holdfast.methods.proving import Stopwatch
from holdfast.model import codec, layout, mark
from holdfast.model.backup import Backup, Segment
from holdfast.model.errors import Error, IntegrityError, KeyFileError, NotFoundError
from holdfast.model.mark import Mark
from holdfast.model.proof import Count, DatabaseTested, Detail, Proof, Tested
from holdfast.stores.base import read_all
from holdfast.streams import age, age_keys, compress

_TOKEN_BYTES = 4
_WORDS = {
    "restore": "it did not restore",
    "differences": "what was restored differs",
    "soundness": "what was restored is not sound",
    "checks": "a check of the owner failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a test besides what it found."""

    began: datetime
    isolation: str
    server: str
    clients: str
    whole: bool
    roles: int
    owners: bool
    watch: Stopwatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A proof as it is shown: who signed it, and the detail, or why there is none here."""

    backup: Backup
    mark: Mark
    proof: Proof
    store: str
    detail: Detail | None
    without_detail: str | None


def of(services: Services, opened: Opened, detail: Detail, facts: Facts) -> Proof:
    """Draw the proof from what was found. It names nothing of the database: it lies in the clear."""
    why = tuple(reasons(detail))
    now = services.clock.now()
    comparisons = [each.comparison for each in detail.databases if each.comparison is not None]
    validity = [check for comparison in comparisons for check in comparison.validity]
    checks = [check for each in detail.databases for check in each.checks]
    seconds = facts.watch.done
    tested = Tested(
        outcome="failed" if why else "passed",
        why=why,
        started_at=facts.began,
        seconds=round((now - facts.began).total_seconds(), 3),
        phases=facts.watch.phases,
        isolation=facts.isolation,
        holdfast=__version__,
        clients=facts.clients,
        whole=facts.whole,
        databases=len(detail.databases),
        tables=sum(len(each.tables) for each in comparisons),
        rows=sum(each.rows for each in comparisons),
        definitions=sum(each.definitions for each in comparisons),
        sequences=sum(each.sequences for each in comparisons),
        large_objects=sum(each.large_objects for each in comparisons),
        roles=facts.roles,
        respelled=sum(len(each.respelled) for each in comparisons),
        differences=sum(len(each.differences) for each in comparisons)
        + (len(detail.globals.differences) if detail.globals else 0),
        soundness_checked=sum(check.checked for check in validity),
        soundness_problems=sum(len(check.problems) for check in validity),
        checks=len(checks),
        checks_failed=sum(1 for check in checks if check.problem is not None),
        left_out=_counted(item.kind for each in detail.databases for item in each.left_out),
        owners=facts.owners,
    )
    return Proof(
        backup_id=opened.backup.id,
        target=opened.backup.target,
        level="proven" if not why and facts.whole and facts.owners else "verified",
        method="restored",
        at=now,
        store=opened.place.store.name,
        tables_compared=tested.tables,
        restore_seconds=round(sum(seconds.get(name, 0.0) for name in ("roles", "reading", "restore")), 3),
        archive_bytes=sum(each.archive_bytes for each in detail.databases),
        server_version=facts.server,
        tested=tested,
    )


def reasons(detail: Detail) -> Iterable[str]:
    """Give the words for why what was found is no proof."""
    found = detail.databases
    comparisons = [each.comparison for each in found if each.comparison is not None]
    if any(each.failure is not None for each in found):
        yield "restore"
    if any(each.differences for each in comparisons) or (detail.globals and detail.globals.differences):
        yield "differences"
    if any(check.problems for each in comparisons for check in each.validity):
        yield "soundness"
    if any(check.problem is not None for each in found for check in each.checks):
        yield "checks"


def _counted(kinds: Iterable[str]) -> tuple[Count, ...]:
    return tuple(Count(kind=kind, count=count) for kind, count in sorted(Counter(kinds).items()))


def summary(tested: Tested) -> str:
    """What failed, in a few words."""
    return ", ".join(_WORDS.get(word, word) for word in tested.why) or "nothing failed"


def keep(services: Services, opened: Opened, proof: Proof, detail: Detail) -> tuple[Proof, tuple[str, ...]]:
    """Store the proof beside each whole copy of the backup, and only then let the ledger know. Give where it lies.

    Raise StoreError where it cannot be stored beside the copy that was tested; others are warnings.
    """
    assert proof.tested is not None  # noqa: S101 - the proof of a restore test
    data = json.dumps(codec.to_json(detail), sort_keys=True, ensure_ascii=False).encode(
        "utf-8", "backslashreplace"
    )
    sealed = _sealed(opened.backup, data)
    segment = Segment(
        name=layout.detail_name(proof.at, secrets.token_hex(_TOKEN_BYTES), encrypted=opened.backup.encrypted),
        size=len(sealed),
        sha256=hashlib.sha256(sealed).hexdigest(),
    )
    tested = replace(proof.tested, detail=segment, detail_sha256=hashlib.sha256(data).hexdigest())
    proof = replace(proof, tested=tested)
    stored: list[str] = []
    for place in _places(services, opened):
        try:
            writing.put_bytes(place, segment.name, sealed)
            marks.put(services, place, proof, at=proof.at)
        except Error as trouble:
            if place.store.name == opened.place.store.name:
                raise
            services.reporter.warn("could not store the proof", store=place.store.name, error=str(trouble))
        else:
            stored.append(place.store.name)
    services.stage("proof_stored")
    services.ledger.record_proof(proof)
    return proof, tuple(stored)


def _places(services: Services, opened: Opened) -> list[writing.Place]:
    """The copy that was tested first, then the other whole ones."""
    row = services.ledger.backup(opened.backup.id)
    whole = {copy.store for copy in row.copies if copy.state == "complete"} if row is not None else set()
    others = find.places(services, row) if row is not None else ()
    own = opened.place.store.name
    return [opened.place, *(each for each in others if each.store.name in whole and each.store.name != own)]


def _sealed(backup: Backup, data: bytes) -> bytes:
    """Compress a detail, and encrypt it to those who may open the backup."""
    chunks = compress.compress(iter([data]), level=3, threads=0)
    if backup.encrypted:
        to = dict.fromkeys(text for part in backup.parts for text in part.recipients)
        chunks = age.encrypt(chunks, tuple(age_keys.parse_recipient(text) for text in to))
    return b"".join(chunks)


def show(services: Services, row: BackupRow) -> Shown:
    """The newest proof of a restore test of a backup, with its detail where this host can open it.

    Raise NotFoundError where there is none.
    """
    found = [
        kept
        for kept in kept_marks.of_backup(services.ledger, row.backup.id, "proof")
        if mark.proof(kept.mark).tested is not None
    ]
    if not found:
        raise NotFoundError(
            f"backup {row.backup.id} has no restore test that came to a result",
            hint=f"`holdfast restore-test --backup {row.backup.id}` makes one.",
        )
    newest = max(found, key=lambda kept: kept.mark.at)
    proof, missing, detail = mark.proof(newest.mark), "", None
    for kept in found:
        if kept.document != newest.document or kept.store not in services.stores:
            continue
        place = writing.Place(
            store=services.stores[kept.store], target=row.backup.target, backup_id=row.backup.id
        )
        try:
            detail = _detail(place, proof, services.keys)
        except Error as error:
            missing = error.message
        else:
            break
    return Shown(
        backup=row.backup,
        mark=newest.mark,
        proof=proof,
        store=newest.store,
        detail=detail,
        without_detail=None if detail is not None else missing or "its store is not in the config",
    )


def _detail(place: writing.Place, proof: Proof, keys: Keys) -> Detail:
    """Read the detail that a proof names. Raise IntegrityError for another, KeyFileError where it cannot be opened."""
    tested = proof.tested
    if tested is None or tested.detail is None:
        raise NotFoundError("the proof names no detail")
    key = place.key(tested.detail.name)
    sealed = read_all(place.store, key)
    if hashlib.sha256(sealed).hexdigest() != tested.detail.sha256:
        raise IntegrityError(f"{place.store.location}: {key} is not what the proof names")
    chunks = iter([sealed])
    if tested.detail.name.endswith(".age"):
        if not keys.identities:
            raise KeyFileError("the names are encrypted, and this host has no identity")
        chunks = iter(age.decrypt(chunks, keys.identities))
    data = b"".join(compress.decompress(chunks))
    if hashlib.sha256(data).hexdigest() != tested.detail_sha256:
        raise IntegrityError(f"{place.store.location}: {key} opens as something else than was signed")
    return parse_detail(data, where=f"{place.store.location}: {key}")


def parse_detail(data: bytes, *, where: str) -> Detail:
    """Read a detail. Raise IntegrityError, naming `where`, when it is malformed."""
    try:
        return codec.from_json(Detail, json.loads(data), "detail")
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{where}: not a detail: {error}") from error


def databases(detail: Detail | None) -> tuple[DatabaseTested, ...]:
    """The databases of a detail, none where there is none."""
    return detail.databases if detail is not None else ()
