"""Makes a layer of the config ready to be laid over others: each says all that it means by itself.

Secrets' `_file` twins are read, a store's `url` becomes its keys, and relative paths get their base.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.config import stores as config_stores
from holdfast.config import values
from holdfast.config.sources import SECRETS, Keys, Layer, Problem, read_secret, tables

if TYPE_CHECKING:
    from collections.abc import Sequence


def prepare(layer: Layer, home: Path) -> None:
    """Read the twins, expand the URLs, and make the paths absolute. What fails is added to the layer's problems."""
    for section, name, table in list(tables(layer.data)):
        place = (section, name) if name else (section,)
        for key in SECRETS.get(section, ()):
            _read_twin(layer, (*place, key), table, home)
        if section == "stores":
            _expand_store(layer, place, table)
        if section == "encryption":
            _read_recipients(layer, table, home)
        for key, value in table.items():
            if is_path(key) and value == "":
                layer.problems.append(Problem(where=layer.where((*place, key)), text="it is empty"))
            elif is_path(key) and isinstance(value, str | Path):
                if text := values.path_problem(str(value)):
                    layer.problems.append(Problem(where=layer.where((*place, key)), text=text))
                table[key] = _absolute(value, layer.base, home)
            elif key == "restore_test" and isinstance(value, dict):
                _read_twin(layer, (*place, key, "scratch_url"), value, home)
                _place_restore_test(value, layer.base, home)


def _place_restore_test(table: dict[str, Any], base: Path, home: Path) -> None:
    for key in ("scratch_dir", "scratch_url_file"):
        if isinstance(place := table.get(key), str | Path) and str(place):
            table[key] = _absolute(place, base, home)
    if isinstance(found := table.get("server_bin_dirs"), list):
        table["server_bin_dirs"] = [
            str(_absolute(each, base, home)) if isinstance(each, str) and each else each for each in found
        ]


def is_path(key: str) -> bool:
    """Whether a key of this name holds a path."""
    return key in {"state_dir", "spool_dir", "scratch_dir", "path", "ca_bundle"} or key.endswith("_file")


def _absolute(value: str | Path, base: Path, home: Path) -> Path:
    text = str(value)
    if text == "~" or text.startswith("~/"):
        return home / text[2:]
    return base / text


def _read_twin(layer: Layer, keys: Keys, table: dict[str, Any], home: Path) -> None:
    key, twin = keys[-1], f"{keys[-1]}_file"
    path = table.get(twin)
    if not isinstance(path, str | Path) or not str(path):
        return
    where = layer.where((*keys[:-1], twin))
    if key in table:
        layer.problems.append(Problem(where=where, text=f"{key} is set too; remove one of the two"))
        return
    text = read_secret(_absolute(path, layer.base, home), where, layer.problems)
    if text is not None:
        table[key] = text
        layer.origins.setdefault(keys, where)


def _read_recipients(layer: Layer, table: dict[str, Any], home: Path) -> None:
    """Add the lines of recipients_file to the recipients; `#` begins a comment."""
    path = table.get("recipients_file")
    if not isinstance(path, str | Path) or not str(path):
        return
    where = layer.where(("encryption", "recipients_file"))
    text = read_secret(_absolute(path, layer.base, home), where, layer.problems)
    said = values.words(table.get("recipients", []))
    if text is not None and isinstance(said, list):
        lines = (line.partition("#")[0].strip() for line in text.splitlines())
        table["recipients"] = [*said, *filter(None, lines)]
        layer.origins.setdefault(("encryption", "recipients"), where)


def _expand_store(layer: Layer, place: Keys, table: dict[str, Any]) -> None:
    url = table.get("url")
    if not isinstance(url, str):
        return
    where = layer.where((*place, "url"))
    try:
        keys = config_stores.from_url(url)
    except ValueError as error:
        layer.problems.append(Problem(where=where, text=str(error)))
        del layer.data["stores"][place[1]]  # or its missing type would be told too
        return
    for key, value in keys.items():
        if key in table and table[key] != value:
            layer.problems.append(
                Problem(where=where, text=f"url and {key} contradict each other; remove one")
            )
        table[key] = value
        layer.origins.setdefault((*place, key), where)


def drop_hidden_stores(layers: Sequence[Layer]) -> None:
    """Where a higher layer says another type, drop the store of the lower: its keys mean nothing there."""
    types: dict[str, object] = {}
    for layer in layers:
        stores = layer.data.get("stores")
        for section, name, table in list(tables(layer.data)):
            if section != "stores" or "type" not in table or not isinstance(stores, dict):
                continue
            if types.setdefault(name, table["type"]) != table["type"]:
                del stores[name]
