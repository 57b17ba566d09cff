"""The composition root: from a config to the services that the jobs are given."""

from __future__ import annotations

import dataclasses
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from holdfast.config import flags
from holdfast.config import loading as configuration
from holdfast.config import stores as config_stores
from holdfast.jobs import catalog, find, past
from holdfast.jobs.notifying import Notifier
from holdfast.jobs.services import Keys, Nobody, Reporter, Services, Watcher
from holdfast.ledger.ledger import BackupRow, Ledger
from holdfast.model.errors import ConfigError, KeyFileError, NotFoundError, StoreError, UsageError
from holdfast.model.target import Target, needed
from holdfast.model.testing import RestoreTesting
from holdfast.stores.base import Store, hurry
from holdfast.streams import age_keys, sign
from holdfast.system import logs, signals
from holdfast.system.clock import SystemClock
from holdfast.system.stop import Stop

_SECONDS_TO_NOTIFY = 5.0  # a command waits for; the outbox keeps what takes longer


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """What a command works with. `stop` is requested when the process is told to end."""

    config: configuration.Config
    services: Services
    targets: tuple[Target, ...]
    stop: Stop

    def chosen(self, names: Sequence[str]) -> tuple[Target, ...]:
        """The named targets, or all. Raise NotFoundError for an unknown one."""
        by_name = {target.name: target for target in self.targets}
        for name in names:
            if name not in by_name:
                raise NotFoundError(
                    f"no target {name!r}", hint=f"The config has {', '.join(by_name) or 'no targets'}."
                )
        return tuple(by_name[name] for name in dict.fromkeys(names)) if names else self.targets

    def one_target(self, name: str | None) -> Target:
        """The named target, or the only one. Raise NotFoundError, or UsageError where there are several."""
        found = self.chosen([name] if name is not None else [])
        if len(found) != 1:
            names = ", ".join(each.name for each in found)
            raise UsageError("which target?", hint=f"Add --target NAME; the config has {names or 'none'}.")
        return found[0]

    def to_back_up(self, names: Sequence[str]) -> tuple[Target, ...]:
        """The named targets, or all. Raise ConfigError where there is none, NotFoundError for an unknown one."""
        if not self.targets:
            raise ConfigError(
                "no targets: there is nothing to back up",
                hint="Add a section [targets.NAME], or set HOLDFAST_URL; `holdfast init` writes a first config.",
            )
        return self.chosen(names)

    def writing_services(self) -> Services:
        """The services for a job that signs: the host's signing key is made at the first use."""
        if self.services.keys.signing is not None:
            return self.services
        path = self.config.signing_key_file
        key = sign.generate()
        sign.write_signing_key(path, key)
        self.services.reporter.warn(
            "made a new signing key: add its public key to your identity file, or other hosts will not trust"
            " these backups",
            path=str(path),
            line=f"# holdfast-signer: {key.public.text}",
        )
        keys = dataclasses.replace(
            self.services.keys, signing=key, trusted=(*self.services.keys.trusted, key.public)
        )
        return dataclasses.replace(self.services, keys=keys)

    def find(
        self,
        word: str,
        *,
        target: str | None,
        before: datetime | None,
        fresh: bool = False,
        whole: bool = False,
    ) -> BackupRow:
        """Find a backup by what the operator typed; `fresh` looks through the stores first. `whole` as in `find.find`."""
        if fresh:
            _rebuild(self.services, quick=True)
        return find.find(self.services, word, target=target, before=before, whole=whole)

    def listed(self, target: str | None, *, hidden: bool = False) -> list[BackupRow]:
        """The backups (of a target), newest first; if `hidden`, those too that a tombstone hides.

        Raise NotFoundError for a target that nobody knows.
        """
        rows = self.services.ledger.backups(target)
        if target is not None and not rows:
            self.chosen([target])
        return [row for row in rows if hidden or not row.hidden]

    def wanted(
        self, word: str | None, *, every: bool, target: str | None, store: str | None
    ) -> list[BackupRow]:
        """The backups to verify: one, all (in that store), or the latest of each target. Looks through the stores."""
        if store is not None:
            self.services.store(store)  # a mistyped name is not a store without backups
        _rebuild(self.services, quick=True)
        if word is not None and word != find.LATEST:
            row = self.find(word, target=target, before=None)
            find.places(self.services, row, gone=True)  # one that is hidden is not verified without a word
            return [row]
        rows = [row for row in self.listed(target) if find.is_in(row, store)]
        if not rows:
            raise NotFoundError(
                "no backup is known",
                hint="`holdfast backup` takes one. Where there should be some, `holdfast catalog rebuild` says what is wrong"
                " with what lies in the stores.",
            )
        if every:
            return rows
        newest: dict[str, BackupRow] = {}
        for row in rows:
            newest.setdefault(row.backup.target, row)
        return list(newest.values())

    def testing(self, target: str) -> RestoreTesting:
        """How backups of a target are tested, by the config; by the defaults for one that it does not have."""
        own = next((each for each in self.targets if each.name == target), None)
        return own.restore_test if own is not None else RestoreTesting()


@contextmanager
def open_app(
    path: Path | None,
    overrides: Sequence[str],
    *,
    reporter: Reporter,
    quiet: bool,
    seconds: float | None = None,
) -> Iterator[App]:
    """Load the config and open what the commands need, until the `with` ends.

    With `seconds` stores that are away are not waited for any longer than that, all together.
    """
    with _opened(read_config(path, overrides), reporter=reporter, quiet=quiet, seconds=seconds) as opened:
        yield opened


