"""Where a server is and how to log in, for our own connections and for child programs.

A secret never stands in a child's argv, in its environment or on disk: the password reaches it through an anonymous
memory file that libpq reads as its password file.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from psycopg import ProgrammingError, pq
from psycopg.conninfo import conninfo_to_dict

from holdfast.model.errors import ConfigError

CONNECT_TIMEOUT = 30
_KEPT = frozenset({"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR"})
_KEPT_PREFIXES = ("LC_", "SSL_CERT", "KRB5")
_SECRETS = frozenset(
    {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
)
# What libpq says without the text that it quotes, which may be (a piece of) the password.
_COMPLAINTS = {
    'missing "="': "a keyword without its =",
    "invalid connection option": "an unknown keyword",
    "invalid URI query parameter": "an unknown parameter",
    "invalid percent-encoded token": "a % that is not followed by two hexadecimal digits",
    "forbidden value %00": "%00 stands for no character",
    "unterminated quoted string": "a quote that is not closed",
    "unexpected character": "an unexpected character after the host",
    "extra key/value separator": "a parameter with two =",
    "missing key/value separator": "a parameter without its =",
    "end of string": "a bracket of an IPv6 address that is not closed",
    "IPv6 host address": "an empty IPv6 address",
}
_WRITE = "Write postgresql://user@host:5432/database, special characters as %XX, or key='value' pairs."
_ENCODE = (
    "In a user name or password write @ as %40, / as %2F, : as %3A, % as %25; or put the password into a file"
    " (password_file). Pairs (host=… port=…) have spaces between them."
)
_URI = re.compile(r"postgres(?:ql)?://[^@/]*(@?)(.*)", re.DOTALL)
_NO_HOST = re.compile(r"[@;=\s]")


# What keeps the PG* variables, which may speak of another server, from an isolated connection of our own.
_SHIELD = {
    "hostaddr": "",
    "options": "",
    "sslmode": "disable",
    "gssencmode": "disable",
    "channel_binding": "disable",
    "requirepeer": "",
    "target_session_attrs": "any",
    "client_encoding": "UTF8",
}
_SHIELD_SINCE = {
    160_000: ("require_auth", "none,scram-sha-256,md5,password"),
    170_000: ("sslnegotiation", "postgres"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conninfo:
    """Connection parameters by libpq's keywords, without the password. What is missing libpq finds in its own ways.

    When `isolated`, such as for a scratch cluster, it finds nothing in PG* variables.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    password: str | None = field(default=None, repr=False)
    isolated: bool = False

    @property
    def database(self) -> str | None:
        """The database's name, or None where libpq decides."""
        return self.params.get("dbname")

    @property
    def has_secrets(self) -> bool:
        """Whether a password or its like is in it."""
        return bool(self.password) or not _SECRETS.isdisjoint(self.params)

    def with_database(self, name: str) -> Conninfo:
        """Name another database of the same server, as the same user."""
        return replace(self, params={**self.params, "dbname": name})

    def with_setting(self, name: str, value: str) -> Conninfo:
        """Have a server setting in every session, after the options that there are; not where it would hide a service's."""
        outside = {} if self.isolated else os.environ
        if "options" not in self.params and _from_service(self.params, outside):
            return self
        given = [self.params.get("options", outside.get("PGOPTIONS")), _options({name: value})]
        return replace(self, params={**self.params, "options": " ".join(filter(None, given))})

    def at_server(self) -> Conninfo:
        """Name the database `postgres` where none is named anywhere: libpq would guess the user's name."""
        if self.database or _from_service(self.params, os.environ) or os.environ.get("PGDATABASE"):
            return self
        return self.with_database("postgres")

    def dsn(self) -> str:
        """Give the keyword string for psycopg.connect. It holds the password: never log it."""
        params = {**(_shield() if self.isolated else {}), **self.params}
        if self.password:
            params["password"] = self.password
        outside = {} if self.isolated else os.environ
        if not _from_service(self.params, outside) and "PGCONNECT_TIMEOUT" not in outside:
            params.setdefault("connect_timeout", str(CONNECT_TIMEOUT))
        return keyword_string(params)

    def argv_dsn(self, dbname: str | None = None) -> str:
        """Give the keyword string, without secrets, for `--dbname=` of a program run in the environment of `child`."""
        left_out = _SECRETS | {"options"}  # `child` puts the options into PGOPTIONS, which they would hide
        if self.password:
            left_out |= {"passfile"}  # or it would hide the password
        params = {key: value for key, value in self.params.items() if key not in left_out}
        return keyword_string(params if dbname is None else params | {"dbname": dbname})

    @property
    def safe(self) -> str:
        """Text for messages and logs, such as `db.example:5432/app as backup`. No secret in it."""
        service = self._shown("service")
        host = self._shown("host") or self._shown("hostaddr", "") or "local socket"
        port = self._shown("port")
        place = f"service {service}" if service else f"{host}:{port}" if port else host
        database, user = self._shown("dbname", "PGDATABASE"), self._shown("user")
        return place + (f"/{database}" if database else "") + (f" as {user}" if user else "")

    def _shown(self, key: str, variable: str | None = None) -> str | None:
        outside = None if self.isolated else os.environ.get(variable or f"PG{key.upper()}")
        return self.params.get(key) or outside or None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEnv:
    """The whole environment of a child program, and the file descriptors that it must inherit."""

    env: Mapping[str, str] = field(repr=False)
    pass_fds: tuple[int, ...] = ()


