from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from contract.notify_contract import HOSTILE, QUICK, ChannelContract, Far
from holdfast.notify.base import DeliveryError
from holdfast.notify.mail import Mail
from support import certificates
from support.certificates import Certificate
from support.notify_values import SECRET, event
from support.receivers import Delivery, Mailbox, closed_port, smtp_receiver


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificates.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def mailbox(certificate: Certificate) -> Iterator[Mailbox]:
    with smtp_receiver(certificate) as running:
        running.login = ("me", SECRET)
        yield running


@pytest.fixture
def mail(mailbox: Mailbox, certificate: Certificate) -> Mail:
    return Mail(
        name="ops",
        host="127.0.0.1",
        port=mailbox.port,
        sender="holdfast@example.com",
        to=("one@example.com", "two@example.com"),
        username="me",
        password=SECRET,
        ca_bundle=certificate.path,
        limits=QUICK,
    )


def read(delivery: Delivery) -> str:
    parsed = message_from_bytes(delivery.data, policy=default)
    content = parsed.get_content()
    return f"Message-ID: {parsed['Message-ID']}\n{parsed['Subject']}\n{content}"


class TestMail(ChannelContract):
    @pytest.fixture
    def far(self, mailbox: Mailbox, mail: Mail) -> Far:
        arrived: list[str] = []

        def look() -> list[str]:
            while not mailbox.got.empty():
                arrived.append(read(mailbox.got.get()))
            return arrived

        return Far(
            channel=mail,
            arrived=look,
            refuse=lambda: setattr(mailbox, "refuse_data", True),
            hang=lambda: setattr(mailbox, "hang", True),
            drip=lambda: setattr(mailbox, "drip", True),
            nobody=dataclasses.replace(mail, port=closed_port()),
        )

    def identity(self, message: str) -> str:
        return message.splitlines()[0]


def test_it_is_sent_over_tls_after_a_login(mail: Mail, mailbox: Mailbox) -> None:
    mail.send(event("failure"))
    got = mailbox.got.get(timeout=5)
    assert (got.encrypted, got.login) == (True, ("me", SECRET))
    assert (got.sender, got.to) == ("holdfast@example.com", ("one@example.com", "two@example.com"))


def test_tls_from_the_first_byte_works_too(mail: Mail, certificate: Certificate) -> None:
    with smtp_receiver(certificate, tls=True) as mailbox:
        dataclasses.replace(mail, tls="tls", port=mailbox.port, username=None).send(event("failure"))
        assert mailbox.got.get(timeout=5).encrypted


def test_in_the_clear_when_told_to(mail: Mail, mailbox: Mailbox) -> None:
    dataclasses.replace(mail, tls="none", username=None).send(event("failure"))
    assert not mailbox.got.get(timeout=5).encrypted


def test_a_server_without_starttls_gets_nothing(mail: Mail, mailbox: Mailbox) -> None:
    mailbox.offers_starttls = False
    with pytest.raises(DeliveryError, match="STARTTLS"):
        mail.send(event("failure"))
    assert mailbox.got.empty()


def test_a_certificate_of_nobody_is_refused(mail: Mail, mailbox: Mailbox) -> None:
    with pytest.raises(DeliveryError, match="not trusted"):
        dataclasses.replace(mail, ca_bundle=None).send(event("failure"))
    assert mailbox.got.empty()


def test_a_wrong_password_is_said_and_not_shown(mail: Mail, mailbox: Mailbox) -> None:
    mailbox.login = ("me", "another")
    with pytest.raises(DeliveryError, match="535 wrong password") as caught:
        mail.send(event("failure"))
    assert SECRET not in str(caught.value)


def test_who_is_refused_is_told_of_and_the_others_get_it(mail: Mail, mailbox: Mailbox) -> None:
    mailbox.refused = frozenset({"two@example.com"})
    assert mail.send(event("failure")) == ("127.0.0.1: refused two@example.com (550 nobody of that name)")
    assert mailbox.got.get(timeout=5).to == ("one@example.com",)
    mailbox.refused = frozenset(mail.to)
    with pytest.raises(DeliveryError, match=r"one@example\.com"):
        mail.send(event("failure"))


def test_no_name_adds_a_header(mail: Mail, mailbox: Mailbox) -> None:
    mail.send(event("failure", target=HOSTILE, host=HOSTILE))
    parsed = message_from_bytes(mailbox.got.get(timeout=5).data, policy=default)
    assert set(parsed.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted",
        "Content-Type", "Content-Transfer-Encoding", "MIME-Version",
    }  # fmt: skip


def test_a_bundle_that_is_not_there_is_said(mail: Mail, tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="No such file"):
        dataclasses.replace(mail, ca_bundle=tmp_path / "gone.pem").send(event("failure"))
