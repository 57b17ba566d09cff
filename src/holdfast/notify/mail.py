"""Sends events as mail, over SMTP with TLS unless it was said otherwise."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from pathlib import Path
from typing import Literal

from holdfast.model.event import Event, one_line, subject, text
from holdfast.notify.base import USUAL, DeliveryError, Limits
from holdfast.system.deadlines import deadline

Tls = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """`sender` and `to` are bare addresses; `username` and `password` go together."""

    name: str
    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    tls: Tls = "starttls"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_bundle: Path | None = None
    limits: Limits = USUAL
    monitors: bool = False

    def send(self, event: Event) -> str | None:
        """Send one mail to all. With `starttls` a server that does not offer it gets nothing."""
        try:
            refused = self._deliver(compose(event, self.sender, self.to))
        except smtplib.SMTPRecipientsRefused as error:
            raise DeliveryError(f"{self.host}: refused {_refusals(error.recipients)}") from error
        except smtplib.SMTPResponseException as error:
            raise DeliveryError(
                f"{self.host} answered {error.smtp_code} {_words(error.smtp_error)}"
            ) from error
        except ssl.SSLCertVerificationError as error:
            raise DeliveryError(
                f"{self.host}: its certificate is not trusted: {error.verify_message}",
                hint="If its authority is your own, name it with ca_bundle.",
            ) from error
        except (OSError, ValueError) as error:
            words = (error.strerror or str(error)) if isinstance(error, OSError) else type(error).__name__
            raise DeliveryError(f"{self.host}: {one_line(words)}") from error
        return f"{self.host}: refused {_refusals(refused)}" if refused else None

    def _deliver(self, message: EmailMessage) -> Mapping[str, tuple[int, bytes]]:
        context = ssl.create_default_context(cafile=None if self.ca_bundle is None else str(self.ca_bundle))
        client = (
            smtplib.SMTP_SSL(self.host, self.port, timeout=self.limits.step, context=context)
            if self.tls == "tls"
            else smtplib.SMTP(self.host, self.port, timeout=self.limits.step)
        )
        try:
            with deadline(lambda: client.sock, self.limits.total):
                if self.tls == "starttls":
                    client.starttls(context=context)
                if self.username is not None:
                    client.login(self.username, self.password or "")
                refused = client.send_message(message, self.sender, self.to)
            with suppress(OSError):  # smtplib's errors too; the server has the mail
                client.quit()
        finally:
            client.close()
        return refused


def compose(event: Event, sender: str, to: tuple[str, ...]) -> EmailMessage:
    """Make the mail. Its id is that of the event, so that one that comes twice can be told."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Subject"] = subject(event)
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{event.id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # no answers from people on holiday
    message.set_content(text(event).encode("utf-8", "replace").decode(), cte="quoted-printable")
    return message


def _refusals(refused: Mapping[str, tuple[int, bytes]]) -> str:
    return ", ".join(f"{to} ({code} {_words(said)})" for to, (code, said) in refused.items())


def _words(said: bytes | str) -> str:
    return one_line(said.decode("utf-8", "replace") if isinstance(said, bytes) else said)
