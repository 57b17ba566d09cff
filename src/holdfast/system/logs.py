"""Log lines on stderr, for people or as JSON, with secrets struck out. The one home of structlog.

structlog takes longer to import than `--help` may take, so it is imported at the first use.
"""

from __future__ import annotations

import logging
import re
import sys
from collections import deque
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING, Literal, TextIO, cast
from urllib.parse import quote

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor

Format = Literal["console", "json"]
Level = Literal["debug", "info", "warning", "error"]

MASK = "***"
_SHORTEST = 4  # characters; to strike out less would spoil every text, and show by the gaps what it was
_LEVELS: dict[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_SECRET_KEY = re.compile(
    r"(?i)(^|_|-)(pass(word|wd|phrase)?|secret|token|authorization|(secret|private|api)_?key)s?($|_|-)"
)
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*):[^\s/]*@")
_ASSIGNMENT = re.compile(
    r"(?i)(\b\w*(?:password|passwd|passphrase|secret|token)\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&'\"]+)"
)

_CONTROLS = {*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)} - {0x09, 0x0A}
_UNPRINTABLE = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _CONTROLS}  # noqa: PLR2004 - a byte

_secrets: set[str] = set()
_TAIL_LINES, _TAIL_LENGTH = 1000, 500
_tail: deque[tuple[object, str, str]] = deque(maxlen=_TAIL_LINES)  # target, time, line
_about: ContextVar[tuple[dict[str, object], ...]] = ContextVar("about", default=())  # the inner ones last


def register_secret(value: str) -> None:
    """Strike this text out of every later log line, also where it stands URL-quoted or in a `repr`.

    Not where it is too short to be a secret.
    """
    if len(value) >= _SHORTEST:
        _secrets.update({value, quote(value, safe="", errors="backslashreplace"), repr(value)[1:-1]})


def redacted(text: str) -> str:
    """Strike out registered secrets, passwords in URLs and the values of `password=` and its like."""
    for secret in sorted(_secrets.copy(), key=len, reverse=True):  # the longest first: one may hold another
        text = text.replace(secret, MASK)
    text = _USERINFO.sub(rf"\1:{MASK}@", text)
    return _ASSIGNMENT.sub(rf"\1{MASK}", text)


def tail(target: str, since: datetime | None = None) -> str:
    """The last lines that were logged about a target (since then), as plain text, redacted as all of them."""
    begin = "" if since is None else f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
    return "\n".join(line for about, at, line in list(_tail) if about == target and at >= begin)


def printable(text: str) -> str:
    """Write what would steer a terminal, turn the direction of writing or be no character as an escape.

    Names in a database may hold anything. Line breaks and tabs stay.
    """
    return text.translate(_UNPRINTABLE).encode("utf-8", "backslashreplace").decode()


def configure(*, format: Format = "console", level: Level = "info", quiet: bool = False) -> None:  # noqa: A002 - the config's word
    """Send log lines of at least `level` (`quiet`: of at least `warning`) to stderr, those of libraries too.

    `console` is a plain line a fact, coloured on a terminal; `json` one object a line. Times are UTC. Libraries
    that use the standard library's logging are heard from `warning` on.
    """
    structlog = _structlog()
    lowest = max(_LEVELS[level], logging.WARNING if quiet else 0)
    facts = _facts()
    structlog.configure(
        processors=[*facts, *_renderers(format)],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Stderr())),
        cache_logger_on_first_use=False,  # a later configure reaches loggers that exist
    )
    _configure_standard_logging(format, facts, max(lowest, logging.WARNING))


def _structlog() -> ModuleType:
    """Import structlog: slow, see the module's docstring, and twice as slow with rich, which it would take along."""
    if "structlog" not in sys.modules and "rich" not in sys.modules:
        hidden: dict[str, ModuleType | None] = cast("dict[str, ModuleType | None]", sys.modules)
        hidden["rich"] = None  # there is none, as far as `import` knows
        try:
            import structlog  # noqa: PLC0415
        finally:
            del hidden["rich"]
    import structlog  # noqa: PLC0415

    return structlog


def get_logger(**values: object) -> FilteringBoundLogger:
    """Give a logger that adds `values` to each line; with the default settings if nobody called `configure`."""
    structlog = _structlog()
    if not structlog.is_configured():
        configure()
    return cast("FilteringBoundLogger", structlog.get_logger(**values))


@contextmanager
def about(**facts: object) -> Iterator[None]:
    """Add these facts to every line that this thread logs in the `with`, unless the line tells of them itself."""
    token = _about.set((*_about.get(), facts))
    try:
        yield
    finally:
        _about.reset(token)


def learn(**facts: object) -> None:
    """Add facts that are known only now, such as the number of a run, to each `about` of this thread that lacks them."""
    for known in _about.get():
        for name, value in facts.items():
            known.setdefault(name, value)


class _Stderr:
    """stderr as it is at the time. Where nobody reads it any more, that is no reason to fail."""

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # its reader has gone, or it is closed
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def _facts() -> list[Processor]:
    """What makes a line, before it is rendered. Exceptions are text (without local variables) when redacted."""
    from structlog import processors  # noqa: PLC0415 - slow, see the module's docstring

    return [
        _add_about,
        processors.format_exc_info,
        _redact,
        processors.add_log_level,
        processors.TimeStamper(fmt="iso", utc=True),
        _remember,
    ]


def _renderers(format: Format) -> list[Processor]:  # noqa: A002 - the config's word
    structlog = _structlog()
    if format == "json":
        return [structlog.processors.JSONRenderer(sort_keys=False, ensure_ascii=False, default=repr)]
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )
    return [_make_printable, console]


def _add_about(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    for known in reversed(_about.get()):  # the inner ones win
        for name, value in known.items():
            event.setdefault(name, value)
    return event


def _remember(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """Keep the line for `tail`."""
    at, level, said = (str(event.get(name, "")) for name in ("timestamp", "level", "event"))
    facts = (
        f"{name}={value}" for name, value in event.items() if name not in {"timestamp", "level", "event"}
    )
    _tail.append((event.get("target"), at, printable(" ".join([at, level, said, *facts]))[:_TAIL_LENGTH]))
    return event


def _make_printable(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    return {
        name: printable(value) if isinstance(value, str) else value  # other values are shown by their `repr`
        for name, value in event.items()
    }


def _configure_standard_logging(format: Format, facts: list[Processor], lowest: int) -> None:  # noqa: A002 - as above
    from structlog.stdlib import ProcessorFormatter  # noqa: PLC0415 - slow, see the module's docstring

    handler = logging.StreamHandler(cast("TextIO", _Stderr()))
    handler.set_name("holdfast")
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=facts,
            processors=[ProcessorFormatter.remove_processors_meta, *_renderers(format)],
        )
    )
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.get_name() == "holdfast"]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(lowest)


def _redact(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    return {name: _redact_value(name, value) for name, value in event.items()}


def _redact_value(name: str, value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if _SECRET_KEY.search(name):
        return MASK
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {str(key): _redact_value(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_value("", item) for item in value]
    return redacted(str(value))
