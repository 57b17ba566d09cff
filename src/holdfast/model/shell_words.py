"""Splits a shell script into its commands, with variables put in where they are known. Nothing is ever run.

It reads what scripts around pg_dump are made of: assignments, quotes, `${X:-y}`, `$(date +…)`, loops over names, pipes. What
it cannot know is a mark in a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from holdfast.model import shell_lines

UNKNOWN = "\x03"
EVERY_DATABASE = "\x02"  # the output of a query of pg_database
_SPLIT = "\x04"  # a blank that came out of a variable, and parts words
_MARK = "\x01"  # around the name of what stands for several values
_NAME = re.compile(r"[A-Za-z_]\w*")
_ASSIGNMENT = re.compile(r"(?:export\s+|local\s+|readonly\s+|declare\s+(?:-\w+\s+)*)?([A-Za-z_]\w*)(\+?=)")
_OPERATOR = re.compile(r"\|\||&&|;;|>>|&>>?|\d?>&\d|\d?>>?|<<<|<<-?|[;|&()<\n]")
_PARAMETER = re.compile(r"\$\{([#!]?)(\w+|[@*#?])(\[[^\]]*\])?(?:(:?[-=?+])|([%#/^,].*|:\d.*))?", re.DOTALL)
_DATE = re.compile(r"\bdate\b[^|;]*?\+(?:\"([^\"]*)\"|'([^']*)'|([^\s\"';|)]+))")
_FOR = re.compile(r"for\s+([A-Za-z_]\w*)\s+in\s+")
_FUNCTION = re.compile(r"(?:function\s+([\w-]+)\s*(?:\(\s*\))?|([\w-]+)\s*\(\s*\))\s*\{?\s*")
_KEYWORDS = frozenset(
    {"if", "then", "else", "elif", "while", "until", "do", "!", "{", "time", "nohup", "sudo", "exec"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of a script: its words, what was set for it alone, and where its output goes. `line` counts from 1."""

    line: int
    words: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    output: str | None = None


@dataclass(slots=True)
class Script:
    """What was read: variables by name, lists that one word stands for, commands, and the schedule of a crontab's line."""

    variables: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    schedule: str | None = None

    def values(self, word: str) -> tuple[str, ...]:
        """Give what a word stands for: several where it came from a loop, or from the calls of a function."""
        if (found := re.fullmatch(f"{_MARK}(.+?){_MARK}", word)) is None:
            return (word,)
        return tuple(dict.fromkeys(self.lists.get(found[1], ())))

    def with_places(self, word: str) -> str:
        """Write a word with `{database}` where something of several stands."""
        word = re.sub(f"{_MARK}.+?{_MARK}", "{database}", word).replace(EVERY_DATABASE, "{database}")
        return word.replace(UNKNOWN, "*")


def read(text: str) -> Script:
    """Read a script, or lines of a crontab."""
    return _Reader().read(text)