def parse(
    url: str | None, *, password: str | None = None, environ: Mapping[str, str] | None = None
) -> Conninfo:
    """Read a libpq URI or keyword string; None leaves everything to libpq (service file, PG* variables).

    `password` beats the one in `url`, which beats PGPASSWORD of `environ` (default: this process's). Raise
    ConfigError, which never quotes the text, when it is malformed or holds a secret that no child can be given.
    """
    try:
        raw = conninfo_to_dict(url or "")
    except (ProgrammingError, UnicodeError) as error:
        # `from None`: the cause quotes the text, and a traceback would show the password in it.
        raise ConfigError(
            f"malformed PostgreSQL URL: {_complaint(str(error))}",
            hint=_WRITE,
        ) from None
    params = {key: str(value) for key, value in raw.items() if value is not None}
    if misread := _misread(url or "", params):
        raise ConfigError(misread, hint=_ENCODE) from None
    inside = params.pop("password", None)
    for key in sorted(_SECRETS & params.keys()):
        raise ConfigError(
            f"{key} in a PostgreSQL URL cannot be handed to pg_dump without showing it",
            hint="Put it into a service file (pg_service.conf) and name the service in the URL: service=NAME.",
        )
    env = os.environ if environ is None else environ
    outside = None if _from_service(params, env) else env.get("PGPASSWORD")
    secret = password or inside or outside or None
    _check_text(params, secret)
    return Conninfo(params=params, password=secret)


def _misread(url: str, params: Mapping[str, str]) -> str | None:
    """Tell where a password with special characters was cut in the wrong place; a piece of it would be shown as a host.

    libpq ends it at the first @, and takes a / before that for the end of the host.
    """
    if (uri := _URI.match(url)) and "@" in uri[2].partition("?")[0]:
        return "malformed PostgreSQL URL: an @ after the one before the host, or after a /"
    hosts = [host for host in params.get("host", "").split(",") if not host.startswith(("/", "@"))]
    if any(map(_NO_HOST.search, hosts)):
        return "malformed PostgreSQL URL: the host holds characters that no host name has"
    if any(port and not port.isdecimal() for port in params.get("port", "").split(",")):
        return "malformed PostgreSQL URL: the port is not a number"
    return None


def _complaint(message: str) -> str:
    return next((said for phrase, said in _COMPLAINTS.items() if phrase in message), "it cannot be read")


def _from_service(params: Mapping[str, str], environ: Mapping[str, str]) -> bool:
    """Whether a service file has its say: it comes before the environment, and after the parameters."""
    return bool(params.get("service") or environ.get("PGSERVICE"))


