"""Reads the values of the config: text or TOML values in, plain values out, ValueError for what makes no sense.

No message repeats the value of something that may be a secret. Cheap to import.
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from zoneinfo import available_timezones

from holdfast.model import layout
from holdfast.model import schedule as schedules
from holdfast.stores.base import check_key
from holdfast.streams import bech32

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import SecretStr

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_WHOLE = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmg])(i?)b?|b)?(?:/s)?", re.IGNORECASE)
_SMALLEST_RATE = 1024
_LISTEN = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]/]+):(?P<port>[0-9]{1,5})")
_HIGHEST_PORT = 65535
_SIGNER = re.compile(r"RW[A-Za-z0-9+/]{54}")
_RECIPIENT_BYTES = {"age": 32, "age1pq": 1216}
_URL_PASSWORDS = (  # libpq ends it at the first @; who wrote it may have meant the last
    re.compile(r"://[^/:@]*:([^/@]*)@"),
    re.compile(r"://[^/:@]*:([^/]*)@"),
)
_URL_NAMES = (
    re.compile(r"://([^/:@?]+)[:@]"),
    re.compile(r"://[^/?]*/([^/?]+)"),
    re.compile(r"\b(?:user|dbname)\s*=\s*'?([^\s'&]+)"),
)
_PARAMETER_PASSWORD = re.compile(r"[?&]password=([^&#]+)")
_KEYWORD_PASSWORD = re.compile(r"\bpassword\s*=\s*(?:'((?:\\.|[^'\\])*)'|([^\s'][^\s]*))")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Find the known name that was probably meant."""
    matches = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def words(value: object) -> object:
    """Read a list: a TOML list as it is, text as a JSON list or as words between commas."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            raise ValueError("it begins like a JSON list but is not one") from None  # the cause quotes it
    return [word.strip() for word in text.split(",") if word.strip()]


def filled(items: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse empty items and those that stand there twice."""
    if not all(items):
        raise ValueError("an item is empty")
    if len(set(items)) < len(items):
        raise ValueError("an item is there twice")
    return items


def databases(value: object) -> object:
    """Read a list of names, or None for `all`."""
    return None if value == "all" else words(value)


def duration(value: object) -> float:
    """Read a time in seconds, or a number with ms, s, m, h or d behind it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise ValueError('a duration was expected, such as 60, "90s", "5m", "2h" or "1d"')
        seconds = float(match[1]) * _SECONDS[match[2] or "s"]
    if not 0 < seconds < float("inf"):
        raise ValueError("a duration longer than 0 was expected")
    return seconds


def limit(value: object) -> float | None:
    """Read a duration, or None for `off`."""
    return None if value == "off" else duration(value)


def optional_duration(value: object) -> float | None:
    """Read a duration, or None for none."""
    return None if value is None else limit(value)


def rate(value: object) -> float:
    """Read bytes a second: a number, or text such as 20MB or 512KiB/s."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    else:
        match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise ValueError('bytes a second were expected, such as "20MB" or "512KiB"')
        base = 1024 if match[3] else 1000
        found = float(match[1]) * base ** (" kmg".index((match[2] or " ").lower()))
    if not _SMALLEST_RATE <= found < float("inf"):
        raise ValueError("1 KiB a second is the least")
    return found


def optional_rate(value: object) -> float | None:
    """Read bytes a second, or None for no limit."""
    return None if value is None or value == "off" else rate(value)


def secret_text(secret: SecretStr | None) -> str | None:
    """The value of a secret, or None."""
    return None if secret is None else secret.get_secret_value()


def path_problem(text: str) -> str | None:
    """Tell what a shell would have replaced in a path; taken as it stands, a directory of that name would come into being."""
    if text.startswith("~") and text != "~" and not text.startswith("~/"):
        return f"{text.partition('/')[0]} is not replaced: write the path out, or ~/ for this user's home"
    if text.startswith("$") or "${" in text:
        return "variables are not replaced in a path: write it out"
    if "\0" in text:
        return "no path has a null character"
    return None


def prefix(text: str) -> str:
    """Check the path in a bucket that everything of ours lies under."""
    inner = text.strip("/")
    try:
        return check_key(inner) if inner else ""
    except ValueError as error:
        raise ValueError(
            "a path such as backups/shop was expected, of plain letters, without . and .."
        ) from error


def bucket(text: str) -> str:
    """Check the name of a bucket, container or account."""
    if "/" in text or not text.isprintable() or " " in text:
        raise ValueError("a bare name was expected; a path inside it goes into prefix")
    return text


