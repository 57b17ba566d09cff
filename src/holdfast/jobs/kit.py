"""Gathers what a recovery would need to know of this configuration: places, keys, backups, and how long it took last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from holdfast.jobs.find import timely
from holdfast.jobs.services import Services
from holdfast.ledger import drills
from holdfast.ledger.ledger import BackupRow
from holdfast.model.drill import Drill
from holdfast.model.run import Job, Run, Status
from holdfast.model.target import Target
from holdfast.postgres import conninfo
from holdfast.streams.age_keys import fingerprint

_MEASURED: tuple[Job, ...] = ("restore", "restore_test")
_DONE: tuple[Status, ...] = ("succeeded",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opener:
    """A key that opens the backups: its public half, and whether this host has the private one."""

    recipient: str
    here: bool

    @property
    def fingerprint(self) -> str:
        """Enough of a digest of the recipient to tell two keys apart on paper."""
        return fingerprint(self.recipient)


@dataclass(frozen=True, slots=True, kw_only=True)
class KitStore:
    """A store: where it is, and the options that `recover` needs besides its URL. No secrets."""

    name: str
    url: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KitTarget:
    """A target. `newest` is its newest good backup, `proven` the newest that is proven.

    `seconds` is how long restoring the newest would take, by what was measured at `measured_at`; `drill` is the last.
    `stop` and `resume` are the hooks, empty where there is none; `checks` the owner's questions, each with its database.
    """

    name: str
    server: str
    stores: tuple[str, ...]
    newest: BackupRow | None
    proven: BackupRow | None
    seconds: float | None
    measured_at: datetime | None
    drill: Drill | None
    stop: tuple[str, ...]
    resume: tuple[str, ...]
    checks: tuple[tuple[str | None, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """What the document says. `secrets` are the identities, only where they were asked for."""

    at: datetime
    host: str
    stores: tuple[KitStore, ...]
    targets: tuple[KitTarget, ...]
    openers: tuple[Opener, ...]
    signers: tuple[str, ...]
    secrets: tuple[str, ...] = field(default=(), repr=False)


def gather(
    services: Services,
    targets: Sequence[Target],
    stores: Mapping[str, tuple[str, tuple[str, ...]]],
    *,
    with_secrets: bool,
) -> Kit:
    """Look at the config and the ledger. `stores` tells each one's URL and options, by its name."""
    keys = services.keys
    own = {identity.recipient.text for identity in keys.identities}
    openers = dict.fromkeys([*(recipient.text for recipient in keys.recipients), *sorted(own)])
    return Kit(
        at=services.clock.now(),
        host=services.host,
        stores=tuple(
            KitStore(name=name, url=url, options=options) for name, (url, options) in stores.items()
        ),
        targets=tuple(_target(services, target) for target in targets),
        openers=tuple(Opener(recipient=text, here=text in own) for text in openers),
        signers=tuple(key.text for key in keys.trusted),
        secrets=tuple(each.secret_text() for each in keys.identities) if with_secrets else (),
    )


def _server(target: Target) -> str:
    if target.url is None and target.supabase is not None:
        return f"Supabase project {target.supabase.ref}"
    return conninfo.parse(target.url, password=target.password).safe


def _target(services: Services, target: Target) -> KitTarget:
    whole = [row for row in services.ledger.backups(target.name) if row.whole]
    rows = timely(whole, services.clock.now())
    newest = rows[0] if rows else None
    last = _last_restore(services, target.name)
    return KitTarget(
        name=target.name,
        server=_server(target),
        stores=target.stores,
        newest=newest,
        proven=next((row for row in rows if row.proof == "proven"), None),
        seconds=_estimate(newest, last),
        measured_at=last.finished_at if last is not None else None,
        drill=drills.last(services.ledger, target.name),
        stop=target.hooks.stop_services,
        resume=target.hooks.resume_services,
        checks=tuple((check.database, check.sql) for check in target.restore_test.checks),
    )


def _last_restore(services: Services, target: str) -> Run | None:
    runs = [services.ledger.last_run(target, job, _DONE) for job in _MEASURED]
    return max((run for run in runs if run is not None), key=lambda run: run.started_at, default=None)


def _estimate(newest: BackupRow | None, last: Run | None) -> float | None:
    """By bytes a second where they are known; else as long as the last one took."""
    if newest is None or last is None or last.finished_at is None:
        return None
    seconds = (last.finished_at - last.started_at).total_seconds()
    return seconds * newest.backup.size / last.bytes_done if last.bytes_done else seconds
