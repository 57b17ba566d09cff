"""What people and programs read of a restore test: what it came to, and the proof as a page for an auditor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdfast.jobs.proofs import Shown, databases, summary
from holdfast.jobs.repair import Repaired
from holdfast.jobs.restore_test import Result
from holdfast.model.codec import Json, to_json
from holdfast.model.comparison import Comparison
from holdfast.model.document import Block, Document, Paragraph, Section, Table
from holdfast.model.proof import DatabaseTested, Proof, Tested
from holdfast.render.printing import line
from holdfast.render.sameness import difference
from holdfast.render.words import duration, many, size, when

Facts = dict[str, Json]
_SHOWN = 20
_MEANING = (
    (
        "The archive was read from the store, its signature and digests checked, decrypted and restored into an empty database"
        " with the programs that a real restore uses. Each table of the restored database was then dumped again, and its rows"
        " compared with those of the archive by their number and a digest that does not depend on their order; the"
        " definitions, one by one, by their text. Where row counts of the source are given, they were taken in the same"
        " snapshot as the dump."
    ),
)
_OWN_SERVER, _BORROWED_SERVER = (
    (
        "The scratch server ran without durability, and not where the original runs: the time says how fast a restore goes"
        " there. Passwords, subscriptions, event triggers and scheduled jobs were not put to work, and nothing that the"
        " database speaks to outside itself was there."
    ),
    (
        "The scratch server is one that the owner named, and its speed is not that of the original. Passwords,"
        " subscriptions, event triggers and scheduled jobs were not put to work. What the database speaks to outside itself"
        " was not kept out of reach."
    ),
)
_VERDICTS = {
    "passed": "PROVEN: restored, and identical to what was archived",
    "failed": "FAILED: this backup is not proven",
}
_WITHOUT_OWNERS = "IDENTICAL, but not all is proven: roles, owners and privileges were not tested"


def result_facts(value: Result) -> Facts:
    """What a restore test came to, all of it."""
    return {
        "proof": to_json(value.proof),
        "detail": to_json(value.detail),
        "stored_in": to_json(value.stored_in),
    }


def shown_facts(value: Shown) -> Facts:
    """A proof, as it was stored and signed, with its detail where that can be opened here."""
    return {
        "proof": to_json(value.proof),
        "detail": to_json(value.detail),
        "without_detail": value.without_detail,
        "host": value.mark.host,
        "signer": value.mark.signer,
        "store": value.store,
    }


def result(value: Result) -> None:
    """Say what a restore test came to."""
    tested = _tested(value.proof)
    for database in value.detail.databases:
        line(f"database {database.name}: {_database_line(database)}")
        for problem in list(_problems(database))[:_SHOWN]:
            line(f"  {problem}")
    if value.detail.globals is not None:
        for each in value.detail.globals.differences[:_SHOWN]:
            line(f"roles: {difference(each)}")
    for item in (item for database in value.detail.databases for item in database.left_out):
        line(f"not restored: {item.kind} {item.name} ({item.reason})")
    if tested.isolation != "isolated":
        line(f"the scratch server was {tested.isolation}")
    line(f"{_verdict_of(tested)} ({duration(tested.seconds)}; restore {_rate(value.proof)})")


def repaired_facts(value: Repaired) -> Facts:
    """What became of one copy that was to be mended."""
    return {
        "id": value.backup_id,
        "target": value.target,
        "store": value.store,
        "ok": value.error is None,
        "objects": to_json(value.objects),
        "uncovered": to_json(value.uncovered),
        "source": value.source,
        "error": value.error.message if value.error is not None else None,
        "error_code": value.error.code if value.error is not None else None,
    }


def repaired(values: Iterable[Repaired]) -> None:
    """Say what became of the copies that were to be mended."""
    for value in values:
        where = f"{value.backup_id} in {value.store}"
        if value.error is not None:
            line(f"FAILED  {where}: {value.error.message}")
            continue
        if value.uncovered:
            line(f"uncovered {where}: {', '.join(value.uncovered)}")
        if not value.objects:
            line(f"whole   {where}")
        else:
            source = f" from {value.source}" if value.source else ""
            line(f"mended  {where}: {', '.join(value.objects)}{source}")


def _database_line(value: DatabaseTested) -> str:
    found = value.comparison
    if found is None:
        return f"did not restore: {value.failure}"
    same = "identical" if found.same else "NOT identical"
    checks = f", {many(len(value.checks), 'check')}" if value.checks else ""
    return f"{many(len(found.tables), 'table')}, {many(found.rows, 'row')}, {many(found.definitions, 'definition')}{checks}: {same}"


def _problems(value: DatabaseTested) -> Iterator[str]:
    if value.comparison is not None:
        yield from map(difference, value.comparison.differences)
        for check in value.comparison.validity:
            yield from (f"{check.name}: {problem}" for problem in check.problems)
    for asked in value.checks:
        if asked.problem is not None:
            yield f"check {asked.name}: {asked.problem}"


def _verdict_of(tested: Tested) -> str:
    return _VERDICTS[tested.outcome] if tested.owners or tested.outcome == "failed" else _WITHOUT_OWNERS


def _meaning(tested: Tested) -> tuple[str, ...]:
    return (*_MEANING, _OWN_SERVER if tested.owners else _BORROWED_SERVER)


def _rate(proof: Proof) -> str:
    if not proof.restore_seconds:
        return size(proof.archive_bytes)
    return f"{size(proof.archive_bytes)} in {duration(proof.restore_seconds)}"


def _tested(proof: Proof) -> Tested:
    assert proof.tested is not None  # noqa: S101 - the proof of a restore test
    return proof.tested


def document(value: Shown) -> Document:
    """The proof as a page: the verdict, who says so, what was done, and what was found."""
    proof, tested = value.proof, _tested(value.proof)
    sections = [
        Section(_verdict_of(tested), tuple(_verdict(value))),
        Section("What was tested", (Table(("FACT", "VALUE"), tuple(_facts(value))),)),
        Section("What was compared", (Table(("THING", "COUNT"), tuple(_counts(tested))),)),
        Section(
            "How long it took",
            (
                Table(
                    ("PART", "TIME"), tuple((phase.name, duration(phase.seconds)) for phase in tested.phases)
                ),
            ),
        ),
    ]
    for database in databases(value.detail):
        sections += _database(database)
    if value.detail is not None and value.detail.globals is not None:
        sections.append(Section("Roles", tuple(_globals_blocks(value))))
    if value.without_detail is not None:
        text = f"The names of what was compared are not shown here: {value.without_detail}."
        sections.append(Section("Detail", (Paragraph(text),)))
    sections.append(Section("What this proves, and what not", tuple(map(Paragraph, _meaning(tested)))))
    return Document(
        f"Restore test of {proof.target}, {proof.backup_id}",
        f"tested {when(proof.at)} on {value.mark.host} by Holdfast {tested.holdfast}",
        tuple(sections),
    )


def _verdict(value: Shown) -> Iterator[Block]:
    tested = _tested(value.proof)
    if tested.outcome == "failed":
        yield Paragraph(f"What failed: {summary(tested)}.")
    else:
        yield Paragraph(
            "Every row, definition and sequence of the archive was found again in the restored databases,"
            f" and {many(tested.checks, 'check')} of the owner held."
        )
    if not tested.whole:
        yield Paragraph(
            "Not every database of the backup was tested, so the backup as a whole is not proven by this."
        )
    if not tested.owners:
        yield Paragraph(
            "It was restored on a server of the owner's, which has other roles: without the backup's roles, owners and"
            " privileges, which are not proven by this. Restored code could act on that server."
        )


def _facts(value: Shown) -> Iterator[tuple[str, str]]:
    proof, tested, backup = value.proof, _tested(value.proof), value.backup
    yield "backup", backup.id
    yield "target", backup.target
    yield "taken", f"{when(backup.started_at)} of PostgreSQL {backup.server.version}"
    yield "archive", f"{size(proof.archive_bytes)} of {many(tested.databases, 'database')}"
    yield "read from", f"store {proof.store}"
    yield "restored into", f"PostgreSQL {proof.server_version}, with clients {tested.clients}"
    yield "scratch server", tested.isolation
    yield "restore", _rate(proof)
    yield "signed by", value.mark.signer
    yield "detail", tested.detail_sha256


def _counts(tested: Tested) -> Iterator[tuple[str, str]]:
    for name in ("tables", "rows", "definitions", "sequences", "large_objects", "roles"):
        yield name.replace("_", " "), f"{getattr(tested, name):,}"
    yield "definitions that PostgreSQL spells differently", f"{tested.respelled:,}"
    yield "differences", f"{tested.differences:,}"
    yield "objects looked at for soundness", f"{tested.soundness_checked:,}"
    yield "of these not sound", f"{tested.soundness_problems:,}"
    yield "checks of the owner", f"{tested.checks:,}"
    yield "of these failed", f"{tested.checks_failed:,}"
    for left in tested.left_out:
        yield f"not restored: {left.kind}", f"{left.count:,}"


def _database(value: DatabaseTested) -> Iterator[Section]:
    blocks: list[Block] = [Paragraph(f"{_database_line(value)}.")]
    if problems := list(_problems(value)):
        blocks.append(Table(("PROBLEM",), tuple((text,) for text in problems)))
    if value.checks:
        rows = tuple((check.name, check.problem or "holds") for check in value.checks)
        blocks.append(Table(("CHECK", "ANSWER"), rows))
    found = value.comparison
    if found is not None:
        blocks += _comparison(found)
    left = (*value.left_out, *(found.left_out if found is not None else ()))
    if left:
        blocks.append(
            Table(
                ("NOT COMPARED", "NAME", "WHY"),
                tuple(dict.fromkeys((item.kind, item.name, item.reason) for item in left)),
            )
        )
    if value.warnings:
        blocks.append(Table(("SAID WHILE RESTORING",), tuple((text,) for text in value.warnings)))
    yield Section(f"Database {value.name}", tuple(blocks))


def _comparison(found: Comparison) -> Iterator[Block]:
    if found.validity:
        yield Table(
            ("SOUNDNESS", "LOOKED AT", "FOUND"),
            tuple(
                (
                    check.name,
                    f"{check.checked:,}",
                    "; ".join(check.problems) or check.skipped or "nothing wrong",
                )
                for check in found.validity
            ),
        )
    rows = (
        (
            table.name,
            "?" if table.source_rows is None else f"{table.source_rows:,}",
            *_side(table.archived),
            *_side(table.restored),
        )
        for table in found.tables
    )
    yield Table(("TABLE", "SOURCE", "ARCHIVED", "DIGEST", "RESTORED", "DIGEST"), tuple(rows))
    if found.respelled:
        yield Table(
            ("SPELLED DIFFERENTLY", "NAME"), tuple((each.kind, each.name) for each in found.respelled)
        )
    yield from (Paragraph(note) for note in found.notes)


def _side(content: object) -> tuple[str, str]:
    rows, digest = getattr(content, "rows", None), getattr(content, "digest", "")
    return ("none", "") if rows is None else (f"{rows:,}", digest[:16])


def _globals_blocks(value: Shown) -> Iterable[Block]:
    found = value.detail.globals if value.detail is not None else None
    if found is None:
        return
    yield Paragraph(
        f"{many(found.roles, 'role')}, {many(found.memberships, 'membership')}, {many(found.settings, 'setting')}."
    )
    if found.differences:
        yield Table(("DIFFERENT",), tuple((difference(each),) for each in found.differences))
    if found.left_out:
        yield Table(
            ("NOT COMPARED", "NAME", "WHY"),
            tuple((item.kind, item.name, item.reason) for item in found.left_out),
        )
