"""Channels in the config: what they mean, what is refused, and that no secret of one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.config import sources
from holdfast.notify.heartbeat import Heartbeat
from holdfast.notify.mail import Mail
from holdfast.notify.webhook import Webhook
from support.config import BASE, Place

MAIL = 'type = "email"\nhost = "mail.example.com"\nsender = "a@example.com"\nto = ["b@example.com"]\n'
HOOK = 'type = "webhook"\nurl = "https://hooks.example.com/x"\n'
PING = 'type = "heartbeat"\nurl = "https://hc-ping.com/0c8f1a2b"\n'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(sources, "RUN_SECRETS", tmp_path / "none")
    return Place(folder=tmp_path)


def with_channel(keys: str) -> str:
    return f"{BASE}[notify.ops]\n{keys}"


def test_a_channel_for_people_wants_what_they_have_to_know(place: Place) -> None:
    [found] = place.load(with_channel(HOOK)).subscriptions()
    assert found.on == {"failure", "recovery", "anomaly", "overdue"}
    assert found.jobs == {
        "backup",
        "restore_test",
        "prune",
        "verify",
        "copy",
        "canary",
        "objects",
        "provider",
    }
    assert found.targets is None
    assert found.channel == Webhook(name="ops", url="https://hooks.example.com/x")


def test_a_heartbeat_wants_every_backup(place: Place) -> None:
    [found] = place.load(with_channel(PING)).subscriptions()
    assert found.on == {"start", "success", "failure"}
    assert found.jobs == {"backup"}
    assert found.channel == Heartbeat(name="ops", url="https://hc-ping.com/0c8f1a2b")


@pytest.mark.parametrize(
    ("keys", "tls", "port"),
    [("", "starttls", 587), ('tls = "tls"', "tls", 465), ("port = 26", "starttls", 26)],
)
def test_a_mail_servers_port_follows_from_its_tls(place: Place, keys: str, tls: str, port: int) -> None:
    [found] = place.load(with_channel(MAIL + keys)).subscriptions()
    assert isinstance(found.channel, Mail)
    assert (found.channel.tls, found.channel.port) == (tls, port)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_mail_goes_to_this_machine_in_the_clear_if_wanted(place: Place, host: str) -> None:
    text = with_channel(MAIL.replace("mail.example.com", host) + 'tls = "none"')
    [found] = place.load(text).subscriptions()
    assert isinstance(found.channel, Mail)
    assert found.channel.port == 25


def test_secrets_come_from_files_and_variables_and_are_known_as_such(place: Place) -> None:
    (place.folder / "url").write_text("https://hooks.slack.com/services/T0/B0/aB3dEfGh1j\n")
    (place.folder / "word").write_text("pass w0rd\n")
    chat = f'[notify.chat]\ntype = "slack"\nurl_file = "url"\n[notify.ops]\n{MAIL}username = "me"\npassword_file = "word"\n'
    for name, url in (("a", "json://json.example.com/aB3dEfGh2j"), ("b", "jsons://u:aB3dEfGh3j@10.1.20.30")):
        chat += f'[notify.{name}]\ntype = "apprise"\nurl = "{url}"\n'
    config = place.load(BASE + chat, HOLDFAST_NOTIFY__CHAT__ON="failure,success")
    assert config.subscriptions()[0].on == {"failure", "success"}
    secrets = config.secrets()
    assert {
        "pass w0rd",
        "https://hooks.slack.com/services/T0/B0/aB3dEfGh1j",
        *(f"aB3dEfGh{n}j" for n in (1, 2, 3)),
    } <= set(secrets)
    assert not {"json.example.com", "10.1.20.30"} & set(secrets)
    assert not {"services", "hooks.slack.com", "https"} & set(secrets)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("", "notify.ops: a type or a url is missing"),
        ('type = "pigeon"', "notify.ops: type is one of webhook, slack, email, apprise, heartbeat"),
        ('type = "webhook"', "notify.ops.url: it is missing"),
        (HOOK + "colour = 'red'", "notify.ops.colour: unknown key; known are "),
        (HOOK + "tokn = 'x'", "notify.ops.tokn: unknown key; did you mean token?"),
        (HOOK + "sender = 'x'", "notify.ops.sender: unknown key; it belongs to type email"),
        (HOOK + "on = ['failures']", "notify.ops.on.0: it has to be 'failure', 'recovery'"),
        (HOOK + "on = ['start']", "notify.ops.on.0: it has to be"),
        (HOOK + "on = ['recovery']", "notify.ops: on: nobody is told of a recovery"),
        (HOOK + "jobs = ['dump']", "notify.ops.jobs.0: it has to be"),
        (HOOK + "targets = ['shpo']", "notify.ops.targets: no target 'shpo'; did you mean shop?"),
        ("type = 'slack'\nurl = 'ftp://h/x'", "notify.ops.url: https://host/path was expected"),
        ("type = 'slack'\nurl = 'https://u:p@h/x'", "notify.ops.url: a login does not belong in the URL"),
        ("type = 'slack'\nurl = 'https://h/a b'", "notify.ops.url: https://host/path was expected"),
        ("type = 'apprise'\nurl = 'tgram'", "notify.ops.url: a URL of apprise was expected"),
        (PING.replace("0c8f", "{targt}"), "notify.ops.url: in braces there may be {target} and {job} only"),
        (PING + "jobs = ['backup', 'verify']", "notify.ops: pings of several jobs at one check"),
        (
            PING + "[targets.b]\nurl = 'postgresql://h'",
            "notify.ops.url: pings of several targets at one check",
        ),
        (PING + "on = ['recovery']", "notify.ops.on.0: it has to be 'start'"),
        (MAIL.replace('"b@example.com"', ""), "notify.ops.to: "),
        (MAIL.replace("b@", "B <b@"), "notify.ops.to: 'B <b@example.com' is not a mail address"),
        (MAIL.replace("a@example.com", "a@b\\nBcc: c@d"), "notify.ops.sender: "),
        (MAIL + "username = 'me'", "notify.ops: username and password go together"),
        (MAIL + "tls = 'none'", 'notify.ops: tls = "none" sends everything in the clear'),
        (MAIL + "port = 0", "notify.ops.port: it has to be greater than or equal to 1"),
    ],
)
def test_a_channel_that_cannot_be_meant_is_refused(place: Place, keys: str, said: str) -> None:
    assert said.lower() in str(place.refused(with_channel(keys))).lower()


def test_a_channels_name_follows_the_rules(place: Place) -> None:
    assert "'Ops' cannot name a channel" in str(place.refused(f"{BASE}[notify.Ops]\n{HOOK}"))


def test_no_message_repeats_a_url(place: Place) -> None:
    said = place.refused(with_channel("type = 'slack'\nurl = 'htps://hooks/s3cret-token'"))
    assert "s3cret-token" not in f"{said} {said.hint}"
