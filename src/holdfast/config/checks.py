"""Finds what is well formed in a config but cannot be meant: contradictions, gaps, names that lead nowhere."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

from holdfast.config import notify, options, sources, supabase
from holdfast.config.sources import PREFIX, SHORTHAND, Layer, Problem, where_is
from holdfast.config.values import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from holdfast.config.model import Config, TargetSettings
    from holdfast.config.stores import StoreSettings

_NO_STORE = "Add a section [stores.NAME], or set HOLDFAST_STORE; `holdfast init` writes a first config."
_NO_RECIPIENT = (
    "Make a key pair with `holdfast keygen -o identity.txt` and put the recipient that it prints (age1…) into "
    "encryption.recipients or HOLDFAST_RECIPIENT; backups in the clear have to be asked for: encryption.enabled = false."
)


def contradictions(config: Config, layers: Sequence[Layer], file: Path | None) -> Iterator[Problem]:
    """Give the problems, `layers` (the strongest first) being where the config came from, `file` the one read.

    Targets and recipients may be missing where nothing is backed up: who only restores needs a store and an identity.
    """
    if not config.stores:
        yield _no_store(config, layers, file)
        return
    if config.target_settings and config.encryption.enabled and not config.encryption.recipients:
        yield Problem(
            where=where_is(layers, ("encryption", "recipients")),
            text="no recipients: nobody could open a backup",
            hint=_NO_RECIPIENT,
        )
    yield from _strangers("targets", config.target_settings, layers)
    yield from _strangers("stores", config.stores, layers)
    yield from _mistyped(config, layers)
    yield from _halves(config, layers)
    for name, store in config.stores.items():
        if text := store.problem():
            yield Problem(where=where_is(layers, ("stores", name)), text=text)
    for name, key, text in notify.problems(config.notify, config.target_settings):
        yield Problem(where=where_is(layers, ("notify", name, *([key] if key else []))), text=text)
    for name, target in config.effective().items():
        yield from _target_problems(name, target, config, layers)


def _halves(config: Config, layers: Sequence[Layer]) -> Iterator[Problem]:
    """Find the half of a pair, which alone would leave the endpoint more open than was meant."""
    for first, second in (("tls_certificate_file", "tls_key_file"), ("auth_user", "auth_password")):
        given = [key for key in (first, second) if getattr(config.daemon, key) is not None]
        if len(given) == 1:
            missing = second if given == [first] else first
            yield Problem(
                where=where_is(layers, ("daemon", *given)), text=f"daemon.{missing} is missing beside it"
            )


def _no_store(config: Config, layers: Sequence[Layer], file: Path | None) -> Problem:
    nothing = not any(layer.data for layer in layers if layer.loose)
    if file is None and nothing and not config.target_settings:
        looked = " or ".join(str(name) for name in sources.FILE_NAMES)
        return Problem(
            where="",
            text=f"no config: neither --config nor HOLDFAST_CONFIG names one, and there is no {looked}",
            hint="Write one with `holdfast init`, or set HOLDFAST_URL, HOLDFAST_STORE and HOLDFAST_RECIPIENT.",
        )
    where = str(file) if file else "environment"
    return Problem(where=where, text="no stores: there is no place for backups", hint=_NO_STORE)


def _strangers(section: str, names: Collection[str], layers: Sequence[Layer]) -> Iterator[Problem]:
    """Find HOLDFAST_URL and its like beside a file that speaks of others: whom they mean cannot be told."""
    others = [name for name in names if name != "main"]
    if not others or "main" in _written(section, layers):
        return
    for word, keys in SHORTHAND.items():
        variable = f"{PREFIX}{word.upper()}"
        for layer in layers:
            origin = layer.origins.get(keys, "")
            if keys[0] == section and origin.rpartition("/")[2].upper() == variable:
                name = others[0].upper().replace("-", "_")
                yield Problem(
                    where=origin,
                    text=f"it sets {section}.main, but there is {section}.{others[0]} too; "
                    f"write {PREFIX}{section.upper()}__{name}__{keys[2].upper()}",
                )


def _mistyped(config: Config, layers: Sequence[Layer]) -> Iterator[Problem]:
    """Find targets that only flags, variables or secret files speak of, and without saying where they are."""
    written = _written("targets", layers)
    for name, target in config.target_settings.items():
        if name not in written and target.url is None:
            close = nearest(name, written)
            meant = f"did you mean {close}?" if close else "one that only variables speak of needs a URL"
            first = next(layer for layer in layers if layer.depth(("targets", name)) > 1)
            named = [keys for keys in first.origins if keys[:2] == ("targets", name)]
            where = first.where(named[0] if named else ("targets", name))
            yield Problem(where=where, text=f"no target {name} anywhere else; {meant}")


def _written(section: str, layers: Sequence[Layer]) -> set[str]:
    return {name for layer in layers if not layer.loose for name in layer.data.get(section, ())}


def _target_problems(
    name: str, target: TargetSettings, config: Config, layers: Sequence[Layer]
) -> Iterator[Problem]:
    def place(key: str) -> str:
        said = ("targets", name) if key in config.target_settings[name].model_fields_set else ("defaults",)
        return where_is(layers, (*said, key))

    for key, wrong in _store_problems(target, config):
        yield Problem(where=place(key), text=wrong)
    yield from _same_places(target, config, layers)
    if target.databases == ():
        yield Problem(where=place("databases"), text='it is empty; name databases, or write "all"')
    timing = _timing_problems(target, config.daemon.timezone)
    for key, wrong in (*supabase.problems(target), *timing):
        yield Problem(where=place(key), text=wrong)
    yield from _retention_problems(name, target, config, layers)
    yield from _restore_test_problems(name, target, config, layers)
    for option in target.pg_dump_options:
        if text := options.problem(option, target.compression):
            yield Problem(where=place("pg_dump_options"), text=text)


def _store_problems(target: TargetSettings, config: Config) -> Iterator[tuple[str, str]]:
    """Find what is wrong with where a target's backups go: the key, and why."""
    writable = tuple(name for name, store in config.stores.items() if not store.read_only)
    stores = writable if target.stores is None else target.stores
    if not stores:
        yield "stores", "no store is named: a backup needs a place"
    for store in stores:
        if store not in config.stores:
            close = nearest(store, config.stores)
            meant = f"did you mean {close}?" if close else f"there are {', '.join(config.stores)}"
            yield "stores", f"no store {store!r}; {meant}"
        elif store not in writable:
            yield "stores", f"the store {store} is read_only: no backup can go there"
    count = len(set(stores))
    if stores and target.require_copies > count:
        places = "one store" if count == 1 else f"{count} stores"
        yield (
            "require_copies",
            f"{target.require_copies} copies are more than {places} can hold: no backup would ever be good",
        )


