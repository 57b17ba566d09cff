"""Gives the lines of a shell script, those that go on joined, and takes the schedule off those of a crontab."""

from __future__ import annotations

import re
from collections.abc import Iterator

_CRON = re.compile(
    r"\s*(@(?:hourly|daily|midnight|weekly|monthly|yearly|annually)|(?:[\d*/,\-A-Za-z]+\s+){4}[\d*/,\-A-Za-z]+)\s+(?=\S)"
)
_QUOTED_CRON = re.compile(
    r"(?:^|\s)#?(@(?:hourly|daily|weekly|monthly)|(?:[\d*/,\-]+\s+){4}[\d*/,\-A-Za-z]+)\s+(?=[\w/])"
)
_FIELD = re.compile(r"(?:\*|\d+(?:-\d+)?|[A-Za-z]{3}(?:-[A-Za-z]{3})?)(?:/\d+)?(?:,\S+)?\Z")
_CRON_FIELDS = 5
_HEREDOC = re.compile(r"(?<![<\d])<<-?\s*([\"']?)([A-Za-z_]\w*)\1(?!<)")
_WORD_BEGINS = r"(?:^|[\s/|;&(\"'])"
_SHELL = re.compile(_WORD_BEGINS + r"(?:(?:ba|da|z|k|a)?sh|su|sudo|ssh|runuser)(?:\s|$)")
_NO_SHELL = re.compile(
    _WORD_BEGINS + r"(?:psql|cat|tee|mailx?|sendmail|mysql|python3?|perl|s?ftp|crontab|dd)(?:\s|$)"
)
_LONGEST = 200  # lines that may belong together


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Give lines with those that go on joined, each with the number that it begins at.

    Of a text within the script (`<<EOF`) only that is given which a shell is to run.
    """
    yield from _logical(text.replace("\r\n", "\n").split("\n"), 1)


def _logical(lines: list[str], first: int) -> Iterator[tuple[int, str]]:
    at = 0
    while at < len(lines):
        begin = at
        line, at = _whole(lines, at)
        document = None if line.lstrip().startswith("#") else _HEREDOC.search(line)
        end = None if document is None else _end(lines, at, document[2])
        if document is None or end is None:
            yield first + begin, line
            continue
        head = f"{line[: document.start()]} {line[document.end() :]}"
        yield first + begin, head
        if _SHELL.search(head) and not _NO_SHELL.search(head):
            yield from _logical(lines[at:end], first + at)
        at = end + 1


def _end(lines: list[str], at: int, word: str) -> int | None:
    return next((place for place in range(at, len(lines)) if lines[place].strip() == word), None)


def _whole(lines: list[str], at: int) -> tuple[str, int]:
    """Join the line with those that it goes on in; one whose quotes are never closed stands for itself."""
    joined = lines[at]
    for end in range(at + 1, min(len(lines), at + _LONGEST) + 1):
        left = _left_open(joined)
        if not left:
            return joined, end
        if end < len(lines):
            joined = joined[:-1] if left == "\\" else joined
            joined += ("\n" if left in {"'", '"'} else " ") + lines[end]
    return lines[at].removesuffix("\\"), at + 1


def _left_open(text: str) -> str:
    """Tell what a line leaves open: a quote, a bracket of `$(` or of an array, a backslash at its end; "" for nothing."""
    quote, depth, at = "", 0, 0
    while at < len(text):
        letter = text[at]
        if quote == "'":
            quote = "" if letter == "'" else quote
        elif letter == "\\":
            if at == len(text) - 1:
                return "\\"
            at += 1
        elif letter in {'"', "`"}:
            quote = "" if quote == letter else quote or letter
        elif letter == "'" and not quote:
            quote = letter
        elif letter == "#" and not quote and (at == 0 or text[at - 1].isspace()):
            break
        elif (
            letter == "(" and not (quote == '"' and not depth) and (depth or text[at - 1 : at] in {"$", "="})
        ):
            depth += 1
        elif letter == ")" and depth:
            depth -= 1
        at += 1
    return quote or ("(" if depth else "")


def without_schedule(line: str) -> tuple[str | None, str]:
    """Take the five fields of a crontab off a line; of one that a comment quotes nothing else is left."""
    commented = line.lstrip().startswith("#")
    found = (_QUOTED_CRON.search if commented else _CRON.match)(line)
    if found is None or not _is_schedule(found[1]):
        return None, "" if commented else line
    rest = "" if commented else line[found.end() :].replace("\\%", "%")
    return " ".join(found[1].split()), rest


def _is_schedule(text: str) -> bool:
    fields = text.split()
    return text.startswith("@") or (
        len(fields) == _CRON_FIELDS and all(_FIELD.match(each) for each in fields)
    )
