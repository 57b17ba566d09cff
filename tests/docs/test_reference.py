"""The reference pages and the program say the same: commands, options, JSON keys, exit codes, tables, formats."""

from __future__ import annotations

import dataclasses
import re
import sqlite3
import types
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from holdfast.jobs.backup import Taken
from holdfast.jobs.catalog import Rebuilt
from holdfast.jobs.checks.finding import Finding
from holdfast.jobs.copies import CaughtUp
from holdfast.jobs.export import Exported
from holdfast.jobs.export_csv import TableFile
from holdfast.jobs.importing import ImportReport, Outcome
from holdfast.jobs.proofs import Shown
from holdfast.jobs.recover import Found
from holdfast.jobs.repair import Repaired
from holdfast.jobs.restore_test import Result
from holdfast.jobs.schema import SchemaVersion
from holdfast.jobs.status import TargetStatus
from holdfast.jobs.upcoming import Upcoming
from holdfast.jobs.verify import Verified
from holdfast.ledger.ledger import BackupRow, Ledger
from holdfast.ledger.rows import Copy
from holdfast.metrics import collector
from holdfast.model import catalog, errors
from holdfast.model import proof as proofs
from holdfast.model.backup import FORMAT_VERSION, Backup, Segment
from holdfast.model.comparison import Phase
from holdfast.model.event import Event, Kind, as_json
from holdfast.model.event import Finding as Unusual
from holdfast.model.mark import Ack, Mark, Pin, Tombstone
from holdfast.model.planning import Pause
from holdfast.model.proof import Count, Detail, Proof
from holdfast.model.run import Run
from holdfast.model.schema import Change
from holdfast.render import facts, importing, keys, prove, recover, restore, retention, swap
from holdfast.render import schema as render_schema
from support.commands import commands
from support.documents import REFERENCE, first_cells, json_keys, page, section
from support.home import shape
from support.key_values import keyring_sample, spread_sample
from support.model_values import NOW, restore_test, sample_backup, sample_drill, sample_lock
from support.platform_values import platform_samples
from support.restore_values import planned_restore, restored, restored_tables
from support.retention_values import future_sample, kept_sample, pruned_sample, unusual_sample
from support.swap_values import planned_swap, swapped

SHARED = "## Options of many commands"
UPCOMING = Upcoming(
    at=NOW, local=NOW, timezone="UTC", job="backup", target="shop", slot=NOW, rule="@daily", paused=False
)
_WITHIN = ("last_good.", "waiting.", "last_failure.", "running.")
OPTION = re.compile(r"`(--?[a-z][a-z-]*)`")


@cache
def headings() -> dict[str, str]:
    """Give the page's heading of each command."""
    lines = [line.replace("`", "") for line in page("commands.md").splitlines() if line.startswith("## `")]
    return {re.sub(r"( \[?[A-Z_]+\]?)+$", "", line.removeprefix("## ")): line for line in lines}


def test_every_command_has_its_place_on_the_page() -> None:
    assert set(headings()) == set(commands())


@pytest.mark.parametrize("command", sorted(commands()))
def test_every_option_of_a_command_is_on_the_page_and_no_other(command: str) -> None:
    own = section(page("commands.md"), headings()[command]).partition("### ")[0]
    explained = {text for cell in first_cells(own) for text in OPTION.findall(cell)}
    listed = {text for line in re.findall(r"(?m)^(?:And|Options): .*", own) for text in OPTION.findall(line)}
    shared = [OPTION.findall(cell) for cell in first_cells(section(page("commands.md"), SHARED))]
    with_short = {text for names in shared if listed & set(names) for text in names}
    assert listed <= {text for names in shared for text in names}, "listed, but explained nowhere"
    assert commands()[command] - {"--help"} == explained | with_short


