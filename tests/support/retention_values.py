"""What retention tells, with nothing missing in it."""

from __future__ import annotations

from typing import Any

from holdfast.jobs.prune import Pruned
from holdfast.jobs.prune_future import Future
from holdfast.jobs.prune_look import Shelf
from holdfast.jobs.prune_plan import Decision, Plan
from holdfast.jobs.prune_steps import Locked
from holdfast.jobs.unusual import Unusual
from holdfast.ledger.marks import Kept
from holdfast.model.mark import Mark
from holdfast.model.pruning import Refusal
from holdfast.model.retention import Candidate, Reason, Verdict
from holdfast.model.target import Rules
from support.memory_store import MemoryStore
from support.model_values import NOW


def unusual_sample() -> Unusual:
    return Unusual(target="shop", backup_id="x", findings=("rows",))


def kept_sample() -> Kept:
    value = Mark(kind="ack", backup_id="x", target="shop", at=NOW, host="", signer="", content={})
    return Kept(store="disk", name="ack", mark=value, document=b"", signature=b"")


def pruned_sample() -> Pruned:
    reason, refusal = Reason("daily", "2026-11-22"), Refusal(cause="clock", text="jumped", hint="set it")
    one = Decision(backup_id="x", at=NOW, fate="keep", reasons=(reason,), bytes=1)
    nothing: tuple[Any, ...] = ()
    shelf = Shelf(
        store=MemoryStore(), held=nothing, leaving=nothing, stones=nothing, strays=nothing, unknown=nothing
    )
    plan = Plan(
        shelf=shelf,
        rules=Rules(),
        decisions=(one,),
        refused=(refusal,),
        hiding=nothing,
        returning=nothing,
        removing=nothing,
        sweeping=nothing,
        stones=nothing,
    )
    return Pruned(target="shop", store="disk", plan=plan, locked=(Locked(key="k", said="locked"),))


def future_sample() -> Future:
    verdict = Verdict(backup=Candidate(id="x", at=NOW), reasons=(Reason("newest"),))
    return Future(target="shop", store="disk", at=NOW, verdicts=(verdict,), planned=frozenset())
