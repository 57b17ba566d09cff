"""Making boto3's client from the settings, and sending its requests: again until a deadline, errors translated."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)

from holdfast.model.errors import StoreError
from holdfast.stores import s3_errors

if TYPE_CHECKING:
    from holdfast.stores.s3 import S3Settings

Client: TypeAlias = Any  # boto3 makes its clients' methods when it runs
T = TypeVar("T")
_LONGEST_PAUSE = 20.0
_SLICE = 0.2  # seconds between two looks whether to hurry


class AnswerError(Exception):
    """S3 answered with a code that the caller said it expects; stays inside the adapter."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class _Mood:
    """What earlier requests of a store say about the next. Plain values: a signal handler may set them."""

    gave_up_at: float = float("-inf")
    hurried: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Sends requests of one store. Times are in seconds; `where` begins every message.

    A store that was given up less than `patience` ago is tried once a request: a store that is down costs the work
    on others one wait, and not one for each of its objects.
    """

    client: Client = field(repr=False)
    where: str
    patience: float
    pause: float
    _mood: _Mood = field(default_factory=_Mood, init=False, repr=False)

    def hurry(self) -> None:
        """Try every request once from now on: the work is to end. May be called in a signal handler."""
        self._mood.hurried = True

    def send(
        self,
        request: Callable[[], T],
        doing: str,
        *,
        expected: frozenset[str] = frozenset(),
        patience: float | None = None,
        stop: threading.Event | None = None,
    ) -> T:
        """Call `request`, again after a passing failure until `patience` is over or `stop` is set.

        Raise AnswerError for an `expected` code, else StoreError saying that it cannot do `doing`.
        """
        now = time.monotonic()
        end = now + (self.patience if patience is None else patience)
        if now - self._mood.gave_up_at < self.patience:
            end = now
        for attempt in itertools.count():
            try:
                answer = request()
            except s3_errors.foreign() as error:
                if s3_errors.code_of(error) in expected:
                    raise AnswerError(s3_errors.code_of(error)) from error
                pause = pause_before(attempt, self.pause)
                transient = s3_errors.is_transient(error)
                over = time.monotonic() + pause > end
                if transient and over:
                    self._mood.gave_up_at = time.monotonic()
                if not transient or over or not self._slept(pause, stop):
                    raise s3_errors.translate(error, f"{self.where}: cannot {doing}") from error
            else:
                self._mood.gave_up_at = float("-inf")
                return answer
        raise AssertionError  # the loop returns or raises

    def _slept(self, seconds: float, stop: threading.Event | None) -> bool:
        """Sleep, unless the work is to end; return whether it may go on."""
        stop = stop or threading.Event()
        end = time.monotonic() + seconds
        while not self._mood.hurried and (left := end - time.monotonic()) > 0:
            if stop.wait(min(left, _SLICE)):
                return False
        return not self._mood.hurried


def pause_before(attempt: int, first: float) -> float:
    """Seconds to wait before another try: doubling, with jitter so that many clients do not march in step."""
    longest = min(_LONGEST_PAUSE, first * 2 ** min(attempt, 16))
    return float(longest * random.uniform(0.5, 1))  # noqa: S311 - nobody gains by guessing it


def connect(settings: S3Settings) -> Client:
    """Make a client. Raise StoreError, with a hint, when boto3 refuses the settings."""
    refusals: tuple[type[Exception], ...] = (ValueError, *s3_errors.foreign())
    try:
        return _session(settings).client(
            "s3",
            endpoint_url=settings.endpoint_url,
            verify=settings.ca_bundle or settings.verify_tls,
            config=_config(settings),
        )
    except refusals as error:
        raise s3_errors.translate(error, f"store {settings.name}: cannot set up the S3 client") from error


def _config(settings: S3Settings) -> Config:
    return Config(
        # One attempt each: Requests tries again itself, because botocore knows no deadline and cannot be stopped.
        retries={"mode": "adaptive", "total_max_attempts": 1},
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        tcp_keepalive=True,
        # boto3's own checksums wrap the body in aws-chunked encoding, which many S3-compatible stores refuse.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if settings.path_style else "auto"},
        user_agent_extra="holdfast",
    )


def _session(settings: S3Settings) -> boto3.Session:
    session = boto3.Session(
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key,
        aws_session_token=settings.session_token,
        profile_name=settings.profile,
        region_name=settings.region,
    )
    if settings.role_arn is None:
        return session
    core = botocore.session.get_session()
    core.register_component("credential_provider", CredentialResolver([_Role(session, settings.role_arn)]))
    return boto3.Session(botocore_session=core, region_name=settings.region or session.region_name)


class _Role(CredentialProvider):
    """Gives the credentials of a role, taken on with those of `session` and renewed before they expire."""

    METHOD = "holdfast-assume-role"

    def __init__(self, session: boto3.Session, arn: str) -> None:
        super().__init__()
        self._session = session
        self._arn = arn

    def load(self) -> DeferredRefreshableCredentials:
        source = self._session.get_credentials()
        if source is None:
            raise StoreError(
                f"cannot take on the role {self._arn}: there are no credentials to do it with",
                hint="Give this store a profile or an access key that may call sts:AssumeRole on the role.",
            )
        fetcher = AssumeRoleCredentialFetcher(
            client_creator=self._client,
            source_credentials=source,
            role_arn=self._arn,
            extra_args={"RoleSessionName": "holdfast"},
        )
        return DeferredRefreshableCredentials(refresh_using=fetcher.fetch_credentials, method=self.METHOD)

    def _client(self, service: str, **options: Any) -> Client:  # noqa: ANN401 - botocore passes what it likes
        return self._session.client(service, **options)  # type: ignore[call-overload]
