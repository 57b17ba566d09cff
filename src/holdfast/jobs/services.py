"""What every job is given: the ledger, the stores, the keys, the clock, and somebody to tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from holdfast.ledger.ledger import Ledger
from holdfast.model.errors import KeyFileError, NotFoundError
from holdfast.model.lease import Terms
from holdfast.model.run import Run
from holdfast.stores.base import Store
from holdfast.streams.age_keys import Identity, Recipient
from holdfast.streams.sign import PublicKey, SigningKey
from holdfast.system.clock import Clock


class Reporter(Protocol):
    """Whom the jobs tell what happens. Facts are named values without secrets."""

    def info(self, event: str, **facts: object) -> None:
        """Tell of something expected."""
        ...

    def warn(self, event: str, **facts: object) -> None:
        """Tell of something that the operator should look at, though the job goes on."""
        ...

    def progress(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Show work of about `total` bytes (0: unknown); the callable is told how many more are done."""
        ...

    def doing(self, what: str) -> None:
        """Say what is at work now, such as a table; shown beside the progress."""
        ...


class Watcher(Protocol):
    """Who is told that runs begin and end. Neither method raises: a run is no different for being watched."""

    def begun(self, run: Run) -> None:
        """Take note that a run has begun."""
        ...

    def ended(self, run: Run) -> None:
        """Take note that a run has ended, however that was; the ledger knows."""
        ...


class Nobody:
    """A watcher that takes no notice."""

    def begun(self, run: Run) -> None:
        """Take no notice."""

    def ended(self, run: Run) -> None:
        """Take no notice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What this host can do: encrypt to `recipients`, open with `identities`, sign with `signing`.

    A writer has no identities, a prover has. `trusted` are the signers whose manifests are believed; `named` those of
    them that the identity file names, which is all that an empty machine will know. `files` are what was read.
    """

    recipients: tuple[Recipient, ...] = ()
    identities: tuple[Identity, ...] = ()
    signing: SigningKey | None = None
    trusted: tuple[PublicKey, ...] = ()
    named: tuple[PublicKey, ...] = ()
    files: tuple[Path, ...] = ()

    def signer(self) -> SigningKey:
        """The signing key. Raise KeyFileError where there is none."""
        if self.signing is None:
            raise KeyFileError(
                "no signing key", hint="Make one with `holdfast keygen`, or set encryption.signing_key_file."
            )
        return self.signing


def _no_stage(_: str) -> None:
    """Take no notice of a stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The surroundings of a job. What a parallel restore stages lies in `spool_dir`, the only plaintext on a disk.

    `leases` are the terms by which leases are taken in a store, by its name, where they are not the usual ones.
    `stage` is told the name of each step as it begins (tests fail there on purpose).
    """

    ledger: Ledger
    stores: Mapping[str, Store]
    keys: Keys
    clock: Clock
    reporter: Reporter
    state_dir: Path
    host: str
    pid: int
    spool_dir: Path = Path("/var/tmp")  # noqa: S108 - the files there have no names
    stage: Callable[[str], None] = field(default=_no_stage)
    watcher: Watcher = field(default_factory=Nobody)
    leases: Mapping[str, Terms] = field(default_factory=dict)

    def store(self, name: str) -> Store:
        """Find a store by its name in the config. Raise NotFoundError for another."""
        try:
            return self.stores[name]
        except KeyError:
            raise NotFoundError(
                f"no store named {name!r}", hint=f"The config has {', '.join(self.stores) or 'none'}."
            ) from None

    def terms(self, store: str) -> Terms:
        """By which terms leases are taken in a store."""
        return self.leases.get(store, Terms())
