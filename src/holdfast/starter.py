"""Writes a first config for `holdfast init`: short, commented, with the answers filled in. Cheap to import."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote, urlencode

from holdfast.model.script_reading import Reading

EXAMPLE_RECIPIENT = "age1..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What `holdfast init` asks for; every answer has a default that makes sense.

    `url` is a libpq URI, best without the password, which then lies in `password_file`. `store` is a path or a URL.
    Without `recipients` and with `encrypt` the config says what is missing, and is refused until it is filled in.
    `selection` are further keys of the target, such as `exclude_tables`.
    """

    target: str = "main"
    url: str = field(default="postgresql://postgres@localhost:5432", repr=False)
    password_file: str | None = None
    databases: tuple[str, ...] | None = None
    store: str = "/var/backups/holdfast"
    recipients: tuple[str, ...] = ()
    encrypt: bool = True
    identity_file: str | None = None
    signing_key_file: str | None = None
    schedule: str = "@daily"
    timezone: str = "UTC"
    state_dir: str | None = None
    endpoint: str | None = None
    profile: str | None = None
    selection: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def answers_of(reading: Reading) -> Answers:
    """Turn what was read of a script into answers. Where it tells nothing, they are those of `init`."""
    default = Answers()
    own = f"{reading.bucket or reading.directory}/holdfast" if reading.bucket or reading.directory else None
    return replace(
        default,
        url=_url(reading),
        databases=None if reading.every_database or not reading.databases else tuple(reading.databases),
        store=own or default.store,
        endpoint=reading.endpoint if reading.bucket else None,
        profile=reading.profile if (reading.bucket or "").startswith("s3://") else None,
        schedule=reading.schedule or default.schedule,
        selection={key: tuple(found) for key, found in reading.selection.items() if found},
    )


def _url(reading: Reading) -> str:
    further = {key: value for key, value in reading.server.items() if key not in {"host", "port", "username"}}
    host = quote(reading.host or ("" if "service" in further else "localhost"), safe="")
    database = (
        "" if reading.every_database or not reading.databases else f"/{quote(reading.databases[0], safe='')}"
    )
    port = f":{reading.port}" if reading.port else ""
    user = reading.user or ("" if "service" in further else "postgres")
    whom = f"{quote(user, safe='')}@" if user else ""
    query = f"?{urlencode(further, quote_via=quote)}" if further else ""
    return f"postgresql://{whom}{host}{port}{database or ('/' if query else '')}{query}"


def put_in(reading: Reading) -> tuple[str, ...]:
    """Name what the config has to have and the script does not tell, with what stands there in its place."""
    given = (
        ("the server", reading.host or "service" in reading.server, "localhost"),
        ("the role", reading.user or "service" in reading.server, "postgres"),
        ("the databases", reading.every_database or reading.databases, "all"),
        ("where the dumps go", reading.bucket or reading.directory, Answers().store),
        ("when", reading.schedule, Answers().schedule),
    )
    return tuple(f"{what} ({default} is put in)" for what, known, default in given if not known)


def starter_config(answers: Answers) -> str:
    """Give the text of a config file (TOML) that `holdfast.config.loading.load` takes."""
    sections = (_head(), _daemon(answers), _encryption(answers), _store(answers), _target(answers))
    return "\n".join(sections)


def _head() -> str:
    return (
        "# Holdfast's configuration. Every key can also be set by a variable, such as HOLDFAST_DAEMON__TIMEZONE.\n"
        "# All keys: docs/reference/config.md and config.example.toml. Check this file with `holdfast check`.\n"
    )


def _daemon(answers: Answers) -> str:
    return (
        "[daemon]\n"
        "# Where Holdfast keeps its memory (the ledger) and its signing key.\n"
        f"{_line('state_dir', answers.state_dir, '/var/lib/holdfast')}"
        "# The time zone of the schedules.\n"
        f"timezone = {text(answers.timezone)}\n"
    )


def _encryption(answers: Answers) -> str:
    lines = ["[encryption]"]
    if answers.recipients:
        lines += [
            "# Backups are encrypted to these public keys. Keep the private key (identity) away from this host, twice.",
            f"recipients = {_list(answers.recipients)}",
        ]
    elif answers.encrypt:
        lines += [
            "# Backups are encrypted to these public keys. Make a pair with `holdfast keygen -o identity.txt`, put the",
            "# recipient that it prints here, and keep the private key (identity.txt) away from this host, twice.",
            f"# recipients = [{text(EXAMPLE_RECIPIENT)}]",
        ]
    else:
        lines += [
            "# Backups are NOT encrypted: whoever can read the store can read the data.",
            "enabled = false",
        ]
    lines.append("# Only a host that tests restores has the identity.")
    return (
        "\n".join(lines)
        + "\n"
        + _line("identity_file", answers.identity_file, "identity.txt")
        + "# With what this host signs its backups. Default: signing.key in the state_dir, made when missing.\n"
        + _line("signing_key_file", answers.signing_key_file, "holdfast-signing.key")
    )


def _store(answers: Answers) -> str:
    return (
        "[stores.main]\n"
        "# A directory on another disk than the database's, or s3://bucket/prefix.\n"
        f"url = {text(answers.store)}\n"
        + (f"endpoint_url = {text(answers.endpoint)}\n" if answers.endpoint is not None else "")
        + (f"profile = {text(answers.profile)}\n" if answers.profile is not None else "")
    )


def _target(answers: Answers) -> str:
    chosen = text("all") if answers.databases is None else _list(answers.databases)
    return (
        f"[targets.{answers.target}]\n"
        "# The server. The password may stand in a file of its own, in ~/.pgpass or in a service file.\n"
        f"url = {text(answers.url)}\n"
        f"{_line('password_file', answers.password_file, '/etc/holdfast/password')}"
        '# "all", or a list of names.\n'
        f"databases = {chosen}\n"
        '# "@hourly", "@daily", "@weekly", "@monthly", five cron fields, or "" for none.\n'
        f"schedule = {text(answers.schedule)}\n"
        + "".join(f"{key} = {_list(values)}\n" for key, values in answers.selection.items())
    )


def _line(key: str, value: str | None, example: str) -> str:
    return f"# {key} = {text(example)}\n" if value is None else f"{key} = {text(value)}\n"


def text(value: str) -> str:
    """Write a TOML string: JSON's form, but for one character that JSON leaves as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(values: tuple[str, ...]) -> str:
    return f"[{', '.join(map(text, values))}]"