@contextmanager
def open_bare(
    keys: Mapping[str, object], overrides: Sequence[str], *, reporter: Reporter, quiet: bool
) -> Iterator[App]:
    """Open what a config of nothing but these nested keys (and `--set` flags over them) needs, until the `with` ends.

    No file, no variable and no ledger of this machine is looked at, and none is left behind.
    """
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
        away = {"daemon": {"state_dir": folder}}
        loaded = configuration.bare(flags.nested(overrides, {**keys, **away}))
        _register_secrets(loaded)
        with _opened(loaded, reporter=reporter, quiet=quiet) as opened:
            yield opened


@contextmanager
def _opened(
    loaded: configuration.Config, *, reporter: Reporter, quiet: bool, seconds: float | None = None
) -> Iterator[App]:
    logs.configure(format=loaded.daemon.log_format, level=loaded.daemon.log_level, quiet=quiet)
    stop, clock = Stop(), SystemClock()
    with (
        signals.stopping(stop),
        Ledger.open(loaded.ledger_file, now=clock.now()) as ledger,
        make_notifier(ledger, reporter, seconds=_SECONDS_TO_NOTIFY) as notifier,
    ):
        ledger.needed = needed(targets := loaded.targets())
        ledger.among = {target.name: target.stores for target in targets}
        notifier.use(loaded.subscriptions())
        services = make_services(loaded, ledger, reporter, seconds=seconds, watcher=notifier)
        with stop.calling(lambda: hurry(services.stores.values())):
            try:
                fill(services)
                stop.check()
                yield App(config=loaded, services=services, targets=targets, stop=stop)
            except StoreError as error:
                if stop.error is not None:  # the store was not waited for
                    raise stop.error from error
                raise


def read_config(path: Path | None, overrides: Sequence[str]) -> configuration.Config:
    """Load the config with the flags over it, and keep its secrets out of the log from now on."""
    loaded = configuration.load(path, overrides=flags.nested(overrides))
    _register_secrets(loaded)
    return loaded


def _register_secrets(loaded: configuration.Config) -> None:
    for secret in loaded.secrets():
        logs.register_secret(secret)


def make_notifier(ledger: Ledger, reporter: Reporter, *, seconds: float) -> Notifier:
    """Make what tells people of runs; its `use` gives it the config. At its end it waits at most `seconds`."""
    return Notifier(
        ledger=ledger, clock=SystemClock(), reporter=reporter, host=socket.gethostname(), seconds=seconds
    )


def make_services(
    loaded: configuration.Config,
    ledger: Ledger,
    reporter: Reporter,
    *,
    seconds: float | None = None,
    watcher: Watcher | None = None,
) -> Services:
    """Open the stores and read the keys. `seconds` as in `open_app`; the `watcher` is told of runs."""
    keys, clock = read_keys(loaded), SystemClock()
    return Services(
        ledger=ledger,
        stores=past.seen_past(open_stores(loaded, seconds=seconds), keys, ledger, clock),
        keys=keys,
        clock=clock,
        reporter=reporter,
        state_dir=loaded.daemon.state_dir,
        spool_dir=loaded.daemon.spool_dir,
        host=socket.gethostname(),
        pid=os.getpid(),
        watcher=watcher or Nobody(),
        leases=config_stores.lease_terms(loaded.stores),
    )


def fill(services: Services) -> None:
    """Fill a ledger that is new, or that took the place of a damaged one, from the stores."""
    ledger = services.ledger
    if ledger.opened == "replaced":
        services.reporter.warn(
            "the ledger was damaged: it is set aside and rebuilt from the stores; runs are forgotten",
            set_aside=str(ledger.set_aside),
        )
    if ledger.meta_get("rebuilt_at") is None:
        _rebuild(services)


def _rebuild(services: Services, *, quick: bool = False) -> None:
    catalog.tell(services, catalog.rebuild(services, quick=quick, forget=False))


def open_stores(loaded: configuration.Config, *, seconds: float | None = None) -> dict[str, Store]:
    """Make the stores of the config, in its order. Nothing is contacted yet; `seconds` as in `open_app`."""
    each = None if seconds is None else seconds / max(1, len(loaded.stores))
    return {
        name: config_stores.open_store(name, settings, seconds=each)
        for name, settings in loaded.stores.items()
    }


def read_keys(loaded: configuration.Config) -> Keys:
    """Read the key files that the config names. Raise KeyFileError for one that is missing or malformed."""
    encryption = loaded.encryption
    signing_key_file = loaded.signing_key_file
    identities: tuple[age_keys.Identity, ...] = ()
    signers = [sign.parse_public_key(text) for text in encryption.signers]
    named: tuple[sign.PublicKey, ...] = ()
    files = []
    if encryption.identity_file is not None:
        file = age_keys.read_identity_file(encryption.identity_file)
        identities, named = file.identities, file.signers
        signers += named
        files.append(encryption.identity_file)
    signing = None
    if signing_key_file.exists():
        signing = sign.read_signing_key(signing_key_file)
        signers.append(signing.public)
        files.append(signing_key_file)
    recipients = tuple(age_keys.parse_recipient(text) for text in loaded.recipients)
    if len({recipient.post_quantum for recipient in recipients}) > 1:
        raise KeyFileError(
            "post-quantum and classic recipients do not mix: the classic ones would be the weak spot",
            hint="Use recipients of one kind in encryption.recipients.",
        )
    return Keys(
        recipients=recipients if encryption.enabled else (),
        identities=identities,
        signing=signing,
        trusted=tuple(dict.fromkeys(signers)),
        named=named,
        files=tuple(files),
    )
