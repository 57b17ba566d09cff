"""Checks the keys: that what is encrypted can be opened, and that what is signed will be believed elsewhere."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from holdfast.jobs.checks.finding import Finding
from holdfast.jobs.keyring import recipients
from holdfast.jobs.services import Keys, Services
from holdfast.streams.age_keys import too_open


def check_config(path: Path | None, secrets: Collection[str]) -> Iterator[Finding]:
    """Warn of a config file that everybody may read, and that a secret stands in."""
    if path is None or not path.stat().st_mode & stat.S_IROTH:
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    if any(secret in text for secret in secrets):
        yield Finding(
            level="warn",
            subject="config",
            message=f"everybody may read {path}, and a password or key stands in it",
            hint=f"chmod o-r {path}; or put the secret into a file of its own (password_file and its like).",
        )


def check_keys(keys: Keys, *, encrypted: bool) -> Iterator[Finding]:
    """Look at the recipients, the identity and the signing key of this host."""
    for path in keys.files:
        if too_open(path):
            yield Finding(
                level="warn",
                subject="key files",
                message=f"others may read {path}",
                hint=f"chmod 600 {path}",
            )
    if encrypted and not keys.recipients:
        yield _reader(keys)
        return
    if encrypted:
        yield Finding(level="ok", subject="encryption", message=_recipients(len(keys.recipients)))
        yield _identity(keys)
    else:
        yield Finding(
            level="warn",
            subject="encryption",
            message="off: whoever reads a store reads your data",
            hint="Make a key with `holdfast keygen -o FILE` and set encryption.recipients.",
        )
    yield _signer(keys)


def check_known(services: Services) -> Iterator[Finding]:
    """Find backups that no identity here opens, where there is one: it may have been taken away too early."""
    own = {identity.recipient.text for identity in services.keys.identities}
    rows = [row for row in services.ledger.backups() if row.whole] if own else []
    lost = [row.backup.id for row in rows if (found := recipients(row)) and not found & own]
    if lost:
        count = "1 backup" if len(lost) == 1 else f"{len(lost)} backups"
        yield Finding(
            level="warn",
            subject="identity",
            message=f"opens not all: {count} from {min(lost)} to {max(lost)} were encrypted to others",
            hint="`holdfast keys` tells to whom. Put the identity of an earlier key back until they have expired.",
        )


def _reader(keys: Keys) -> Finding:
    """A host that takes no backups: the config demands recipients as soon as there is a target."""
    if keys.identities:
        return Finding(level="ok", subject="identity", message="this host reads backups, and takes none")
    return Finding(
        level="warn",
        subject="identity",
        message="none here, and no recipient: this host neither takes backups nor opens encrypted ones",
        hint="Set encryption.identity_file to the file that `holdfast keygen` wrote.",
    )


def _recipients(count: int) -> str:
    return "on, to one recipient" if count == 1 else f"on, to {count} recipients"


def _identity(keys: Keys) -> Finding:
    if not keys.identities:
        return Finding(
            level="ok", subject="identity", message="none here: this host writes backups that it cannot read"
        )
    opened = {identity.recipient.text for identity in keys.identities}
    strangers = sum(recipient.text not in opened for recipient in keys.recipients)
    if strangers == len(keys.recipients):
        return Finding(
            level="fail",
            subject="identity",
            message="opens none of the recipients: new backups could not be restored with it",
            hint="Set encryption.recipients to the public key in the identity file, or give the right file.",
        )
    message = "opens what is encrypted to the recipients"
    if strangers:
        message = f"matches; {strangers} of the recipients belong to other identities"
    return Finding(level="ok", subject="identity", message=message)


def _signer(keys: Keys) -> Finding:
    if keys.signing is None:
        return Finding(level="ok", subject="signing key", message="none yet: the first backup makes one")
    public = keys.signing.public
    if keys.identities and public not in keys.named:
        return Finding(
            level="warn",
            subject="signing key",
            message="the identity file does not name this host's signer: an empty machine would not trust its backups",
            hint=f"Add this line to the identity file: # holdfast-signer: {public.text}",
        )
    return Finding(level="ok", subject="signing key", message=f"signs as {public.text}")
