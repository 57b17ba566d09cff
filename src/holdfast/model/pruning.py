"""What keeps retention from removing anything: each refusal is a reason for the metrics and a sentence for people. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

from holdfast.model.retention import Policy, Verdict

Cause = Literal["clock", "rebuilt", "anomaly", "suspect", "minimum", "proven", "max_deletions"]
CAUSES: tuple[Cause, ...] = get_args(Cause)

_STEP = timedelta(minutes=1)  # so far two rows of the ledger may be the wrong way round
_SKEW = timedelta(hours=1)  # so far clocks may be apart: more than a period's length would matter
_SILENCE = timedelta(days=100)  # longer than that between two looks, and across a boot: a clock that jumped
_AT_LEAST = 10
_A_SHARE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why nothing is removed. The text is a sentence without a full stop; the hint says what to do."""

    cause: Cause
    text: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What the clocks showed together at one time: the wall clock, and the seconds since a boot of the machine."""

    wall: datetime
    boot: str
    passed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is known besides the verdicts. `clock`, `rebuilt` and `anomalies` are sentences, where something is wrong.

    `made` counts the backups since the last prune; `looked_at` are suspect backups that somebody acknowledged;
    `allow` is how many a person confirmed for this run.
    """

    clock: str | None = None
    rebuilt: str | None = None
    anomalies: Sequence[str] = ()
    looked_at: Collection[str] = ()
    made: int = 0
    max_deletions: int | None = None
    allow: int = 0


def largest_run(backups: int, made: int, configured: int | None = None) -> int:
    """How many backups one run may take away, of so many, when so many were made since the last.

    Each new one pushes out about one. What goes beyond that is history, and of that it may be no more for many new ones.
    """
    return configured if configured is not None else max(made + _AT_LEAST, backups // _A_SHARE)


def refusals(
    verdicts: Sequence[Verdict],
    policy: Policy,
    known: Circumstances,
    *,
    removing: int = 0,
    clearing: bool = False,
) -> tuple[Refusal, ...]:
    """Tell what forbids to remove those that expire, `removing` so many that were hidden earlier, and `clearing` what was never listed.

    `verdicts` are of the backups that are listed and of hidden ones that are to come back.
    """
    expiring = sum(1 for each in verdicts if not each.kept)
    found = _suspects(verdicts, known)
    if expiring or removing or clearing or found:  # a clock that was set back makes all of them suspect
        found = _state(known) + found
    if expiring or removing:
        found += _numbers(verdicts, expiring, policy, known)
    return tuple(found)


def _suspects(verdicts: Sequence[Verdict], known: Circumstances) -> list[Refusal]:
    suspects = [
        each.backup.id
        for each in verdicts
        if any(reason.rule == "suspect" for reason in each.reasons) and each.backup.id not in known.looked_at
    ]
    if not suspects:
        return []
    return [
        Refusal(
            cause="suspect",
            text=f"{_named(suspects)} dated later than can be true: some clock was wrong, or somebody planted them",
            hint="Look at them; `holdfast anomaly ack BACKUP` goes on without them, and they stay.",
        )
    ]


def _state(known: Circumstances) -> list[Refusal]:
    found = []
    if known.clock is not None:
        hint = "Set the clock right. If it is right, say so: `holdfast prune --accept-clock`."
        found.append(Refusal(cause="clock", text=known.clock, hint=hint))
    if known.rebuilt is not None:
        found.append(
            Refusal(cause="rebuilt", text=known.rebuilt, hint="Wait for the next backup, or take one now.")
        )
    if known.anomalies:
        found.append(
            Refusal(
                cause="anomaly",
                text="; ".join(known.anomalies),
                hint="See what became of the data. If it was meant: `holdfast anomaly ack BACKUP`.",
            )
        )
    return found


def _numbers(
    verdicts: Sequence[Verdict], expiring: int, policy: Policy, known: Circumstances
) -> list[Refusal]:
    kept = [each.backup for each in verdicts if each.kept and each.backup.good]
    found = []
    if len(kept) < policy.minimum:
        found.append(
            Refusal(
                cause="minimum",
                text=f"only {len(kept)} good backups would remain, and {policy.minimum} are the least",
                hint="See why the others are not whole: `holdfast status`, `holdfast verify --all`.",
            )
        )
    proven = sum(1 for each in kept if each.proven)
    if policy.require == "proven" and proven < policy.minimum:
        found.append(
            Refusal(
                cause="proven",
                text=f"only {proven} proven backups would remain, and {policy.minimum} are the least",
                hint="Let a restore test prove more of them.",
            )
        )
    limit = max(largest_run(len(verdicts), known.made, known.max_deletions), known.allow)
    if expiring > limit:
        found.append(
            Refusal(
                cause="max_deletions",
                text=f"{expiring} of {len(verdicts)} backups would go at once, and {limit} are the most",
                hint=f"Look with `holdfast prune --dry-run`. If it is meant: `holdfast prune --allow {expiring}`.",
            )
        )
    return found


def _named(ids: Sequence[str], most: int = 3) -> str:
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return f"{', '.join(ids[:most])}{more} {'is' if len(ids) == 1 else 'are'}"


def clock_doubt(
    now: datetime,
    boot: tuple[str, float],
    *,
    newest: datetime | None,
    reference: Reference | None,
    stores: Mapping[str, datetime],
    stepped_back: bool = False,
) -> str | None:
    """Say why the wall clock is not to be believed, or None.

    `newest` is the latest time in the ledger, `reference` what the clocks showed when they were last believed,
    `stores` what the stores' own clocks show now, `stepped_back` what the daemon noticed.
    """
    if stepped_back:
        return "the daemon saw the clock being set back"
    steady = reference is not None and reference.boot == boot[0]
    # Where the machine's own seconds agree, a later time in the ledger is that of a clock which was wrong for a while.
    if not steady and newest is not None and newest - now > _STEP:
        return f"the clock shows {_when(now)}, and the ledger tells of {_when(newest)}: it was set back"
    if reference is not None and (text := _against(reference, now, boot)):
        return text
    for name, there in stores.items():
        if abs(there - now) > _SKEW:
            return f"the clock shows {_when(now)}, and that of store {name} {_when(there)}"
    return None


def _against(reference: Reference, now: datetime, boot: tuple[str, float]) -> str | None:
    by_wall = now - reference.wall
    if reference.boot == boot[0]:
        jump = by_wall - timedelta(seconds=boot[1] - reference.passed)
        if abs(jump) > _SKEW:
            way = "forward" if jump > timedelta() else "back"
            return f"the clock jumped {way} by {_length(abs(jump))} since {_when(reference.wall)}"
    elif by_wall < -_STEP:
        return f"the clock shows {_when(now)}, and showed {_when(reference.wall)} before: it was set back"
    elif by_wall > _SILENCE:
        return f"by the clock {by_wall.days} days have passed since retention last ran, and the machine was started anew"
    return None


def _length(delta: timedelta) -> str:
    return f"{delta.days} days" if delta.days > 1 else f"{delta.total_seconds() / 3600:.1f} hours"


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%SZ}"
