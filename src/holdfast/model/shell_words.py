"""Splits a shell script into its commands, with variables put in where they are known. Nothing is ever run.

It reads what scripts around pg_dump are made of: assignments, quotes, `${X:-y}`, `$(date +…)`, loops over names, pipes. What
it cannot know is a mark in a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from holdfast.model import shell_lines
from holdfast.model.shell_script import EVERY_DATABASE, MARK, UNKNOWN, Command, Scheduled, Script

_SPLIT = "\x04"  # a blank that came out of a variable, and parts words
_NAME = re.compile(r"[A-Za-z_]\w*")
_ASSIGNMENT = re.compile(r"(?:export\s+|local\s+|readonly\s+|declare\s+(?:-\w+\s+)*)?([A-Za-z_]\w*)(\+?=)")
_OPERATOR = re.compile(r"\|\||&&|;;|>>|&>>?|\d?>&\d|\d?>>?|<<<|<<-?|[;|&()<\n]")
_PARAMETER = re.compile(r"\$\{([#!]?)(\w+|[@*#?])(\[[^\]]*\])?(?:(:?[-=?+])|([%#/^,].*|:\d.*))?", re.DOTALL)
_NO_END = re.compile(r"\d?>&\d|[\d&]?>>?|<|<<<|<<-?")  # after these the command goes on
_INDEX = re.compile(r"[0-9]{1,4}")
_DATE = re.compile(r"\bdate\b[^|;]*?\+(?:\"([^\"]*)\"|'([^']*)'|([^\s\"';|)]+))")
_FOR = re.compile(r"for\s+([A-Za-z_]\w*)\s+in\s+")
_FUNCTION = re.compile(r"(?:function\s+([\w-]+)\s*(?:\(\s*\))?|([\w-]+)\s*\(\s*\))\s*\{?\s*")
_KEYWORDS = frozenset(
    {"if", "then", "else", "elif", "while", "until", "do", "!", "{", "time", "nohup", "sudo", "exec"}
)


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
        for number, whole in shell_lines.logical_lines(text):
            schedule, line = shell_lines.without_schedule(whole)
            if schedule is not None:
                self.script.schedules.append(
                    Scheduled(line=number, text=schedule, in_comment=whole.lstrip().startswith("#"))
                )
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
                self.script.variables[position] = f"{MARK}{self._function}:{position}{MARK}"
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
        self.script.variables[found[1]] = f"{MARK}{found[1]}{MARK}"
        if EVERY_DATABASE in values:
            self.script.variables[found[1]] = EVERY_DATABASE

    def _commands(self, number: int) -> None:
        words: list[str] = []
        environment: dict[str, str] = {}
        output: str | None = None
        groups = 0

        def done() -> None:
            nonlocal words, environment, output
            while words and (not words[0] or words[0] in _KEYWORDS):
                words = words[1:]
            if words:
                self._called(words)
                self.script.commands.append(
                    Command(
                        line=number, words=tuple(words), environment=self._here() | environment, output=output
                    )
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
                output = self._redirected(found[0]) or output
                if not _NO_END.fullmatch(found[0]):
                    groups += found[0] == "("
                    done()
                continue
            if not words and (set_ := _ASSIGNMENT.match(self._text, self._at)):
                self._at = set_.end()
                environment[set_[1]] = self._value(set_[1])
                continue
            words += self._words()
            if self._text.startswith(")", self._at):
                self._at += 1
                groups, label = max(0, groups - 1), not groups
                words, environment = ([], {}) if label else (words, environment)  # a label of `case`
        done()

    def _redirected(self, operator: str) -> str | None:
        """Give the file that the output goes to; None where that is the end of errors, or a device, or nothing is redirected."""
        if operator.lstrip("12&") not in {">", ">>"}:
            return None
        self._spaces()
        target = self._word() if self._at < len(self._text) else ""
        return None if operator[0] == "2" or target.startswith("/dev/") else target

    def _here(self) -> dict[str, str]:
        """Give what libpq's variables are set to at this place."""
        return {name: value for name, value in self.script.variables.items() if name.startswith("PG")}

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
        if any(value.startswith("[") and "]=" in value for value in values):  # names with values: too much
            values = [UNKNOWN]
        self.script.lists[name] = values
        return f"{MARK}{name}{MARK}"

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
        known = self._subscript(found)
        if found[1]:
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
        if found[5] and known is not None:
            return _cut(known, found.string[found.start(5) : _closing(found.string, found.start() + 1)])
        return UNKNOWN if known is None else known

    def _subscript(self, found: re.Match[str]) -> str | None:
        """Give the variable, or the element of an array, that is meant."""
        known = self.script.variables.get(found[2])
        index = (found[3] or "[@]")[1:-1]
        listed = self.script.lists.get(found[2])
        if index in {"@", "*"} or listed is None:
            return known
        return listed[int(index)] if _INDEX.fullmatch(index) and int(index) < len(listed) else UNKNOWN


def _cut(value: str, how: str) -> str:
    """Cut off what `${X%text}` and `${X#text}` cut off, where that is plain text."""
    sign, text = how[0], how.lstrip("%#").strip("\"'")
    if sign not in {"%", "#"} or re.search(r"[*?\[$`\x01-\x04]", text + value):
        return UNKNOWN
    return value.removesuffix(text) if sign == "%" else value.removeprefix(text)


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
