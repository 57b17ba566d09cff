"""The kinds of channels in the config: one frozen model a kind, and what they can contradict themselves in.

A new channel is one model here and its entry in `ChannelSettings`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from holdfast.config import values
from holdfast.config.values import secret_text
from holdfast.jobs.notifying import Subscription
from holdfast.model.run import Job
from holdfast.notify.base import Channel

_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+")
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_TOKEN = 8
_WORDS = re.compile(r"[a-z._{}-]*|[a-z0-9-]+(\.[a-z0-9-]+)+")  # the second: a host
_PLACEHOLDERS = {"target", "job"}
_ROUTINE: tuple[Job, ...] = (
    "backup",
    "restore_test",
    "prune",
    "verify",
    "copy",
    "canary",
    "objects",
    "provider",
)

PeopleKind = Literal["failure", "recovery", "success", "anomaly", "overdue"]
PingKind = Literal["start", "success", "failure"]


def _http(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not re.fullmatch(r"[!-~]+", text):
        raise ValueError("https://host/path was expected")
    if "@" in parts.netloc:
        raise ValueError("a login does not belong in the URL")
    return url


def _ping(url: SecretStr) -> SecretStr:
    strange = set(re.findall(r"\{([^{}]*)\}", url.get_secret_value())) - _PLACEHOLDERS
    if strange:
        raise ValueError("in braces there may be {target} and {job} only")
    return _http(url)


def _services(url: SecretStr) -> SecretStr:
    if "://" not in url.get_secret_value():
        raise ValueError("a URL of apprise was expected, such as tgram://TOKEN/CHAT")
    return url


def _addresses(items: tuple[str, ...]) -> tuple[str, ...]:
    for item in items:
        if not _ADDRESS.fullmatch(item):
            raise ValueError(f"{item!r} is not a mail address; write name@example.com alone")
    return items


Address = Annotated[str, AfterValidator(lambda text: _addresses((text,))[0])]
Url = Annotated[SecretStr, AfterValidator(_http)]
Words = BeforeValidator(values.words)
Filled = AfterValidator(values.filled)


class _Settings(BaseModel):
    """What all channels have in common: no unknown keys, no changes, no values in messages; and whom they are about."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    jobs: Annotated[tuple[Job, ...], Words, Filled] = _ROUTINE
    targets: Annotated[tuple[str, ...] | None, BeforeValidator(values.databases)] = None


class _ForPeople(_Settings):
    on: Annotated[tuple[PeopleKind, ...], Words, Filled] = ("failure", "recovery", "anomaly", "overdue")


class WebhookSettings(_ForPeople):
    """`type = "webhook"`: JSON to a URL."""

    type: Literal["webhook"]
    url: Url
    url_file: Path | None = None
    token: SecretStr | None = None
    token_file: Path | None = None
    secret: SecretStr | None = None
    secret_file: Path | None = None
    ca_bundle: Path | None = None

    def open(self, name: str) -> Channel:
        """Make the channel."""
        from holdfast.notify.webhook import Webhook  # noqa: PLC0415 - only the kinds in use are imported

        return Webhook(
            name=name,
            url=self.url.get_secret_value(),
            token=secret_text(self.token),
            secret=secret_text(self.secret),
            ca_bundle=self.ca_bundle,
        )

    def problem(self) -> str | None:
        """Tell what the keys contradict each other in, or None."""
        return _unheard_of(self.on)


class SlackSettings(_ForPeople):
    """`type = "slack"`: an incoming webhook of Slack or of what speaks its language."""

    type: Literal["slack"]
    url: Url
    url_file: Path | None = None
    ca_bundle: Path | None = None

    def open(self, name: str) -> Channel:
        """Make the channel."""
        from holdfast.notify.slack import Slack  # noqa: PLC0415 - only the kinds in use are imported

        return Slack(name=name, url=self.url.get_secret_value(), ca_bundle=self.ca_bundle)

    def problem(self) -> str | None:
        """Tell what the keys contradict each other in, or None."""
        return _unheard_of(self.on)


class EmailSettings(_ForPeople):
    """`type = "email"`: mail over SMTP."""

    type: Literal["email"]
    host: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9.:_-]+$")]
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    tls: Literal["starttls", "tls", "none"] = "starttls"
    allow_plaintext: bool = False
    sender: Address
    to: Annotated[tuple[str, ...], Field(min_length=1), Words, Filled, AfterValidator(_addresses)]
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    ca_bundle: Path | None = None

    def open(self, name: str) -> Channel:
        """Make the channel."""
        from holdfast.notify.mail import Mail  # noqa: PLC0415 - only the kinds in use are imported

        return Mail(
            name=name,
            host=self.host,
            port=self.port or _PORTS[self.tls],
            sender=self.sender,
            to=self.to,
            tls=self.tls,
            username=self.username,
            password=secret_text(self.password),
            ca_bundle=self.ca_bundle,
        )

    def problem(self) -> str | None:
        """Tell what the keys contradict each other in, or None."""
        if self.tls == "none" and not self.allow_plaintext and not _is_loopback(self.host):
            return 'tls = "none" sends everything in the clear to another machine: say allow_plaintext = true, or use TLS'
        if (self.username is None) != (self.password is None):
            return "username and password go together: set both or neither"
        return _unheard_of(self.on)


