"""Takes, renews, shows and gives back a lease in a store: each step is an absent put of the next generation, so one host's alone.

Generations only count up, and the newest stays, so that no key is ever used twice. Who holds a lease knows it from his
own put; nobody's clock is believed for that. Whether another's lease is over, the store's own clock tells, or that we
saw it unchanged for as long as it lasts.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from holdfast.jobs import prune_clock
from holdfast.jobs.services import Services
from holdfast.ledger import leases as ledger
from holdfast.ledger.leases import Want
from holdfast.model import layout
from holdfast.model import lease as model
from holdfast.model.errors import BusyError, Error, NotFoundError, StoreError
from holdfast.model.layout import LeaseKind
from holdfast.model.lease import Lease, Unreadable
from holdfast.stores.base import ExistsError, Store

_TRIES = 5
_KEEP = 4  # older generations that stay: a listing may be a little behind
_LIMIT = 65536  # bytes
_LOCKS: dict[LeaseKind, str] = {
    "retention": "{}.retention.lock",
    "copies": "{}.copy.lock",
    "backup": "{}.lock",
    "objects": "{}.objects.lock",
}
WORK: dict[LeaseKind, str] = {
    "retention": "the retention",
    "copies": "the copies",
    "backup": "the commit of a backup",
    "objects": "the files",
}


class LostError(BusyError):
    """A lease that we held was taken by somebody else, as we did not show in time that we were there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The newest generation of a lease that lies in a store, and when that was dated by the store's clock."""

    generation: int
    said: Lease | Unreadable
    modified_at: datetime

    @property
    def holder(self) -> str:
        """Who has it, for people."""
        if isinstance(self.said, Lease):
            return f"process {self.said.pid} on {self.said.host}"
        return f"somebody whose lease cannot be read ({self.said.why})"


def take(services: Services, store: Store, target: str, kind: LeaseKind, *, lasts: timedelta) -> Held:
    """Take a lease; the caller holds the lock of such work on this host. Raise BusyError, naming who has it, until it is over."""
    want = Want(store=store.name, target=target, kind=kind)
    owner = _owner(services, target, kind)
    for _ in range(_TRIES):
        newest, known = _newest(store, target, kind)
        if newest is not None:
            _refuse_busy(services, store, want, newest, owner)
        lease = Lease(
            kind=kind,
            target=target,
            generation=1 if newest is None else newest.generation + 1,
            owner=owner,
            token="",
            host=services.host,
            pid=services.pid,
            at=services.clock.now(),
            seconds=int(lasts.total_seconds()),
        )
        held = Held(services, store, want, lease, known)
        if held.begin():
            return held
    raise BusyError(
        f"{store.location}: other hosts keep taking the lease for {WORK[kind]} of target {target}",
        hint="Which hosts work on this target in this store? One is enough.",
    )


def holder(services: Services, store: Store, target: str, kind: LeaseKind) -> str | None:
    """Who else has a lease at present, for people; None where nobody has."""
    newest, _ = _newest(store, target, kind)
    want = Want(store=store.name, target=target, kind=kind)
    if newest is None or _left(services, store, want, newest, _owner(services, target, kind)) is None:
        return None
    return newest.holder