def endpoint(text: str) -> str:
    """Check the address of a service."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ValueError("https://host or http://host:port was expected")
    if "@" in parts.netloc or "?" in text or "#" in text:
        raise ValueError(
            "https://host or http://host:port was expected; a login or token goes into keys of the config"
        )
    return text


def bucket_and_prefix(rest: str, form: str) -> tuple[str, str]:
    """Split what stands behind `s3://` and its like. Raise ValueError, quoting nothing, where more than `form` is said."""
    name, _, inner = rest.partition("/")
    if not name or "@" in name or "?" in rest or "#" in rest:
        raise ValueError(f"{form} was expected; a login, a region or an address has keys of its own")
    return name, inner


def timezone(name: str) -> str:
    """Check the name of a time zone."""
    try:
        schedules.time_zone(name)
    except ValueError as error:
        known = available_timezones()
        if not known:
            raise ValueError("this machine knows no time zone but UTC: install tzdata") from error
        close = nearest(name, known)
        place = close is not None and "/" in name  # the nearest abbreviation is another zone
        meant = f"; did you mean {close}?" if place else "; write one such as Europe/Berlin, or UTC"
        raise ValueError(f"no time zone of that name{meant}") from error
    return name


def listen(text: str) -> str:
    """Check `host:port`; an IPv6 host stands in brackets."""
    address(text)
    return text


def user(text: str) -> str:
    """Check the name in a login: HTTP ends it at the first colon."""
    if not text or ":" in text or not text.isprintable():
        raise ValueError("a name without a colon was expected")
    return text


def address(text: str) -> tuple[str, int]:
    """Read `host:port`. Port 0 means any free one."""
    match = _LISTEN.fullmatch(text)
    if match is None or int(match["port"]) > _HIGHEST_PORT:
        raise ValueError("host:port was expected, such as 127.0.0.1:9853 or [::1]:9853")
    return match["host"].strip("[]"), int(match["port"])


def target_name(name: str) -> str:
    """Check the name of a target."""
    return layout.check_target(name)


def store_name(name: str) -> str:
    """Check the name of a store: the rules are those of a target's."""
    try:
        return layout.check_target(name)
    except ValueError as error:
        raise ValueError(str(error).replace("a target", "a store")) from error


def recipient(text: str) -> str:
    """Check an age recipient: its shape, length and checksum."""
    if text.upper().startswith("AGE-SECRET-KEY-"):
        raise ValueError("this is an identity (a private key): put its recipient, age1…, here instead")
    try:
        prefix, data = bech32.decode(text)
    except ValueError as error:
        raise ValueError(f"not an age recipient: {error}; `holdfast keygen` prints one") from error
    if _RECIPIENT_BYTES.get(prefix) != len(data):
        raise ValueError("not an age recipient: age1… or age1pq1… was expected")
    return text


def recipients(items: tuple[str, ...]) -> tuple[str, ...]:
    """Check recipients as a whole, each once: age refuses a mixture of post-quantum ones and others."""
    if len({item.startswith("age1pq1") for item in items}) > 1:
        raise ValueError("post-quantum recipients (age1pq1…) cannot be mixed with others (age1…)")
    return tuple(dict.fromkeys(items))


def signer(text: str) -> str:
    """Check the shape of a signer's public key."""
    if not _SIGNER.fullmatch(text):
        raise ValueError("not a signer's public key: RW… of 56 characters was expected")
    return text


def schedule(text: str) -> str:
    """Check a schedule: `@daily` and its like, five cron fields, or empty for none."""
    text = " ".join(text.split()).lower()
    if text.startswith("every"):
        raise ValueError('an interval has a key of its own: every = "6h"')
    close = (
        nearest(text, schedules.WORDS)
        if re.fullmatch(r"@\w+", text) and text not in schedules.WORDS
        else None
    )
    if close is not None:
        raise ValueError(f"no such word; did you mean {close}?")
    return schedules.parse(text).text if text else text


def interval(value: object) -> str:
    """Read a duration of whole seconds as a rule: `every 6h`."""
    seconds = duration(value)
    if seconds != int(seconds):
        raise ValueError("whole seconds were expected")
    unit, length = next((unit, length) for unit, length in _WHOLE if seconds % length == 0)
    return schedules.parse(f"every {int(seconds) // length}{unit}").text


def target_url(text: str) -> str:
    """Check the shape of a libpq URI or keyword string; postgres.conninfo reads it."""
    if not re.match(r"(?i:postgres(ql)?)://|\s*\w+\s*=", text):
        raise ValueError("postgresql://user@host:5432/database or key=value pairs were expected")
    return text


def secret_target_url(url: SecretStr) -> SecretStr:
    """Check the shape of one that is a secret."""
    target_url(url.get_secret_value())
    return url


def passwords_in(url: str) -> frozenset[str]:
    """Find the passwords in a libpq URI or keyword string, as they stand there and decoded."""
    found = {match[1] for expression in _URL_PASSWORDS for match in expression.finditer(url)}
    found |= {match[1] for match in _PARAMETER_PASSWORD.finditer(url)}
    found |= {unquote(text) for text in found}
    for match in _KEYWORD_PASSWORD.finditer(url):
        text = match[1] if match[1] is not None else match[2]
        found |= {text, re.sub(r"\\(.)", r"\1", text)}
    return frozenset(found - {""})


def login_secrets(url: str, password: str | None) -> frozenset[str]:
    """Find what may not be shown of a login: the passwords, unless they are the user's or the database's name.

    Those stand everywhere: struck out, they would be shown by the gap.
    """
    open_words = {unquote(match[1]) for expression in _URL_NAMES for match in expression.finditer(url)}
    return (passwords_in(url) | frozenset(filter(None, [password]))) - open_words