class AppriseSettings(_ForPeople):
    """`type = "apprise"`: one of the services that the package apprise knows."""

    type: Literal["apprise"]
    url: Annotated[SecretStr, AfterValidator(_services)]
    url_file: Path | None = None

    def open(self, name: str) -> Channel:
        """Make the channel; the package is needed when it is first used."""
        from holdfast.notify.apprise import Apprise  # noqa: PLC0415 - only the kinds in use are imported

        return Apprise(name=name, url=self.url.get_secret_value())

    def problem(self) -> str | None:
        """Tell what the keys contradict each other in, or None."""
        return _unheard_of(self.on)


class HeartbeatSettings(_Settings):
    """`type = "heartbeat"`: a monitor that expects a ping from every run."""

    type: Literal["heartbeat"]
    on: Annotated[tuple[PingKind, ...], Words, Filled] = ("start", "success", "failure")
    jobs: Annotated[tuple[Job, ...], Words, Filled] = ("backup",)
    url: Annotated[SecretStr, AfterValidator(_ping)]
    url_file: Path | None = None
    ca_bundle: Path | None = None

    def open(self, name: str) -> Channel:
        """Make the channel."""
        from holdfast.notify.heartbeat import Heartbeat  # noqa: PLC0415 - only the kinds in use are imported

        return Heartbeat(name=name, url=self.url.get_secret_value(), ca_bundle=self.ca_bundle)

    def problem(self) -> str | None:
        """Tell what the keys contradict each other in, or None."""
        if len(self.jobs) > 1 and "{job}" not in self.url.get_secret_value():
            return "pings of several jobs at one check would hide each other: put {job} into the url, or name one job"
        return None


ChannelSettings = Annotated[
    WebhookSettings | SlackSettings | EmailSettings | AppriseSettings | HeartbeatSettings,
    Field(discriminator="type"),
]

KINDS: dict[str, Any] = {
    get_args(kind.model_fields["type"].annotation)[0]: kind for kind in get_args(get_args(ChannelSettings)[0])
}


def channel_name(name: str) -> str:
    """Check the name of a channel: the rules are those of a target's."""
    try:
        return values.target_name(name)
    except ValueError as error:
        raise ValueError(str(error).replace("a target", "a channel")) from error


def subscription(name: str, settings: ChannelSettings) -> Subscription:
    """The channel, and what it is to be told."""
    return Subscription(
        channel=settings.open(name),
        on=frozenset(settings.on),
        jobs=frozenset(settings.jobs),
        targets=None if settings.targets is None else frozenset(settings.targets),
    )


def secrets(settings: ChannelSettings) -> frozenset[str]:
    """The secret values, and of URLs the pieces too: an answer may repeat one of them."""
    written = [getattr(settings, name) for name in settings.model_fields_set]
    found = {each.get_secret_value() for each in written if isinstance(each, SecretStr)}
    return frozenset(found).union(*(_tokens(text) for text in found if "://" in text))


def _tokens(url: str) -> set[str]:
    """The pieces of a URL that may be tokens: long, and more than words."""
    pieces = re.split(r"[/:@?&=]+", url)
    return {piece for piece in pieces if len(piece) >= _TOKEN and not _WORDS.fullmatch(piece)}


def problems(
    channels: Mapping[str, ChannelSettings], targets: Collection[str]
) -> Iterator[tuple[str, str | None, str]]:
    """Find what cannot be meant: the channel, the key where it is one, and why. `targets` are those of the config."""
    for name, settings in channels.items():
        if text := settings.problem():
            yield name, None, text
        for target in settings.targets or ():
            if target not in targets:
                close = values.nearest(target, targets)
                yield name, "targets", f"no target {target!r}" + (f"; did you mean {close}?" if close else "")
        if (
            settings.type == "heartbeat"
            and len(targets if settings.targets is None else settings.targets) > 1
            and "{target}" not in settings.url.get_secret_value()
        ):
            yield (
                name,
                "url",
                "pings of several targets at one check would hide each other: put {target} into it, or name one in targets",
            )


def _unheard_of(on: tuple[PeopleKind, ...]) -> str | None:
    if "recovery" in on and not {"failure", "overdue"} & set(on):
        return "on: nobody is told of a recovery from what he was not told of; add failure or overdue"
    return None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