def samples() -> dict[str, object]:
    """Give the JSON of every command, with nothing missing in it."""
    left = catalog.LeftOut(kind="table", name="t", reason="asked for")
    held = catalog.DatabaseCoverage(name="app", tables=1, rows=7)
    coverage = catalog.Coverage(tables=2, tables_covered=1, rows=7, left_out=(left,), databases=(held,))
    made, run = sample_backup(), Run(job="backup", target="shop", started_at=NOW)
    copies = (Copy(store="disk", state="complete", at=NOW),)
    row = BackupRow(
        backup=made,
        coverage=coverage,
        proof="stored",
        proof_at=None,
        copies=copies,
        manifest=b"",
        signature=b"",
    )
    status = TargetStatus(
        target="shop",
        backups=1,
        hidden=0,
        last_good=row,
        age_seconds=1.0,
        limit_seconds=2.0,
        last_failure=run,
        running=run,
        problems=(),
        waiting=row,
        spread=spread_sample(),
        last_drill=sample_drill(),
        paused=Pause(since=NOW, until=NOW),
    )
    return {
        "keys": keys.facts(keyring_sample()),
        "check": [facts.finding(Finding(level="ok", subject="store", message="works"))],
        "backup": [facts.taken(Taken(backup=made, coverage=coverage, failed_copies=(("b", "full"),)))],
        "list": [facts.row(row)],
        "show": facts.detail(row, coverage, [kept_sample()], [sample_lock()]),
        "status": [facts.target_status(status)],
        "verify": [
            facts.verified(Verified(target="shop", backup_id=made.id, store="disk", proof=None, error=None))
        ],
        "copy": [
            facts.caught_up(
                "shop", CaughtUp([("id", "b")], [("id", "c", errors.StoreError("full"))], {"b": 0})
            )
        ],
        "notify test": [facts.finding(Finding(level="ok", subject="notify ops", message="delivered"))],
        "restore": [
            restore.facts(restored()),
            restore.plan_facts(planned_restore()),
            restore.tables_facts(restored_tables()),
        ],
        "recover": recover.all_facts([Found(target="shop", whole=(), broken=0)]),
        "swap": [swap.plan_facts(planned_swap()), swap.facts(swapped(), ())],
        "export": facts.exported(exported()),
        "import": importing.facts(imported()),
        "schema log": render_schema.facts([schema_version()]),
        **platform_samples(),
        "schedule": [facts.upcoming(UPCOMING)],
        "prune": [
            retention.pruned_facts(pruned_sample()),
            retention.future_facts(future_sample()),
        ],
        "anomaly list": [retention.unusual_facts(unusual_sample())],
        "restore-test": prove.result_facts(
            Result(
                proof=proof_of_a_test(), detail=Detail(backup_id="", target="", databases=()), stored_in=()
            )
        ),
        "repair": [
            prove.repaired_facts(
                Repaired(target="shop", backup_id="", store="a", source=None, objects=(), error=None)
            )
        ],
        "proof show": prove.shown_facts(shown_proof()),
        "catalog rebuild": facts.rebuilt(Rebuilt(problems=[("here", "gone")])),
    }


def proof_of_a_test() -> Proof:
    proof = restore_test(at=NOW, outcome="passed", seconds=1, restore_seconds=1, size=1)
    assert proof.tested is not None
    full = dataclasses.replace(
        proof.tested,
        phases=(Phase(name="restore", seconds=1),),
        left_out=(Count(kind="subscription", count=1),),
        detail=Segment(name="detail", size=1, sha256=""),
    )
    return dataclasses.replace(proof, tested=full)


def shown_proof() -> Shown:
    made = Mark(kind="proof", backup_id="", target="shop", at=NOW, host="h", signer="RW", content={})
    return Shown(
        backup=sample_backup(),
        mark=made,
        proof=proof_of_a_test(),
        store="disk",
        detail=None,
        without_detail="no identity",
    )


def exported() -> Exported:
    table = TableFile(schema="public", table="t", file="public.t.csv", rows=1, size=9)
    return Exported(
        backup_id="20261122T020000Z-7f3a",
        target="shop",
        database="app",
        form="csv",
        output="out",
        encoding="UTF8",
        size=9,
        tables=(table,),
    )


def schema_version() -> SchemaVersion:
    change = Change(action="added", kind="INDEX", title="index public.i", details=("x",))
    return SchemaVersion(
        backup_id="20261122T020000Z-7f3a",
        at=NOW,
        database="app",
        fingerprint="00",
        objects=(),
        changes=(change,),
        migration=None,
    )


def imported() -> ImportReport:
    error = errors.IntegrityError("it ends early", hint="Take another.")
    return ImportReport(
        target="shop", outcomes=(Outcome(name="a.dump", state="broken", at=NOW, error=error),)
    )


@pytest.mark.parametrize("command", sorted(samples()))
def test_the_keys_of_json_are_those_on_the_page(command: str) -> None:
    documented, printed = json_keys(command), shape(samples()[command])
    if command == "show":
        coverage = {key for key in json_keys("backup") if key.startswith("coverage")}
        documented |= json_keys("list") | coverage
    if command == "status":  # the page refers to list and to the ledger for what is within
        within = {key for key in printed if key.startswith(_WITHIN)}
        assert {
            key.removeprefix("last_good.") for key in within if key.startswith("last_good.")
        } == json_keys("list")
        printed -= within
    assert printed == documented


def test_every_command_with_json_has_its_keys_on_the_page() -> None:
    assert {name for name, options in commands().items() if "--json" in options} == set(samples())


