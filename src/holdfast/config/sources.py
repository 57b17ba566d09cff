"""Where the words of the config come from: flags, environment, secret files, the TOML file, this machine's defaults.

Each source becomes a Layer: the nested keys it sets, and what to call a key of it in a message.
"""

from __future__ import annotations

import os
import re
import tomllib
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.config import values
from holdfast.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PREFIX = "HOLDFAST_"
CONFIG_VARIABLE = "HOLDFAST_CONFIG"
RUN_SECRETS = Path("/run/secrets")
SYSTEM_STATE = Path("/var/lib/holdfast")
FILE_NAMES = (Path("holdfast.toml"), Path("/etc/holdfast/holdfast.toml"))
SECRETS = {
    "daemon": ("auth_password",),
    "targets": (
        "url",
        "password",
        "access_token",
        "storage_access_key_id",
        "storage_secret_access_key",
    ),
    "stores": (
        "access_key_id",
        "secret_access_key",
        "session_token",
        "credentials",
        "account_key",
        "sas_token",
    ),
    "notify": ("url", "password", "secret", "token"),
}
SHORTHAND = {  # what a container needs: one target and one store, both named main
    "url": ("targets", "main", "url"),
    "url_file": ("targets", "main", "url_file"),
    "password": ("targets", "main", "password"),
    "password_file": ("targets", "main", "password_file"),
    "schedule": ("targets", "main", "schedule"),
    "store": ("stores", "main", "url"),
    "recipient": ("encryption", "recipients"),
}
_SECRET_SHORTHAND = frozenset({"url", "password", "store", "recipient"})
_DEPTH = {"daemon": 2, "encryption": 2, "defaults": 2, "targets": 3, "stores": 3, "notify": 3}
_SECRET_BYTES = 64 * 1024
_PLAIN = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR")
# Kubernetes tells every container of its services this way, and one may be called holdfast.
_SERVICE = re.compile(
    r"HOLDFAST_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.*)?|PORT(?:_[0-9]+_[A-Z]+(?:_.*)?)?)"
)