class _Reader:
    """What is known at the place that was reached."""

    def __init__(self) -> None:
        self.script = Script()
        self._function: str | None = None
        self._text = ""
        self._at = 0

    def read(self, text: str) -> Script:
        heredoc: str | None = None
        for number, line in shell_lines.logical_lines(text):
            if heredoc is not None:
                heredoc = None if line.strip() == heredoc else heredoc
                continue
            if (begun := re.search(r"<<-?\s*[\"']?(\w+)[\"']?", line)) and "<<<" not in line:
                heredoc = begun[1]
                line = line[: begun.start()]  # noqa: PLW2901 - what follows is no command
            schedule, line = shell_lines.without_schedule(line)  # noqa: PLW2901 - what is left of it
            self.script.schedule = self.script.schedule or schedule
            self._line(number, line)
        return self.script

    def _line(self, number: int, line: str) -> None:
        self._text, self._at = line, 0
        if (loop := _FOR.search(line)) is not None:
            self._loop(loop)
        if (made := _FUNCTION.match(line.strip())) is not None and not line.strip().startswith("for "):
            self._function = made[1] or made[2]
            self._text = line.strip()[made.end() :]
            for position in "123":
                self.script.variables[position] = f"{_MARK}{self._function}:{position}{_MARK}"
        elif line.strip() == "}" and self._function is not None:
            self._function = None
            for position in "123":
                self.script.variables.pop(position, None)
        self._commands(number)

    def _loop(self, found: re.Match[str]) -> None:
        """Let the variable of a loop stand for all its values."""
        self._at = found.end()
        values: list[str] = []
        while self._at < len(self._text):
            self._spaces()
            if _OPERATOR.match(self._text, self._at) or self._at >= len(self._text):
                break
            values += [each for word in self._words() for each in self.script.values(word)]
        self.script.lists[found[1]] = values
        self.script.variables[found[1]] = f"{_MARK}{found[1]}{_MARK}"
        if EVERY_DATABASE in values:
            self.script.variables[found[1]] = EVERY_DATABASE

    def _commands(self, number: int) -> None:
        words: list[str] = []
        environment: dict[str, str] = {}
        output: str | None = None

        def done() -> None:
            nonlocal words, environment, output
            while words and words[0] in _KEYWORDS:
                words = words[1:]
            if words:
                self._called(words)
                self.script.commands.append(
                    Command(line=number, words=tuple(words), environment=environment, output=output)
                )
            else:
                self.script.variables.update(environment)
            words, environment, output = [], {}, None

        while True:
            self._spaces()
            if self._at >= len(self._text) or self._text[self._at] == "#":
                break
            if found := _OPERATOR.match(self._text, self._at):
                self._at = found.end()
                if found[0].lstrip("12&") in {">", ">>"}:
                    self._spaces()
                    target = self._word() if self._at < len(self._text) else ""
                    output = target if found[0][0] != "2" and not target.startswith("/dev/") else output
                elif found[0] not in {"<", "<<<"} and "&" not in found[0][1:2]:
                    done()
                continue
            if not words and (set_ := _ASSIGNMENT.match(self._text, self._at)):
                self._at = set_.end()
                environment[set_[1]] = self._value(set_[1])
                continue
            words += self._words()
        done()

    def _called(self, words: list[str]) -> None:
        """Remember what a function of the script is called with."""
        for position, word in enumerate(words[1:4], start=1):
            self.script.lists.setdefault(f"{words[0].strip()}:{position}", []).extend(
                self.script.values(word)
            )

    def _value(self, name: str) -> str:
        """Read what a variable is set to; an array becomes a list."""
        if self._text[self._at : self._at + 1] != "(":
            return self._word() if self._at < len(self._text) and not self._text[self._at].isspace() else ""
        self._at += 1
        values: list[str] = []
        while self._at < len(self._text) and self._text[self._at] != ")":
            self._spaces()
            if self._text[self._at : self._at + 1] not in {")", ""}:
                values.append(self._word())
        self._at += 1
        self.script.lists[name] = values
        return f"{_MARK}{name}{_MARK}"

    def _spaces(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in " \t":
            self._at += 1

    def _words(self) -> list[str]:
        """Read what stands there up to a blank: a word, or those that a variable holds."""
        return [word for word in self._raw_word().split(_SPLIT) if word] or [""]

    def _word(self) -> str:
        """Read one word, as where a variable is set."""
        return self._raw_word().replace(_SPLIT, " ")

    def _raw_word(self) -> str:
        pieces: list[str] = []
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter in " \t" or (letter in "|&;<>()\n"):
                break
            if letter == "'":
                end = _after(self._text, "'", self._at + 1)
                pieces.append(self._text[self._at + 1 : end])
                self._at = end + 1
            elif letter == '"':
                self._at += 1
                pieces += self._quoted()
            elif letter == "\\":
                pieces.append(self._text[self._at + 1 : self._at + 2])
                self._at += 2
            elif letter in "$`":
                pieces.append(self._expanded().replace(" ", _SPLIT))
            else:
                pieces.append(letter)
                self._at += 1
        else:
            return "".join(pieces)
        if not pieces and self._at < len(self._text) and self._text[self._at] not in " \t":
            self._at += 1  # an operator where a word was looked for
        return "".join(pieces)

    def _quoted(self) -> Iterator[str]:
        while self._at < len(self._text) and self._text[self._at] != '"':
            letter = self._text[self._at]
            if letter == "\\":
                yield self._text[self._at + 1 : self._at + 2]
                self._at += 2
            elif letter in "$`":
                yield self._expanded()
            else:
                yield letter
                self._at += 1
        self._at += 1

    def _expanded(self) -> str:
        """Read what begins with `$` or a backtick, and give what it stands for."""
        text, at = self._text, self._at
        if text[at] == "`":
            end = _after(text, "`", at + 1)
            self._at = end + 1
            return _output_of(text[at + 1 : end])
        if text.startswith("$(", at):
            end = _closing(text, at + 1)
            self._at = end + 1
            return UNKNOWN if text.startswith("$((", at) else _output_of(text[at + 2 : end])
        if text.startswith("${", at) and (found := _PARAMETER.match(text, at)):
            end = _closing(text, at + 1)
            self._at = end + 1
            return self._parameter(found, text[found.end() : end])
        found_name = _NAME.match(text, at + 1) or re.compile(r"[0-9@*#?$!-]").match(text, at + 1)
        if found_name is None:
            self._at += 1
            return "$"
        self._at = found_name.end()
        return self.script.variables.get(found_name[0], UNKNOWN)

    def _parameter(self, found: re.Match[str], rest: str) -> str:
        known = self.script.variables.get(found[2])
        if found[1] == "#":
            return UNKNOWN
        operator = (found[4] or "").lstrip(":")
        if operator in {"-", "="} and not known:
            outer = (self._text, self._at)
            self._text, self._at = rest, 0
            default = "".join(self._quoted()) if '"' not in rest else self._word()
            self._text, self._at = outer
            if operator == "=":
                self.script.variables[found[2]] = default
            return default
        return UNKNOWN if known is None else known


def _after(text: str, mark: str, at: int) -> int:
    end = text.find(mark, at)
    return len(text) if end < 0 else end


def _closing(text: str, at: int) -> int:
    """Find the bracket that closes the one at `at`."""
    pairs = {"(": ")", "{": "}"}
    depth, opening, closing = 0, text[at], pairs[text[at]]
    for place in range(at, len(text)):
        depth += (text[place] == opening) - (text[place] == closing)
        if not depth:
            return place
    return len(text)


def _output_of(command: str) -> str:
    """Tell what a command in a script's word would print, where that can be known."""
    if found := _DATE.search(command):
        return found[1] or found[2] or found[3] or UNKNOWN
    if "pg_database" in command or re.search(r"\bpsql\b.*\s-\w*l", command):
        return EVERY_DATABASE
    return UNKNOWN