def kinds(kind: type[errors.Error] = errors.Error) -> Iterator[type[errors.Error]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from kinds(below)


def test_every_error_has_its_exit_code_on_the_page() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page("exit-codes.md").splitlines()
        if re.match(r"\| \d", line)
    ]
    documented = {(int(row[0]), row[1].strip("`"), row[3]) for row in rows}
    expected = {
        (kind.exit_code, kind.code, "yes" if kind.retryable else "no")
        for kind in kinds()
        if kind is not errors.CancelledError
    }
    cancelled = {(number, "cancelled", "yes") for number in (129, 130, 143)}
    assert documented == expected | cancelled | {(0, "", "")}


def test_the_ledgers_tables_and_columns_are_on_the_page(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path, now=NOW).close()
    with closing(sqlite3.connect(path)) as connection:
        columns = connection.execute(
            "SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c"
            " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"
        ).fetchall()
    text = page("ledger.md")
    tables = {table for table, _ in columns}
    assert tables == set(re.findall(r"(?m)^### (\w+)$", text))
    missing = [
        f"{table}.{column}"
        for table, column in columns
        if table != "meta" and not re.search(rf"\b{column}\b", section(text, f"### {table}"))
    ]
    assert missing == []


def type_name(hint: Any) -> str:  # noqa: ANN401 - a type hint
    """Give the word that the page has for a type."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return f"{type_name(next(arg for arg in args if arg is not type(None)))} or null"
    if origin is tuple:
        return "array of strings" if args[0] is str else "array"
    if origin is Mapping:
        return "object of strings" if args[1] is str else "object"
    if origin is Literal or hint is str:
        return "string"
    if dataclasses.is_dataclass(hint):
        return "object"
    return {int: "integer", bool: "boolean", float: "number", datetime: "time"}[hint]


def fields_of(kind: Any, path: str = "") -> dict[str, str]:  # noqa: ANN401 - a dataclass
    """Give the paths of a dataclass's fields and the words for their types."""
    found: dict[str, str] = {}
    for name, hint in get_type_hints(kind).items():
        found[f"{path}{name}"] = type_name(hint)
        inner = get_args(hint)[0] if get_origin(hint) is tuple else hint
        if dataclasses.is_dataclass(inner):
            found |= fields_of(inner, f"{path}{name}{'[]' if inner is not hint else ''}.")
    return found


def test_the_keys_of_a_webhook_are_on_the_page() -> None:
    finding = Unusual(database="app", measure="rows", value=1, expected=2.0)
    told = Event(kind="anomaly", job="backup", target="shop", host="db1", at=NOW, findings=(finding,))
    table = section(page("notifications.md"), "## The JSON of a webhook")
    assert {text for cell in first_cells(table) for text in re.findall(r"`([^`]+)`", cell)} == shape(
        as_json(told)
    )


def test_the_kinds_of_events_are_on_the_page() -> None:
    table = section(page("notifications.md"), "## What is told, and when")
    kinds = {text for cell in first_cells(table) for text in re.findall(r"`([^`]+)`", cell)}
    assert kinds == set(get_args(Kind)) - {"test"}


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("## The manifest", Backup),
        ("## Marks", Mark),
        ("### Pins", Pin),
        ("### Acks", Ack),
        ("### Tombstones", Tombstone),
        ("### Proofs", Proof),
        ("### What a restore test found", proofs.Tested),
    ],
)
def test_the_format_of_signed_objects_is_on_the_page(heading: str, kind: type) -> None:
    own = section(page("format.md"), heading).partition("\n### ")[0]
    rows = re.findall(r"(?m)^\| `([^`]+)` \| ([^|]+) \|", own)
    shared = {"backup_id", "target", "at"} if kind is Proof else set()
    fields = {name: word for name, word in fields_of(kind).items() if name not in shared}
    assert {name: word.strip() for name, word in rows} == fields


def test_the_catalogs_fields_are_on_the_page() -> None:
    text = section(page("format.md"), "## The catalog")
    described = {word for cell in re.findall(r"`([^`]+)`", text) for word in [cell.rpartition(".")[2]]}
    missing = {path for path in fields_of(catalog.Catalog) if path.rpartition(".")[2] not in described}
    assert missing == set()


def test_the_page_speaks_of_the_current_format_version() -> None:
    assert f"**format version {FORMAT_VERSION}**" in page("format.md")


def test_every_document_is_in_the_index() -> None:
    docs = REFERENCE.parent
    linked = set(re.findall(r"\]\(([^)#]+)\)", (docs / "README.md").read_text()))
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")} - {"README.md"}
    assert {name for name in pages if "/decisions/" not in name} == linked - {"explanation/decisions/"}


def test_every_metric_is_on_its_page_with_its_labels() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \|([^|]*)\|", page("metrics.md"))
    documented = {name: tuple(filter(None, labels.strip().split(", "))) for name, labels in rows}
    assert documented == {family.name: family.labels for family in collector.FAMILIES}
