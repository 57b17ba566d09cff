"""Hypothesis strategies for the model's types, and plain samples of them."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import strategies as st

from holdfast.ledger.locks import CopyLock
from holdfast.model import layout
from holdfast.model.backup import FORMAT_VERSION, Backup, Part, Segment, Server
from holdfast.model.catalog import Coverage, LeftOut
from holdfast.model.comparison import Phase
from holdfast.model.drill import Drill
from holdfast.model.proof import Outcome, Proof, Tested
from holdfast.model.run import Run

NOW = datetime(2026, 11, 22, 2, 0, 0, tzinfo=UTC)

sizes = st.integers(min_value=0, max_value=2**63 - 1)
digests = st.text(string.hexdigits.lower(), min_size=64, max_size=64)
zones = st.integers(min_value=-14 * 60, max_value=14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
times = st.datetimes(datetime(1000, 1, 2), datetime(9999, 12, 30), timezones=zones)  # noqa: DTZ001 - zone follows
targets = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)
tokens = st.text("0123456789abcdef", min_size=4, max_size=12)
# What a database may be called: any text, with bytes that are no UTF-8 as Python's lone surrogates.
names = st.binary(min_size=1, max_size=63).map(lambda raw: raw.decode("utf-8", "surrogateescape")) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=63
).map(lambda text: text.encode()[:63].decode(errors="ignore") or "x")  # a server keeps 63 bytes


@st.composite
def backup_ids(draw: st.DrawFn) -> str:
    """Ids as new_backup_id makes them."""
    return layout.new_backup_id(draw(times), draw(tokens))


@st.composite
def parts(draw: st.DrawFn, number: int) -> Part:
    """A part whose object names are its own."""
    count = draw(st.integers(min_value=1, max_value=3))
    base = f"part{number}.dump.zst.age"
    segments = tuple(
        Segment(
            name=layout.segment_name(base, index + 1, numbered=count > 1),
            size=draw(sizes),
            sha256=draw(digests),
        )
        for index in range(count)
    )
    return Part(
        name=base,
        role=draw(st.sampled_from(["globals", "database", "catalog"])),
        format=draw(st.sampled_from(["plain", "custom", "json"])),
        database=draw(st.none() | names),
        segments=segments,
        size=draw(sizes) // 8,
        stored_size=draw(sizes) // 8,
        sha256=draw(digests),
        stored_sha256=draw(digests),
        codec=draw(st.sampled_from(["none", "zstd"])),
        recipients=tuple(draw(st.lists(st.text("age1qpzry", min_size=4), max_size=2))),
        header_sha256=draw(st.none() | digests),
    )


@st.composite
def backups(draw: st.DrawFn) -> Backup:
    """Any backup that a manifest may describe."""
    count = draw(st.integers(min_value=0, max_value=4))
    return Backup(
        id=draw(backup_ids()),
        format_version=FORMAT_VERSION,
        target=draw(targets),
        slot=draw(st.none() | times),
        method="logical",
        started_at=draw(times),
        finished_at=draw(times),
        server=Server(version=draw(names), version_num=170004, system_identifier=draw(st.none() | names)),
        tools=draw(st.dictionaries(names, names, max_size=3)),
        parts=tuple(draw(parts(number)) for number in range(count)),
        databases=tuple(draw(st.lists(names, max_size=3))),
        signer=draw(names),
        host=draw(names),
        labels=tuple(draw(st.lists(names, max_size=2))),
        documents=draw(st.sampled_from([(), (Segment(name="RESTORE.txt", size=3, sha256="0" * 64),)])),
        imported=draw(st.booleans()),
    )


runs = st.builds(
    Run,
    id=st.just(0),
    target=names,
    slot=st.none() | times,
    attempt=st.integers(min_value=1, max_value=99),
    started_at=times,
    finished_at=st.none() | times,
    heartbeat_at=st.none() | times,
    bytes_done=sizes,
    backup_id=st.none() | backup_ids(),
    error_code=st.none() | st.just("source"),
    error=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    host=st.text(st.characters(exclude_categories=["Cs"])),
    pid=st.integers(min_value=0, max_value=2**22),
)
coverages = st.builds(
    Coverage,
    tables=sizes,
    tables_covered=sizes,
    rows=st.none() | sizes,
    left_out=st.lists(st.builds(LeftOut, kind=names, name=names, reason=names), max_size=3).map(tuple),
)
proofs = st.builds(Proof, at=times, archive_bytes=sizes, restore_seconds=st.none() | st.floats(0, 1e9))


def sample_drill() -> Drill:
    """Give a drill of one database."""
    return Drill(
        target="shop",
        backup_id="20261122T020000Z-7f3a",
        at=NOW,
        seconds=99.0,
        phases=(Phase(name="restore", seconds=20.0),),
        databases=1,
        size=1,
        isolation="isolated",
    )


def sample_backup(backup_id: str = "20261122T020000Z-7f3a", target: str = "shop") -> Backup:
    """A small, ordinary backup."""
    segment = Segment(name="app.dump.zst.age", size=700, sha256="b" * 64)
    part = Part(
        name="app.dump.zst.age",
        role="database",
        format="custom",
        database="app",
        segments=(segment,),
        size=1000,
        stored_size=700,
        sha256="a" * 64,
        stored_sha256="b" * 64,
        codec="zstd",
        recipients=("age1recipient",),
    )
    return Backup(
        id=backup_id,
        format_version=FORMAT_VERSION,
        target=target,
        slot=NOW,
        method="logical",
        started_at=layout.backup_time(backup_id),
        finished_at=layout.backup_time(backup_id) + timedelta(seconds=9),
        server=Server(version="17.4", version_num=170004, system_identifier="7300000000000000001"),
        tools={"pg_dump": "17.4"},
        parts=(part,),
        databases=("app",),
        signer="RWQsigner",
        host="db1",
    )


def restore_test(
    *, at: datetime, outcome: Outcome, seconds: float, restore_seconds: float, size: int, backup_id: str = ""
) -> Proof:
    """Give the proof of a restore test of the sample backup (or of another)."""
    return Proof(
        backup_id=backup_id or sample_backup().id,
        target="shop",
        level="proven" if outcome == "passed" else "verified",
        method="restored",
        at=at,
        store="disk",
        restore_seconds=restore_seconds,
        archive_bytes=size,
        server_version="15.18",
        tested=Tested(
            outcome=outcome,
            why=() if outcome == "passed" else ("differences",),
            started_at=at,
            seconds=seconds,
            phases=(),
            isolation="isolated",
            holdfast="1",
            clients="15.18",
            whole=True,
            databases=1,
            tables=2,
            rows=3,
            definitions=4,
            sequences=5,
            large_objects=6,
            roles=7,
            respelled=0,
            differences=0 if outcome == "passed" else 1,
            soundness_checked=8,
            soundness_problems=0,
            checks=1,
            checks_failed=0,
        ),
    )


def sample_lock() -> CopyLock:
    """What is known of the locks on a copy."""
    return CopyLock(backup_id="20261122T020000Z-7f3a", store="offsite", at=NOW, until=NOW, objects=5)
