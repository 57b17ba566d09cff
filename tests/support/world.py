"""Everything a job or a command needs, in a directory of the test's own: stores, keys, ledger, config file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from holdfast.jobs.services import Keys, Services
from holdfast.ledger.ledger import Ledger
from holdfast.model.target import Target
from holdfast.stores.base import Store
from holdfast.stores.local import LocalStore
from holdfast.streams import age_keys, sign
from holdfast.system.clock import SystemClock
from holdfast.system.stop import Stop

STORES = ("a", "b", "c")


@dataclass(slots=True)
class Recorder:
    """A reporter that keeps what it was told."""

    infos: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    warnings: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def info(self, event: str, **facts: object) -> None:
        self.infos.append((event, facts))

    def warn(self, event: str, **facts: object) -> None:
        self.warnings.append((event, facts))

    @contextmanager
    def progress(self, _label: str, _total: int) -> Iterator[Callable[[int], None]]:
        yield lambda _: None

    def doing(self, what: str) -> None:
        self.done.append(what)


@dataclass(slots=True, kw_only=True)
class World:
    """The services of a host that is writer and prover in one, and its target. All may be replaced by a test."""

    services: Services
    target: Target
    identity: age_keys.Identity
    recorder: Recorder
    stop: Stop = field(default_factory=Stop)

    @property
    def keys(self) -> Keys:
        return self.services.keys

    def staged(self, stage: Callable[[str], None]) -> Services:
        """Give the services with somebody who is told each stage, and may raise there."""
        return replace(self.services, stage=stage)


@contextmanager
def world(
    tmp_path: Path,
    url: str,
    *,
    stores: int | Mapping[str, Store] = 1,
    encrypted: bool = True,
    **target_keys: Any,  # noqa: ANN401 - what a Target takes
) -> Iterator[World]:
    """Make a world whose target `shop` is the server at `url`; its local stores are `a`, `b`, … in `tmp_path`."""
    opened = (
        {name: LocalStore(name, tmp_path / f"store-{name}") for name in STORES[:stores]}
        if isinstance(stores, int)
        else dict(stores)
    )
    identity, key, clock, recorder = age_keys.generate(), sign.generate(), SystemClock(), Recorder()
    keys = Keys(
        recipients=(identity.recipient,) if encrypted else (),
        identities=(identity,),
        signing=key,
        trusted=(key.public,),
    )
    state = tmp_path / "state"
    with Ledger.open(state / "ledger.sqlite", now=clock.now()) as ledger:
        services = Services(
            ledger=ledger,
            stores=opened,
            keys=keys,
            clock=clock,
            reporter=recorder,
            state_dir=state,
            host="testhost",
            pid=os.getpid(),
        )
        target = Target(**{"name": "shop", "stores": tuple(opened), "url": url, **target_keys})
        yield World(services=services, target=target, identity=identity, recorder=recorder)


def environment(**more: str) -> dict[str, str]:
    """Give a plain environment for the command: nothing of PostgreSQL's, AWS's or our own but `more`."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "AWS_EC2_METADATA_DISABLED": "true", **more}


def argv(*args: str | Path) -> list[str]:
    """Give the command line of a command."""
    return [sys.executable, "-m", "holdfast", *map(str, args)]


def cli(
    *args: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 120,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does; `env` is added to a plain environment."""
    return subprocess.run(
        argv(*args),
        env=environment(**(env or {})),
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def write_keys(folder: Path) -> str:
    """Make `identity.txt` and `signing.key` in a folder; give the recipient."""
    identity, key = age_keys.generate(), sign.generate()
    sign.write_signing_key(folder / "signing.key", key)
    age_keys.write_identity_file(folder / "identity.txt", identity, key.public, SystemClock().now())
    return identity.recipient.text


def write_config(
    folder: Path,
    url: str,
    *,
    encrypted: bool = True,
    stores: Mapping[str, str] | None = None,
    target: str = "",
    more: str = "",
) -> Path:
    """Write `holdfast.toml`, and the keys it names, into a folder.

    `stores` are the TOML keys of each by name (default: one local store `disk`); `target` adds keys to the one
    target, `shop`; `more` adds sections. The daemon makes restore tests, tries
    identities and looks at copies again only where `target` speaks of that.
    """
    if "restore_test" not in target:
        target = f'restore_test.schedule = ""\n{target}'
    if "scrub" not in target:
        target = f'scrub_every = "off"\n{target}'
    if "canary" not in target:
        target = f'canary_schedule = ""\n{target}'
    if encrypted:
        encryption = f'recipients = ["{write_keys(folder)}"]\nidentity_file = "identity.txt"\nsigning_key_file = "signing.key"\n'
    else:
        encryption = "enabled = false\n"
    sections = [f"[stores.{name}]\n{keys}\n" for name, keys in (stores or {"disk": 'url = "store"'}).items()]
    path = folder / "holdfast.toml"
    path.write_text(
        f'[daemon]\nstate_dir = "state"\n[encryption]\n{encryption}{"".join(sections)}'
        f'[targets.shop]\nurl = """{url}"""\n{target}\n{more}'
    )
    return path
