"""Tells what a backup script does, from its text: server, databases, place, days, schedule. It is never run.

No secret is ever given: where one stands is said, and not what it is.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from holdfast.model import shell_words
from holdfast.model.client_options import options
from holdfast.model.idle_commands import IDLE
from holdfast.model.script_reading import Reading
from holdfast.model.shell_words import EVERY_DATABASE, UNKNOWN, Command, Script

_KEPT = {
    "schema": "include_schemas",
    "exclude-schema": "exclude_schemas",
    "table": "include_tables",
    "exclude-table": "exclude_tables",
    "exclude-table-data": "exclude_table_data",
    "exclude-database": "exclude_databases",
}
_SECRET = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|(?:^|_)KEY(?:$|_ID$)", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,6}")
_UPLOADS = ("s3://", "gs://")
_DUMPS = frozenset({"pg_dump", "pg_dumpall"})


def read(text: str) -> Reading:
    """Read a script."""
    script = shell_words.read(text)
    reading = Reading(schedule=script.schedule)
    _Interpreter(script, reading).run()
    return reading


class _Interpreter:
    """Goes through the commands of a script, one after the other."""

    def __init__(self, script: Script, reading: Reading) -> None:
        self._script = script
        self._reading = reading
        self._looked_at: set[str] = set()  # of what names databases
        self._known: dict[str, Callable[[Command, tuple[str, ...]], None]] = {
            "find": self._find,
            "openssl": self._openssl,
            "gpg": self._gpg,
            "gpg2": self._gpg,
            "age": self._age,
            "aws": self._upload,
            "s3cmd": self._upload,
            "gsutil": self._upload,
            "rclone": self._upload,
            "tail": self._tail,
            "source": self._source,
            ".": self._source,
            "psql": lambda _command, _words: None,
            "rm": lambda _command, _words: None,
        }

    def run(self) -> None:
        """Read them all."""
        functions = {name.partition(":")[0] for name in self._script.lists if ":" in name}
        self._environment(dict(self._script.variables.items()))
        for command in self._script.commands:
            self._environment(command.environment)
            if command.output:
                self._written(command.output)
            if not self._dumps(command):
                self._other(command, functions)
        self._secrets()

    def _other(self, command: Command, functions: set[str]) -> None:
        name = posixpath.basename(command.words[0])
        if (handler := self._known.get(name)) is not None:
            handler(command, command.words[1:])
        elif (
            name not in IDLE
            and not name.startswith(("$", "-", UNKNOWN))
            and not self._is_own(name, functions)
        ):
            self._reading.missed.append((command.line, name))

    def _is_own(self, name: str, functions: set[str]) -> bool:
        return f"{name}:1" in self._script.lists and name in functions and self._defined(name)

    def _defined(self, name: str) -> bool:
        mark = f"\x01{name}:"
        return any(mark in word for command in self._script.commands for word in command.words)

    def _environment(self, given: dict[str, str]) -> None:
        for name, put in (
            ("PGHOST", "host"),
            ("PGPORT", "port"),
            ("PGUSER", "username"),
            ("PGDATABASE", "dbname"),
        ):
            if given.get(name):
                self._option(put, given[name])

    def _dumps(self, command: Command) -> bool:
        """Read pg_dump, wherever it stands (`docker exec db pg_dump …`)."""
        for at, word in enumerate(command.words):
            if (name := posixpath.basename(word)) not in _DUMPS:
                continue
            before = command.words[0]
            if before != word and posixpath.basename(before) in {"docker", "kubectl", "podman", "ssh"}:
                self._reading.notes.append(
                    (
                        command.line,
                        f"{name} runs by way of {before}: give the address at which Holdfast reaches the server",
                    )
                )
            given = list(options(command.words[at + 1 :]))
            if name == "pg_dumpall":
                self._reading.every_database |= not any(
                    key in {"g", "globals-only", "r", "roles-only"} for key, _ in given
                )
            for key, value in given:
                self._option(key, value)
            return True
        return False

    def _option(self, key: str, value: str) -> None:
        reading = self._reading
        if key in {"host", "port", "username"}:
            name = "user" if key == "username" else key
            if value and UNKNOWN not in value and getattr(reading, name) is None:
                setattr(reading, name, value)
        elif key == "dbname":
            self._database(value)
        elif key == "file":
            self._written(value)
        elif key in _KEPT:
            found = reading.selection.setdefault(_KEPT[key], [])
            found += [
                each for each in self._script.values(value) if each not in found and UNKNOWN not in each
            ]

    def _database(self, value: str) -> None:
        reading = self._reading
        if value == EVERY_DATABASE:
            reading.every_database = True
            return
        if value in self._looked_at:  # or a variable that stands in its own value would never end
            return
        self._looked_at.add(value)
        for each in self._script.values(value):
            if each == EVERY_DATABASE:
                reading.every_database = True
            elif "://" in each:
                self._uri(each)
            elif "=" in each:
                for pair in each.split():
                    key, _, text = pair.partition("=")
                    self._option({"user": "username"}.get(key, key), text.strip("'"))
            elif each and UNKNOWN not in each and each not in reading.databases:
                reading.databases.append(each)

    def _uri(self, text: str) -> None:
        """Read a URL; its password stays where it is. One that is malformed tells nothing."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            return
        for key, value in (("host", parts.hostname), ("port", str(port or "")), ("username", parts.username)):
            self._option(key, unquote(value or ""))
        if parts.password:
            self._reading.notes.append((0, "a password stands in a URL: put it into a file (password_file)"))
        name = unquote(parts.path.lstrip("/"))
        if "://" not in name:
            self._option("dbname", name)

    def _written(self, path: str) -> None:
        """Read the name of a file that a dump goes into: the directory, and the pattern of names."""
        shown = self._script.with_places(path)
        if re.search(r"\.log$|^/dev/|^/proc/", shown) or shown in {UNKNOWN, ""}:
            return
        folder, name = posixpath.split(shown)
        if not re.search(r"dump|sql|backup|bak|gz|enc|tar|zst|%[YyFms]", name):
            return
        static = self._static(folder)
        if static and not self._reading.directory:
            self._reading.directory = static
        if self._reading.pattern is None:
            self._reading.pattern = shown.removeprefix(f"{static}/") if static else name

    @staticmethod
    def _static(folder: str) -> str | None:
        """Give the part of a folder's name that is the same for all."""
        kept: list[str] = []
        for piece in folder.split("/"):
            if any(sign in piece for sign in "%{*"):
                break
            kept.append(piece)
        return "/".join(kept) or None

    def _find(self, command: Command, words: tuple[str, ...]) -> None:
        reading = self._reading
        if not any(word in {"-delete", "-exec", "-execdir", "-print0", "-print"} for word in words):
            return
        for key, value in itertools.pairwise(words):
            digits = value.lstrip("+")
            if key in {"-mtime", "-ctime", "-atime"} and _NUMBER.fullmatch(digits):
                reading.days = int(digits)
            elif key in {"-mmin", "-cmin"} and _NUMBER.fullmatch(digits):
                reading.days = max(1, int(digits) // 1440)
        if reading.days is None:
            reading.missed.append((command.line, "find (its age is not known)"))
        if words and words[0].startswith(("/", ".", "~")) and UNKNOWN not in words[0]:
            reading.directory = reading.directory or self._static(self._script.with_places(words[0]))

    def _tail(self, command: Command, words: tuple[str, ...]) -> None:
        found = re.search(r"-n\s*\+([0-9]{1,6})\b", " ".join(words))
        if found and any(
            other.words[0] == "ls" for other in self._script.commands if other.line == command.line
        ):
            self._reading.keep_last = int(found[1]) - 1

    def _upload(self, command: Command, words: tuple[str, ...]) -> None:
        target = [word for word in words if word.startswith(_UPLOADS)]
        for key, value in options(words):
            if key == "endpoint-url":
                self._reading.endpoint = value
        for key, value in itertools.pairwise(words):
            if key == "--endpoint-url" and UNKNOWN not in value:
                self._reading.endpoint = value
        if not target:
            if posixpath.basename(command.words[0]) == "rclone":
                self._reading.missed.append((command.line, "rclone (its remote is in a config of its own)"))
            return
        shown = self._script.with_places(target[-1])
        scheme, _, path = shown.partition("://")
        bucket, _, key = path.partition("/")
        if UNKNOWN in bucket or "{" in bucket:
            self._reading.missed.append((command.line, "the bucket's name is not known"))
            return
        prefix = self._static(posixpath.dirname(key))
        self._reading.bucket = self._reading.bucket or f"{scheme}://{bucket}/{prefix or ''}".rstrip("/")
        if self._reading.pattern is None and posixpath.basename(key):
            self._reading.pattern = posixpath.basename(key)

    def _openssl(self, command: Command, words: tuple[str, ...]) -> None:
        if "enc" not in words:
            return
        self._reading.encryption = "openssl enc" + (" -pbkdf2" if "-pbkdf2" in words else "")
        for key, value in itertools.pairwise(words):
            if key == "-out":
                self._written(value)
            if key in {"-pass", "-kfile"}:
                kind, _, rest = value.partition(":")
                if key == "-kfile" or kind == "file":
                    self._reading.passphrase_file = value if key == "-kfile" else rest
        if self._reading.passphrase_file is None:
            self._reading.notes.append(
                (
                    command.line,
                    "the passphrase stands in the script or its environment: put it into a file, for the import of old dumps",
                )
            )

    def _gpg(self, command: Command, words: tuple[str, ...]) -> None:
        for key, value in itertools.pairwise(words):
            if key in {"-o", "--output"}:
                self._written(value)
        self._reading.encryption = "gpg"
        self._reading.notes.append((command.line, "gpg: decrypt old dumps before they are imported"))

    def _age(self, command: Command, _words: tuple[str, ...]) -> None:
        self._reading.encryption = "age"
        self._reading.notes.append((command.line, "age: decrypt old dumps before they are imported"))

    def _source(self, command: Command, words: tuple[str, ...]) -> None:
        self._reading.missed.append((command.line, f"reads another file: {words[0] if words else '?'}"))

    def _secrets(self) -> None:
        named = [
            name
            for name, value in self._script.variables.items()
            if _SECRET.search(name) and value not in {"", UNKNOWN}
        ]
        for command in self._script.commands:
            named += [name for name in command.environment if _SECRET.search(name)]
        for name in sorted(set(named)):
            self._reading.notes.append(
                (0, f"{name} holds a secret: put it into a file of its own, and name that in the config")
            )