def _check_text(params: Mapping[str, str], password: str | None) -> None:
    if password and any(character in password for character in "\n\r\0"):
        raise ConfigError(
            "the PostgreSQL password contains a line break",
            hint="A password file of libpq cannot hold it: remove the line break, or set another password.",
        )
    if any("\0" in value for value in params.values()):
        raise ConfigError("a PostgreSQL connection parameter contains a zero byte")


def _shield() -> dict[str, str]:
    newer = (pair for since, pair in _SHIELD_SINCE.items() if pq.version() >= since)
    return {**_SHIELD, **dict(newer)}


def keyword_string(params: Mapping[str, str]) -> str:
    r"""Write parameters as libpq reads them: each value quoted, `\` and `'` escaped, so that any text survives."""
    return " ".join(f"{key}={_quoted(value)}" for key, value in params.items())


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def base_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give what any child may see of this process's environment: nothing of PostgreSQL's, nothing of ours.

    Its messages are in English.
    """
    source = os.environ if environ is None else environ
    kept = {k: v for k, v in source.items() if k in _KEPT or k.startswith(_KEPT_PREFIXES)}
    if everything := kept.pop("LC_ALL", None):  # beats LC_MESSAGES
        kept = {k: v for k, v in kept.items() if k != "LANG" and not k.startswith("LC_")}
        kept["LC_CTYPE"] = everything
    kept["LC_MESSAGES"] = "C"  # what is printed is searched for English words
    return kept


@contextlib.contextmanager
def child(
    conninfo: Conninfo,
    *,
    application_name: str,
    options: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[ChildEnv]:
    """Give the environment for a program that connects with `conninfo.argv_dsn()`; valid inside the `with`.

    `options` are server settings for its session (PGOPTIONS). Of the environment it gets what `base_environment`
    gives and PG* variables; the password comes from a memory file (elsewhere than on Linux: a private temporary
    file, gone at the end of the `with`).
    """
    source = os.environ if environ is None else environ
    env = base_environment(source)
    outside = {} if conninfo.isolated else {k: v for k, v in source.items() if k.startswith("PG")}
    stray = outside.pop("PGPASSWORD", None)  # in the child's environment it would beat the password file
    secret = conninfo.password or stray
    env |= outside
    env["PGAPPNAME"] = application_name
    env.setdefault("PGCONNECT_TIMEOUT", str(CONNECT_TIMEOUT))
    given = conninfo.params.get("options", env.get("PGOPTIONS", ""))
    if said := " ".join(filter(None, [given, _options(options or {})])):
        env["PGOPTIONS"] = said
    with _passfile(secret) as (path, fds):
        if path:
            env["PGPASSFILE"] = path
        yield ChildEnv(env=env, pass_fds=fds)


def _options(settings: Mapping[str, str]) -> str:
    """Write settings as the server splits them: at spaces that no backslash precedes."""
    words = (f"{name}={value}" for name, value in settings.items())
    return " ".join(f"-c {''.join(map(_escaped, word))}" for word in words)


def _escaped(character: str) -> str:
    return f"\\{character}" if character == "\\" or character.isspace() else character


@contextlib.contextmanager
def _passfile(password: str | None) -> Iterator[tuple[str | None, tuple[int, ...]]]:
    if not password:
        yield None, ()
        return
    _check_text({}, password)
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    line = f"*:*:*:*:{escaped}\n".encode("utf-8", "surrogateescape")
    handle = _memory_file()
    if handle is None:
        with tempfile.TemporaryDirectory(prefix="holdfast-") as directory:  # 0700
            yield str(_private_file(Path(directory) / "pgpass", line)), ()
        return
    try:
        os.fchmod(handle, 0o600)  # libpq ignores a password file that others may read
        os.write(handle, line)
        yield f"/proc/self/fd/{handle}", (handle,)
    finally:
        os.close(handle)


def _memory_file() -> int | None:
    """Make an empty memory file; None where there are none, or they are forbidden (vm.memfd_noexec, seccomp)."""
    if not hasattr(os, "memfd_create") or not Path("/proc/self/fd").is_dir():
        return None
    try:
        return os.memfd_create("holdfast", os.MFD_CLOEXEC)
    except OSError:
        return None


def _private_file(path: Path, content: bytes) -> Path:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    return path