def _same_places(target: TargetSettings, config: Config, layers: Sequence[Layer]) -> Iterator[Problem]:
    """Find two names of one place among the stores of a target: what lies there would count as two copies."""
    named = config.stores if target.stores is None else target.stores
    places = {name: _place(config.stores[name]) for name in named if name in config.stores}
    writable = [name for name in places if not config.stores[name].read_only]
    for one, other in itertools.combinations(writable, 2):
        if places[one] == places[other]:
            text = f"it is the same place as the store {one}: a copy there would be no second copy"
            yield Problem(where=where_is(layers, ("stores", other)), text=text)


def _place(store: StoreSettings) -> tuple[str, str, str]:
    """Where a store is, as far as its keys tell; links, mounts and other names of a service only `check` sees through."""
    endpoint: str | None = getattr(store, "endpoint_url", None)
    return store.type, os.path.normpath(store.short()), (endpoint or "").lower().rstrip("/")


def _retention_problems(
    name: str, target: TargetSettings, config: Config, layers: Sequence[Layer]
) -> Iterator[Problem]:
    """Find rules that keep nothing: a section that was emptied would else take the history with it."""
    own = "retention" in config.target_settings[name].model_fields_set
    if text := target.retention.problem():
        place = ("targets", name) if own else ("defaults",)
        yield Problem(where=where_is(layers, (*place, "retention")), text=text)
    for store, settings in config.stores.items():
        if settings.retention is not None and (text := target.retention.under(settings.retention).problem()):
            yield Problem(where=where_is(layers, ("stores", store, "retention")), text=text)


def _restore_test_problems(
    name: str, target: TargetSettings, config: Config, layers: Sequence[Layer]
) -> Iterator[Problem]:
    """Find a scratch server that nobody allowed restored code to run on."""
    if text := target.restore_test.problem():
        own = config.target_settings[name].restore_test.scratch_url is not None
        place = ("targets", name) if own else ("defaults",)
        yield Problem(where=where_is(layers, (*place, "restore_test", "scratch_url")), text=text)


def _timing_problems(target: TargetSettings, timezone: str) -> Iterator[tuple[str, str]]:
    """Find what is wrong with a target's schedules: the key, and why."""
    if target.schedule and target.every:
        yield "every", "schedule is set too; remove one of the two"
    rules = (
        target.every or target.schedule,
        target.verify_schedule,
        target.prune_schedule,
        target.canary_schedule,
        target.restore_test.schedule,
    )
    for text in rules:
        try:
            target.timetable(text, timezone)
        except ValueError as error:
            yield "jitter", str(error)