class Held:
    """A lease that we hold. Any thread may call its methods."""

    def __init__(
        self, services: Services, store: Store, want: Want, lease: Lease, known: tuple[int, ...]
    ) -> None:
        self._services = services
        self._store = store
        self._want = want
        self._lease = lease
        self._known = [*known]
        self._since = 0.0
        self._lost: LostError | None = None
        self._lock = threading.Lock()

    def begin(self) -> bool:
        """Put the first generation of ours; tell whether nobody was quicker."""
        if not self._put(self._lease):
            return False
        services = self._services
        ledger.taken(
            services.ledger, self._want, self._lease.generation, services.clock.boot(), services.clock.now()
        )
        return True

    def check(self) -> None:
        """Make sure that the lease is ours at this moment. Raise LostError where it is not, StoreError where nobody can tell.

        A process that was held up has an old lease: it is ours still if the next generation could be put. One that
        slept without its clocks going on finds the next generation there.
        """
        with self._lock:
            if self._lost is not None:
                raise self._lost
            if self._age() >= model.RENEWED.total_seconds():
                self._renew()
            elif self._store.stat(self._key(self._lease.generation + 1)) is not None:
                raise self._lose()

    def renew(self) -> None:
        """Put the next generation, if the last is not quite new any more. Raise as `check` does."""
        with self._lock:
            if self._lost is None and self._age() >= model.RENEWED.total_seconds() / 2:
                self._renew()

    def release(self) -> None:
        """Give the lease back, if it is still ours; where the store does not answer, it runs out by itself."""
        with self._lock:
            if self._lost is not None:
                return
            try:
                self._renew(released=True)
            except LostError:
                pass
            except Error as error:
                self._services.reporter.info(
                    "a lease could not be given back, and runs out by itself",
                    store=self._store.name,
                    target=self._want.target,
                    lease=self._want.kind,
                    error=error.message,
                )

    def _renew(self, *, released: bool = False) -> None:
        following = replace(
            self._lease,
            generation=self._lease.generation + 1,
            at=self._services.clock.now(),
            released=released,
        )
        if not self._put(following):
            raise self._lose()
        self._tidy()

    def _put(self, lease: Lease) -> bool:
        """Put a generation. Its token tells our own put, whose answer was lost, from another's."""
        lease = replace(lease, token=secrets.token_hex(8))
        key, data = self._key(lease.generation), model.dump(lease)
        since = self._services.clock.boot()[1]  # before the store dates it
        try:
            self._store.put(key, [data], absent=True)
        except ExistsError:
            if _content(self._store, key) != data:
                return False
        self._lease, self._since = lease, since
        self._known.append(lease.generation)
        return True

    def _lose(self) -> LostError:
        newest, _ = _newest(self._store, self._want.target, self._want.kind)
        taken_by = "somebody" if newest is None else newest.holder
        self._lost = LostError(
            f"{self._store.location}: the lease for {WORK[self._want.kind]} of target {self._want.target} was taken"
            f" by {taken_by}: nothing more is changed",
            hint="This host was held up for too long. Which hosts work on this target in this store? One is enough.",
        )
        return self._lost

    def _tidy(self) -> None:
        """Remove generations that nobody needs; a mere writer leaves that to those who may."""
        last = self._lease.generation - _KEEP
        with suppress(StoreError):
            for generation in [each for each in self._known if each <= last]:
                self._store.delete(self._key(generation))
                self._known.remove(generation)

    def _age(self) -> float:
        return self._services.clock.boot()[1] - self._since

    def _key(self, generation: int) -> str:
        return layout.lease_key(self._want.target, self._want.kind, generation)


def _newest(store: Store, target: str, kind: LeaseKind) -> tuple[Found | None, tuple[int, ...]]:
    """Give the newest generation, and the numbers of all that are listed. What a listing does not show yet is looked for."""
    for _ in range(_TRIES):
        listed = (layout.lease_generation(each.key) for each in store.list(layout.lease_prefix(target, kind)))
        known = tuple(each for each in listed if each is not None)
        newest = max(known, default=0)
        while store.stat(layout.lease_key(target, kind, newest + 1)) is not None:
            newest += 1
        if not newest:
            return None, ()
        key = layout.lease_key(target, kind, newest)
        stored, data = store.stat(key), _content(store, key)
        if stored is not None and data is not None:
            return Found(generation=newest, said=model.parse(data), modified_at=stored.modified_at), known
    raise StoreError(f"{store.location}: lists {key}, but does not have it")


def _content(store: Store, key: str) -> bytes | None:
    """The bytes that lie there, or as many as no lease has; None for none."""
    try:
        return b"".join(store.get(key, length=_LIMIT))
    except NotFoundError:
        return None


def _refuse_busy(services: Services, store: Store, want: Want, found: Found, owner: str) -> None:
    left = _left(services, store, want, found, owner)
    if left is None:
        return
    until = services.clock.now() + left
    raise BusyError(
        f"{store.location}: {found.holder} has the lease for {WORK[want.kind]} of target {want.target}, until"
        f" {until:%Y-%m-%d %H:%M:%SZ} at the latest",
        hint="Wait for it to end. The lease of a process that died runs out by itself.",
    )


def _left(services: Services, store: Store, want: Want, found: Found, owner: str) -> timedelta | None:
    """How long another's lease holds at most from now on; None where it is over, was given back, or is our own.

    Ours is one that was taken under the very lock that we hold: that process is dead.
    """
    said = found.said
    if isinstance(said, Lease) and (said.released or said.owner == owner):
        return None
    ends = said.lasts + model.MARGIN
    left = ends - (prune_clock.time_of(store) - found.modified_at)
    if left <= timedelta():
        return None
    clock = services.clock
    seen = ledger.seen_for(services.ledger, want, found.generation, clock.boot(), clock.now())
    # A store whose clock was set back would have us wait for years.
    left = min(left, ends - timedelta(seconds=seen))
    return left if left > timedelta() else None


def _owner(services: Services, target: str, kind: LeaseKind) -> str:
    """What tells our lock file from all others: the boot of the machine, and the file's number on its filesystem."""
    try:
        found = (services.state_dir / "locks" / _LOCKS[kind].format(target)).stat()
    except OSError:  # nobody holds such a lock
        return secrets.token_hex(16)
    told = f"{services.host} {services.clock.boot()[0]} {found.st_dev} {found.st_ino}"
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:32]
