"""The stores of Google and Microsoft in the config: one frozen model each."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from holdfast.config import values
from holdfast.config.store_keys import LockKeys, lock_problem, lock_rule
from holdfast.config.values import secret_text
from holdfast.stores.base import Store

_Name = Annotated[str, Field(min_length=1), AfterValidator(values.bucket)]


class GcsSettings(LockKeys):
    """`type = "gcs"`: a bucket of Google Cloud Storage. What is not said Google's library finds in its own ways."""

    type: Literal["gcs"]
    bucket: _Name
    prefix: Annotated[str, AfterValidator(values.prefix)] = ""
    endpoint_url: Annotated[str, AfterValidator(values.endpoint)] | None = None
    project: str | None = None
    credentials: SecretStr | None = None
    credentials_file: Path | None = None
    anonymous: bool = False
    storage_class: str | None = None
    kms_key_name: str | None = None
    ca_bundle: Path | None = None
    deadline: Annotated[float, BeforeValidator(values.duration)] = 900.0

    @staticmethod
    def from_url(url: str) -> dict[str, str] | None:
        """Give the keys that the URL stands for; None when it is of another kind. Raise ValueError for half of one."""
        scheme, separator, rest = url.partition("://")
        if scheme.lower() not in {"gs", "gcs"} or not separator:
            return None
        bucket, prefix = values.bucket_and_prefix(rest, "gs://bucket/prefix")
        return {"bucket": bucket, "prefix": prefix}

    def short(self) -> str:
        """Give the URL that stands for where this store is."""
        return f"gs://{self.bucket}/{self.prefix}".rstrip("/")

    def secrets(self) -> frozenset[str]:
        """The secret values."""
        return frozenset(filter(None, [secret_text(self.credentials)]))

    def problem(self) -> str | None:
        """Tell what the keys contradict each other in, or None."""
        if self.anonymous and self.credentials is not None:
            return "anonymous and credentials are two ways to log in: remove one"
        return lock_problem(self)

    def open(self, name: str, *, seconds: float | None = None) -> Store:
        """Make the store; it reaches out when it is first used. With `seconds` it is not waited for any longer."""
        from holdfast.stores import gcs  # noqa: PLC0415 - only the kinds in use are imported

        settings = gcs.GcsSettings(
            name=name,
            bucket=self.bucket,
            prefix=self.prefix,
            endpoint_url=self.endpoint_url,
            project=self.project,
            credentials=secret_text(self.credentials),
            anonymous=self.anonymous,
            storage_class=self.storage_class,
            kms_key_name=self.kms_key_name,
            ca_bundle=None if self.ca_bundle is None else str(self.ca_bundle),
            deadline=self.deadline,
            lock=lock_rule(self),
        )
        if seconds is not None:  # the last try may begin just before the patience ends
            half = seconds / 2
            settings = replace(settings, patience=half, connect_timeout=half, read_timeout=half)
        return gcs.GcsStore(settings)


class AzureSettings(LockKeys):
    """`type = "azure"`: a container of Azure Blob Storage. Without a key or token Azure's library finds a login."""

    type: Literal["azure"]
    account: _Name
    container: _Name
    prefix: Annotated[str, AfterValidator(values.prefix)] = ""
    endpoint_url: Annotated[str, AfterValidator(values.endpoint)] | None = None
    account_key: SecretStr | None = None
    account_key_file: Path | None = None
    sas_token: SecretStr | None = None
    sas_token_file: Path | None = None
    client_id: str | None = None
    access_tier: Literal["Hot", "Cool", "Cold"] | None = None
    ca_bundle: Path | None = None
    deadline: Annotated[float, BeforeValidator(values.duration)] = 900.0

    @staticmethod
    def from_url(url: str) -> dict[str, str] | None:
        """Give the keys that the URL stands for; None when it is of another kind. Raise ValueError for half of one."""
        scheme, separator, rest = url.partition("://")
        if scheme.lower() != "azblob" or not separator:
            return None
        said = unquote(rest)
        account, _, rest = said.partition("/")
        container, _, prefix = rest.partition("/")
        if not account or not container or not {"?", "#", "@"}.isdisjoint(said):
            raise ValueError("azblob://account/container/prefix was expected; a key goes into account_key")
        return {"account": account, "container": container, "prefix": prefix}

    def short(self) -> str:
        """Give the URL that stands for where this store is."""
        return f"azblob://{self.account}/{self.container}/{self.prefix}".rstrip("/")

    def secrets(self) -> frozenset[str]:
        """The secret values."""
        return frozenset(filter(None, map(secret_text, (self.account_key, self.sas_token))))

    def problem(self) -> str | None:
        """Tell what the keys contradict each other in, or None."""
        named = [self.account_key, self.sas_token, self.client_id]
        if sum(one is not None for one in named) > 1:
            return "account_key, sas_token and client_id are three ways to log in: keep one"
        return lock_problem(self)

    def open(self, name: str, *, seconds: float | None = None) -> Store:
        """Make the store; it reaches out when it is first used. With `seconds` it is not waited for any longer."""
        from holdfast.stores import azure  # noqa: PLC0415 - only the kinds in use are imported

        settings = azure.AzureSettings(
            name=name,
            account=self.account,
            container=self.container,
            prefix=self.prefix,
            endpoint_url=self.endpoint_url,
            account_key=secret_text(self.account_key),
            sas_token=secret_text(self.sas_token),
            client_id=self.client_id,
            access_tier=self.access_tier,
            ca_bundle=None if self.ca_bundle is None else str(self.ca_bundle),
            deadline=self.deadline,
            lock=lock_rule(self),
        )
        if seconds is not None:  # the last try may begin just before the patience ends
            half = seconds / 2
            settings = replace(settings, patience=half, connect_timeout=half, read_timeout=half)
        return azure.AzureStore(settings)
