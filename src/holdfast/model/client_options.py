"""Reads the options of pg_dump and its like off a command line."""

from __future__ import annotations

from collections.abc import Iterator

_WITH_VALUE = {
    "h": "host", "p": "port", "U": "username", "d": "dbname", "l": "database", "F": "format", "f": "file", "n": "schema",
    "N": "exclude-schema", "t": "table", "T": "exclude-table", "Z": "compress", "j": "jobs", "E": "encoding",
    "S": "superuser", "e": "extension",
}  # fmt: skip
_LONG = frozenset(
    {
        *_WITH_VALUE.values(),
        "exclude-database",
        "exclude-extension",
        "exclude-table-and-children",
        "exclude-table-data",
        "exclude-table-data-and-children",
        "extra-float-digits",
        "filter",
        "include-foreign-data",
        "lock-wait-timeout",
        "restrict-key",
        "role",
        "rows-per-insert",
        "section",
        "snapshot",
        "sync-method",
        "table-and-children",
    }
)


def options(words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Give options with their values, short ones by their long names; a word alone is the database."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            key, equals, value = word[2:].partition("=")
            if not equals and key in _LONG and rest:
                value = rest.pop(0)
            yield key, value
        elif word.startswith("-") and len(word) > 1:
            letters = word[1:]
            while letters:
                letter, letters = letters[0], letters[1:]
                if letter in _WITH_VALUE:
                    yield _WITH_VALUE[letter], letters or (rest.pop(0) if rest else "")
                    break
                yield letter, ""
        elif word:
            yield "dbname", word
