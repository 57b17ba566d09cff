"""The errors of Holdfast: one class per reaction of the operator.

`code` goes into the ledger and the metrics' labels, `exit_code` is what the command returns
(docs/reference/exit-codes.md), and `retryable` says whether the same run may succeed later without a change.
"""

from __future__ import annotations

from typing import ClassVar


class Error(Exception):
    """A failure that the operator is told of: what failed, on which thing, and in `hint` what to do.

    The message is lowercase and has no full stop; the hint is a sentence.
    """

    code: ClassVar[str] = "internal"
    exit_code: int = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(Error):
    """The command line asks for something that makes no sense."""

    code = "usage"
    exit_code = 2


class PartialError(Error):
    """Some of what was asked succeeded and some failed; each failure has been said."""

    code = "partial"
    exit_code = 3


class UnsafeError(Error):
    """A target is not safe; `status` has said why."""

    code = "unsafe"
    exit_code = 4
    retryable = True


class UnwellError(Error):
    """The daemon does not answer, or says itself that it is not well."""

    code = "unwell"
    exit_code = 5
    retryable = True


class ConfigError(Error):
    """The configuration is missing, malformed or contradicts itself."""

    code = "config"
    exit_code = 10


class BusyError(Error):
    """Somebody else holds the lock; the message names the holder."""

    code = "busy"
    exit_code = 11
    retryable = True


class NotFoundError(Error):
    """A backup, target, store or object that was named does not exist."""

    code = "not_found"
    exit_code = 12


class SourceError(Error):
    """PostgreSQL or one of its client programs failed."""

    code = "source"
    exit_code = 20
    retryable = True


class StoreError(Error):
    """A store could not be reached, refused, or is full."""

    code = "store"
    exit_code = 21
    retryable = True


class IntegrityError(Error):
    """Stored bytes are not what was written, or not signed by a known signer."""

    code = "integrity"
    exit_code = 22


class KeyFileError(Error):
    """An identity, recipient or signing key is missing, malformed or the wrong one."""

    code = "key"
    exit_code = 23


class RestoreTestError(Error):
    """A restored backup differs from its archive, or failed the owner's checks."""

    code = "restore_test"
    exit_code = 24


class CouldNotTestError(RestoreTestError):
    """A restore test could not be made here, which says nothing of the backup, and is never a pass."""

    code = "could_not_test"
    retryable = True


class BlockedError(Error):
    """Retention refuses to remove anything, because something looks wrong; the message says what."""

    code = "retention"
    exit_code = 25


class ProviderError(Error):
    """The API of a hosting platform could not be reached, refused, or answered what it does not promise.

    `status` is HTTP's, or None where no whole answer came; `said` is the platform's own message; `retry_after` is for how
    many seconds it wants to be left alone.
    """

    code = "provider"
    exit_code = 26
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        status: int | None = None,
        said: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.said = said
        self.retry_after = retry_after


class LedgerError(Error):
    """The ledger cannot be opened or written."""

    code = "ledger"
    exit_code = 30


class NotifyError(Error):
    """A notification could not be delivered."""

    code = "notify"
    exit_code = 31
    retryable = True


class CancelledError(Error):
    """The run was asked to stop: 130 after an interrupt, 143 after a termination."""

    code = "cancelled"

    def __init__(self, message: str = "cancelled", *, hint: str | None = None, exit_code: int = 130) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code
