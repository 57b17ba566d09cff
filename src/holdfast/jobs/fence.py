"""Lets one host at a time change what lies in a store: gives a store that asks, before each change, whether the lease still holds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from holdfast.jobs import conditions, lease
from holdfast.jobs.lease import Held
from holdfast.jobs.services import Services
from holdfast.model import lease as model
from holdfast.model.errors import BusyError, ConfigError, Error, StoreError
from holdfast.model.layout import LeaseKind
from holdfast.stores.base import Store
from holdfast.stores.fenced import FencedStore
from holdfast.system.stop import Stop

_POLL_SECONDS = 10.0
_JOIN_SECONDS = 1.0  # a store that does not answer must not keep the work from ending


@contextmanager
def fenced(services: Services, store: Store, target: str, kind: LeaseKind) -> Iterator[Store]:
    """Hold the lease of a target in a store while the `with` lasts; the caller holds the lock of such work on this host.

    The store that is given refuses every change once the lease is lost. Raise BusyError while another host has it, or
    where another one is named to prune there.

    A store that does not keep two writers apart can hold no lease. There only the pruner that the config names may
    prune, and ConfigError is raised where it names none; copies of one backup are the same whoever makes them, and the
    lock in PostgreSQL keeps backups apart.
    """
    if kind == "retention":
        _refuse_elsewhere(services, store)
    if not conditions.honoured(services, store):
        if kind == "retention" and services.terms(store.name).pruner is None:
            raise _unnamed(services, store)
        yield store
        return
    held = lease.take(services, store, target, kind, lasts=services.terms(store.name).lasts)
    services.stage(f"lease:{kind}")
    try:
        with _renewed(services, store, held):
            yield FencedStore(store, held.check)
    except StoreError as error:
        if not error.retryable:
            held.release()
        raise  # a store that is away would have us wait for as long again; the lease runs out by itself
    except BaseException:  # whatever it was, others need not wait for us
        held.release()
        raise
    held.release()


@contextmanager
def fenced_in_time(
    services: Services, store: Store, target: str, kind: LeaseKind, stop: Stop
) -> Iterator[Store]:
    """As `fenced`, but wait for another host to end; it does, or its lease does."""
    said = False
    with ExitStack() as stack:
        while True:
            try:
                given = stack.enter_context(fenced(services, store, target, kind))
                break
            except BusyError as busy:
                if not said:
                    services.reporter.info("waiting for another host", why=busy.message)
                    said = True
                stop.wait(_POLL_SECONDS)
                stop.check()
        yield given


def _refuse_elsewhere(services: Services, store: Store) -> None:
    named = services.terms(store.name).pruner
    if named is not None and named != services.host:
        raise BusyError(
            f"{store.location}: by the config host {named} prunes this store, and this is host {services.host}",
            hint=f"Prune there, or correct stores.{store.name}.pruner.",
        )


def _unnamed(services: Services, store: Store) -> ConfigError:
    return ConfigError(
        f"{store.location}: the service does not keep two hosts from writing the same key at once (conditional"
        " put), so no lease can be held there, and the config names no pruner",
        hint=f'Set stores.{store.name}.pruner = "{services.host}" if this host, and no other, is to prune there.',
    )


@contextmanager
def _renewed(services: Services, store: Store, held: Held) -> Iterator[None]:
    """Renew the lease from a thread of its own: a large object takes hours."""
    done = threading.Event()
    thread = threading.Thread(target=_renew_on, args=(services, store, held, done), name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(_JOIN_SECONDS)


def _renew_on(services: Services, store: Store, held: Held, done: threading.Event) -> None:
    while not done.wait(model.RENEWED.total_seconds() / 5):
        try:
            held.renew()
        except Error as error:  # whoever changes something next finds out for himself
            services.reporter.warn("a lease could not be renewed", store=store.name, error=error.message)