Keys = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong. `where` names the file and key, or the variable."""

    where: str
    text: str
    hint: str | None = None

    def __str__(self) -> str:
        """One line for the operator."""
        return f"{self.where}: {self.text}" if self.where else self.text


@dataclass(slots=True, kw_only=True)
class Layer:
    """What one source says. `origins` names the variable or file that set a key, where `label` alone would not.

    `loose` is a source of single words, where a mistyped name would make a section of its own.
    """

    label: str
    base: Path
    data: dict[str, Any] = field(repr=False)
    loose: bool = False
    origins: dict[Keys, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def depth(self, keys: Keys) -> int:
        """How many of the keys, from the first on, lead to something that this layer sets."""
        node: object = self.data
        for number, key in enumerate(keys):
            if not isinstance(node, dict) or key not in node:
                return number
            node = node[key]
        return len(keys)

    def where(self, keys: Keys) -> str:
        """What to call the key in a message."""
        for end in range(len(keys), 0, -1):
            if keys[:end] in self.origins:
                return self.origins[keys[:end]]
        dotted = ".".join(keys)
        return f"{self.label}: {dotted}" if dotted else self.label

    def set(self, keys: Keys, value: object, origin: str) -> None:
        """Set a key that a variable or a secret file gives; the second of two that say the same is a problem."""
        if keys in self.origins:
            self.problems.append(
                Problem(where=origin, text=f"it sets the same as {self.origins[keys]}; remove one")
            )
            return
        node = self.data
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        node[keys[-1]] = value
        self.origins[keys] = origin


def where_is(layers: Sequence[Layer], keys: Keys) -> str:
    """What to call a key in a message: by the strongest layer that sets it, or the most of its way."""
    layer = max(layers, key=lambda layer: layer.depth(keys))
    return layer.where(keys) if layer.depth(keys) else ".".join(keys)


def from_flags(overrides: Mapping[str, object]) -> Layer:
    """What the command line says, as nested keys."""
    return Layer(label="command line", base=Path.cwd(), data=deepcopy(dict(overrides)), loose=True)


def from_file(path: Path) -> Layer:
    """What a TOML file says. Raise ConfigError when it cannot be read or is no TOML."""
    try:
        text = path.read_bytes().decode().removeprefix("\ufeff")  # as editors of Windows begin a file
    except OSError as error:
        raise ConfigError(
            f"cannot read the config {path}: {error.strerror}",
            hint="Name another file with --config or HOLDFAST_CONFIG, or write one with `holdfast init`.",
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}: line {line}: it is not UTF-8 text") from None  # the cause quotes the file
    try:
        data = tomllib.loads(text)
    except (
        ValueError,
        RecursionError,
    ) as error:  # tomllib's own error, a number without end, endless nesting
        raise ConfigError(_toml_message(path, text, str(error)), hint="Correct the file there.") from error
    return Layer(label=str(path), base=path.absolute().parent, data=data)


def _toml_message(path: Path, text: str, said: str) -> str:
    """Put the place in front: file, line, column."""
    match = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", said, re.DOTALL)
    if match is None:
        return f"{path}: not valid TOML: {said}"
    lines = text.splitlines() or [""]
    line, column = match[2] or len(lines), match[3] or len(lines[-1]) + 1
    return f"{path}: line {line}, column {column}: not valid TOML: {match[1][:1].lower()}{match[1][1:]}"


def from_environment(environ: Mapping[str, str], below: Layer | None) -> Layer:
    """What HOLDFAST_ variables say. An empty one says nothing.

    A name in `below` (the file's layer) is meant by a variable that has `_` where it has `-`.
    """
    layer = Layer(label="environment", base=Path.cwd(), data={}, loose=True)
    for variable, value in sorted(environ.items()):
        if not variable.upper().startswith(PREFIX) or variable.upper() == CONFIG_VARIABLE or not value:
            continue
        if "__" not in variable and _SERVICE.fullmatch(variable):
            continue
        keys = _keys(variable.lower(), below)
        if keys is None:
            layer.problems.append(Problem(where=variable, text=_unknown_variable(variable)))
        else:
            layer.set(keys, _value(variable.lower(), value), variable)
    return layer


def from_secret_files(environ: Mapping[str, str], variables: Layer, below: Layer | None) -> Layer:
    """What files say that are named like the variable of a secret; systemd's before the container's.

    A file such as `holdfast_password` is left alone where `variables` or `below` name other targets than main: it is
    there for a `password_file` to point to.
    """
    layer = Layer(label="secret files", base=Path.cwd(), data={}, loose=True)
    folders = [RUN_SECRETS]
    if environ.get("CREDENTIALS_DIRECTORY"):
        folders.insert(0, Path(environ["CREDENTIALS_DIRECTORY"]))
    for folder in folders:
        for path in _files(folder):
            keys = _keys(path.name.lower(), below)
            if keys is None or keys in layer.origins or not _is_secret(path.name.lower(), keys):
                continue
            if keys == SHORTHAND.get(path.name.lower().removeprefix(PREFIX.lower())) and _elsewhere(
                keys, variables, below
            ):
                continue
            text = read_secret(path, str(path), layer.problems)
            if text is not None:
                layer.set(keys, _value(path.name.lower(), text), str(path))
    return layer


def _elsewhere(keys: Keys, *layers: Layer | None) -> bool:
    """Whether the layers name targets (or stores), and main is not among them."""
    found = [layer.data.get(keys[0]) for layer in layers if layer is not None and keys[1] == "main"]
    names = {name for content in found if isinstance(content, dict) for name in content}
    return bool(names) and "main" not in names


def from_machine(environ: Mapping[str, str]) -> Layer:
    """The defaults that depend on this machine: where the state is kept, and where temporary files go."""
    found = {"state_dir": str(_state_dir(environ))}
    if environ.get("TMPDIR", "").startswith("/"):
        found["spool_dir"] = environ["TMPDIR"]
    return Layer(label="default", base=Path.cwd(), data={"daemon": found})


def plain_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a program of the owner's needs of our environment; nothing that may be a secret."""
    return {name: environ[name] for name in _PLAIN if name in environ}


def _state_dir(environ: Mapping[str, str]) -> Path:
    if given := environ.get("STATE_DIRECTORY", "").split(":")[0]:  # systemd separates several by colons
        return Path(given)
    if os.geteuid() == 0 or os.access(SYSTEM_STATE, os.W_OK | os.X_OK):
        return SYSTEM_STATE
    if environ.get("XDG_STATE_HOME", "").startswith("/"):
        return Path(environ["XDG_STATE_HOME"], "holdfast")
    return Path("~/.local/state/holdfast")


def _files(folder: Path) -> list[Path]:
    """The files of a folder; none where it is missing or not ours to look into."""
    try:
        return sorted(
            path for path in folder.iterdir() if path.name.lower().startswith("holdfast_") and path.is_file()
        )
    except OSError:
        return []


def _keys(name: str, below: Layer | None) -> Keys | None:
    """Give the keys that a lowercase variable name stands for; None where there are no such."""
    rest = name.removeprefix(PREFIX.lower())
    if rest in SHORTHAND:
        return SHORTHAND[rest]
    keys = tuple(rest.split("__"))
    if len(keys) != _DEPTH.get(keys[0]) or not all(keys):
        return None
    if len(keys) > 2:  # noqa: PLR2004 - a section with names
        known = below.data.get(keys[0]) if below else None
        alike = (
            [item for item in known if item.replace("-", "_") == keys[1]] if isinstance(known, dict) else []
        )
        keys = (keys[0], alike[0] if alike else keys[1], *keys[2:])
    return keys


def _value(name: str, value: str) -> object:
    if name == "holdfast_recipient":  # several may stand between spaces too
        return [word for word in re.split(r"[\s,]+", value) if word]
    return value


def _is_secret(name: str, keys: Keys) -> bool:
    return name.removeprefix(PREFIX.lower()) in _SECRET_SHORTHAND or keys[-1] in SECRETS.get(keys[0], ())


def _unknown_variable(variable: str) -> str:
    first, *rest = variable.removeprefix(PREFIX).lower().split("__")
    section = values.nearest(first.split("_")[0], _DEPTH)
    close = values.nearest(first, [*SHORTHAND, "config"]) if not rest else None
    if close is None and section is not None:
        name = "NAME__" if _DEPTH[section] > 2 else ""  # noqa: PLR2004 - as above
        return f"no such variable; one of [{section}] is written {PREFIX}{section.upper()}__{name}KEY"
    return "no such variable" + (f"; did you mean {PREFIX}{close.upper()}?" if close else "")


def read_secret(path: Path, where: str, problems: list[Problem]) -> str | None:
    """Read a file that holds one secret; the line break at its end is not part of it."""
    try:
        with path.open("rb") as file:
            text = file.read(_SECRET_BYTES + 1).decode()
    except OSError as error:
        problems.append(Problem(where=where, text=f"cannot read {path}: {error.strerror}"))
        return None
    except UnicodeDecodeError:
        problems.append(Problem(where=where, text=f"{path} is not text"))
        return None
    except ValueError:  # a null character in the path: told where the paths are looked at
        return None
    text = text.rstrip("\r\n")
    if not text or len(text) > _SECRET_BYTES:
        problems.append(Problem(where=where, text=f"{path} is {'larger than a secret' if text else 'empty'}"))
        return None
    return text


def tables(data: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give each section that is a table: its name, the name within it (empty in a section without), its keys."""
    for section, depth in _DEPTH.items():
        content = data.get(section)
        if not isinstance(content, dict):
            continue
        if depth == 2:  # noqa: PLR2004 - a section without names
            yield section, "", content
        else:
            yield from ((section, name, table) for name, table in content.items() if isinstance(table, dict))
