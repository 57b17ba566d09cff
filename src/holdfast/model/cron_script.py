"""Tells what a backup script does, from its text: server, databases, place, days, schedule. It is never run.

No secret is ever given: where one stands is said, and not what it is.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Callable

from holdfast.model import shell_words
from holdfast.model.client_options import options
from holdfast.model.idle_commands import IDLE
from holdfast.model.script_ages import Age, days_of, settle_age
from holdfast.model.script_dumps import Dump, read_dump, settle
from holdfast.model.script_reading import Reading
from holdfast.model.script_rest import DUMP, settle_schedule, unread
from holdfast.model.shell_script import UNKNOWN, Command, Script

_SECRET = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|(?:^|_)KEY(?:$|_ID$)", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,6}")
_UPLOADS = ("s3://", "gs://")
_DUMPS = frozenset({"pg_dump", "pg_dumpall"})
_ELSEWHERE = frozenset(
    {"docker", "docker-compose", "kubectl", "oc", "podman", "ssh", "lxc", "nsenter", "chroot"}
)
_RUNNERS = _ELSEWHERE | {
    "sh", "bash", "dash", "ash", "ksh", "zsh", "su", "runuser", "eval", "env", "watch", "script", "setsid", "systemd-run",
}  # fmt: skip
_CIPHER = re.compile(r"-?(?:aes|aria|camellia|des|bf|chacha)[\w-]*", re.IGNORECASE)


def read(text: str) -> Reading:
    """Read a script."""
    script = shell_words.read(text)
    reading = Reading()
    interpreter = _Interpreter(script, reading)
    interpreter.run()
    unread(text, script, reading, {dump.line for dump in interpreter.dumps})
    return reading


class _Interpreter:
    """Goes through the commands of a script, one after the other."""

    def __init__(self, script: Script, reading: Reading) -> None:
        self._script = script
        self._reading = reading
        self.dumps: list[Dump] = []
        self._ages: list[Age] = []
        self._folders: list[str] = []
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
            "tee": lambda _command, words: self._written(words[-1] if words else ""),
            "psql": lambda _command, _words: None,
            "rm": lambda _command, _words: None,
        }

    def run(self) -> None:
        """Read them all."""
        functions = {name.partition(":")[0] for name in self._script.lists if ":" in name}
        for command in [each for given in self._script.commands for each in self._within(given)]:
            if command.output:
                self._written(command.output)
            if not self._dump(command):
                self._other(command, functions)
        settle(self.dumps, self._reading)
        settle_age(self._ages, self._folders, self._reading)
        settle_schedule(self._script, self._reading, {dump.line for dump in self.dumps})
        self._secrets()
        self._reading.dumps = len(self.dumps)

    def _within(self, command: Command) -> list[Command]:
        """Give the commands in the text that a command hands to a shell (`su -c "…"`, `ssh host '…'`), else itself."""
        words = command.words
        names = {posixpath.basename(word) for word in words}
        if not (names & _RUNNERS or words[0].startswith("-")) or posixpath.basename(words[0]) in IDLE:
            return [command]
        if posixpath.basename(words[0]) == "eval":
            words = ("eval", " ".join(words[1:]))
        inner = [
            each
            for word in words[1:]
            if " " in word and DUMP.search(word)
            for each in shell_words.read(word).commands
        ]
        if not inner:
            return [command]
        through = tuple(name for name in words[:-1] if posixpath.basename(name) in _ELSEWHERE)[:1]
        return [
            Command(
                line=command.line,
                words=through + each.words,
                environment=command.environment | each.environment,
                output=each.output or (command.output if each is inner[-1] else None),
            )
            for each in inner
        ]

    def _other(self, command: Command, functions: set[str]) -> None:
        through = len(command.words) > 1 and posixpath.basename(command.words[0]) in _ELSEWHERE
        name = posixpath.basename(command.words[0])
        if (handler := self._known.get(name)) is not None:
            handler(command, command.words[1:])
        elif (
            name not in IDLE
            and not name.startswith(("$", "-", UNKNOWN))
            and not self._is_own(name, functions)
            and not (through and posixpath.basename(command.words[1]) in IDLE)
        ):
            self._reading.missed.append((command.line, name))

    def _is_own(self, name: str, functions: set[str]) -> bool:
        return f"{name}:1" in self._script.lists and name in functions and self._defined(name)

    def _defined(self, name: str) -> bool:
        mark = f"\x01{name}:"
        return any(mark in word for command in self._script.commands for word in command.words)

    def _dump(self, command: Command) -> bool:
        """Read pg_dump, wherever it stands (`docker exec db pg_dump …`)."""
        if posixpath.basename(command.words[0]) in IDLE - {"xargs", "nice", "ionice"}:
            return False
        for at, word in enumerate(command.words):
            if (name := posixpath.basename(word)) not in _DUMPS:
                continue
            before = [each for each in map(posixpath.basename, command.words[:at]) if each in _ELSEWHERE]
            if before:
                self._reading.notes.append(
                    (
                        command.line,
                        f"{name} runs by way of {before[0]}: give the address at which Holdfast reaches the server",
                    )
                )
            environment = dict(self._script.variables) | command.environment
            words = command.words[at + 1 :]
            self.dumps.append(read_dump(command.line, name, words, environment, self._script))
            for key, value in options(self._script.spread(words)):
                if key == "file":
                    self._written(value)
            if any("{}" in each or each.startswith(":::") for each in words) or command.words[0] == "xargs":
                self.dumps[-1].unsure.append("others are named by what calls it (xargs, parallel)")
            return True
        return False

    def _written(self, path: str) -> None:
        """Read the name of a file that a dump goes into: the directory, and the pattern of names."""
        shown = self._script.with_places(path).replace("\ufffd", "*").replace("{}", "*")
        if re.search(r"\.log$|^/dev/|^/proc/", shown) or shown in {UNKNOWN, ""}:
            return
        folder, name = posixpath.split(shown)
        if not re.search(r"dump|sql|backup|bak|gz|enc|tar|zst|%[YyFms]", name):
            return
        static = self._static(folder)
        self._folders += [static] if static else []
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
        if not any(word in {"-delete", "-exec", "-execdir", "-print0", "-print"} for word in words):
            return
        known = words[0].startswith(("/", ".", "~")) and UNKNOWN not in words[0]
        folder = (self._static(self._script.with_places(words[0])) or "") if known else ""
        if (days := days_of(words)) is None:
            self._reading.missed.append((command.line, "find (its age is not known)"))
        else:
            self._ages.append(Age(line=command.line, folder=folder.rstrip("/"), days=days))

    def _tail(self, command: Command, words: tuple[str, ...]) -> None:
        found = re.search(r"-n\s*\+([0-9]{1,6})\b", " ".join(words))
        if found and any(
            other.words[0] == "ls" for other in self._script.commands if other.line == command.line
        ):
            self._reading.keep_last = int(found[1]) - 1

    def _upload(self, command: Command, words: tuple[str, ...]) -> None:
        target = [word for word in words if word.startswith(_UPLOADS)]
        given = [*itertools.pairwise(words), *(tuple(word.split("=", 1)) for word in words if "=" in word)]
        for key, value in given:
            if key == "--endpoint-url":
                self._endpoint(command, value)
            elif key == "--profile" and UNKNOWN not in value:
                self._reading.profile = value
            elif key in {"--region", "--sse", "--sse-kms-key-id", "--storage-class"}:
                self._reading.notes.append(
                    (command.line, f"{key} is not in the config: the store has a key for it")
                )
        if not target:
            if posixpath.basename(command.words[0]) == "rclone":
                self._reading.missed.append((command.line, "rclone (its remote is in a config of its own)"))
            return
        shown = self._script.with_places(target[-1])
        scheme, _, path = shown.partition("://")
        bucket, _, key = path.partition("/")
        if any(sign in bucket for sign in (UNKNOWN, "{", "*", "@", ":")):
            self._reading.missed.append((command.line, "the bucket's name is not known"))
            return
        prefix = self._static(posixpath.dirname(key))
        self._reading.bucket = self._reading.bucket or f"{scheme}://{bucket}/{prefix or ''}".rstrip("/")
        if self._reading.pattern is None and posixpath.basename(key):
            self._reading.pattern = posixpath.basename(key)

    def _endpoint(self, command: Command, value: str) -> None:
        if UNKNOWN in value:
            self._reading.notes.append(
                (command.line, "the address of the service is not known: endpoint_url")
            )
        elif "@" in value:
            self._reading.notes.append(
                (command.line, "the address of the service holds a login: endpoint_url without it")
            )
        else:
            self._reading.endpoint = value

    def _openssl(self, command: Command, words: tuple[str, ...]) -> None:
        if "enc" not in words and not (words and _CIPHER.fullmatch(words[0])):
            self._reading.missed.append((command.line, f"openssl {words[0] if words else ''}".rstrip()))
            return
        self._reading.encryption.append("openssl enc" + (" -pbkdf2" if "-pbkdf2" in words else ""))
        for key, value in itertools.pairwise(words):
            if key == "-out":
                self._written(value)
            if key == "-iter" and _NUMBER.fullmatch(value):
                self._reading.iterations = value
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
        self._reading.encryption.append("gpg")
        self._reading.notes.append((command.line, "gpg: decrypt old dumps before they are imported"))

    def _age(self, command: Command, _words: tuple[str, ...]) -> None:
        self._reading.encryption.append("age")
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
        for name in sorted({name for name in named if not name.endswith(("FILE", "PATH", "DIR"))}):
            self._reading.notes.append(
                (0, f"{name} holds a secret: put it into a file of its own, and name that in the config")
            )
