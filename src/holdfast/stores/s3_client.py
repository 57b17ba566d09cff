"""Making boto3's client from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

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
from holdfast.stores.s3_signing import sign_as_told

if TYPE_CHECKING:
    from holdfast.stores.s3 import S3Settings

Client: TypeAlias = Any  # boto3 makes its clients' methods when it runs


def connect(settings: S3Settings) -> Client:
    """Make a client. Raise StoreError, with a hint, when boto3 refuses the settings."""
    refusals: tuple[type[Exception], ...] = (ValueError, *s3_errors.foreign())
    try:
        client = _session(settings).client(
            "s3",
            endpoint_url=settings.endpoint_url,
            verify=settings.ca_bundle or settings.verify_tls,
            config=_config(settings),
        )
    except refusals as error:
        raise s3_errors.translate(error, f"store {settings.name}: cannot set up the S3 client") from error
    sign_as_told(client)
    return client


def _config(settings: S3Settings) -> Config:
    return Config(
        # One attempt each: stores.requests tries again, because botocore knows no deadline and cannot be stopped.
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
                f"cannot assume the role {self._arn}: there are no credentials to do it with",
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
