"""The kinds of stores in the config: one frozen model a kind, the URLs that stand for one, and the wrappers.

A new store is one model here and its entry in `StoreSettings`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from holdfast.config import values
from holdfast.config.clouds import AzureSettings, GcsSettings
from holdfast.config.store_keys import LockKeys, StoreKeys, lock_problem, lock_rule
from holdfast.config.values import secret_text
from holdfast.model.lease import Terms, lasting
from holdfast.stores.base import Store

_HALF_URL = re.compile(
    r"(?:s3|gs|gcs|azblob|azure|file|https?|b2|rclone|sftp):", re.IGNORECASE
)  # no path begins so


class LocalSettings(StoreKeys):
    """`type = "local"`: a directory."""

    type: Literal["local"]
    path: Path
    deadline: Annotated[float | None, BeforeValidator(values.optional_duration)] = None

    @staticmethod
    def from_url(url: str) -> dict[str, str] | None:
        """Give the keys that the URL stands for; None when it is of another kind."""
        if url.startswith("file://"):
            parts = urlsplit(url)
            return {"path": unquote(parts.path)} if parts.netloc in {"", "localhost"} else None
        return {"path": url} if "://" not in url and _HALF_URL.match(url) is None else None

    def short(self) -> str:
        """Give the URL that stands for where this store is."""
        return str(self.path)

    def secrets(self) -> frozenset[str]:
        """No secret values."""
        return frozenset()

    def problem(self) -> str | None:
        """Tell what the keys contradict each other in, or None."""
        return None

    def open(self, name: str, *, seconds: float | None = None) -> Store:
        """Make the store. With `seconds` it is not waited for any longer."""
        from holdfast.stores.local import LocalStore  # noqa: PLC0415 - only the kinds in use are imported
        from holdfast.stores.retrying import RetryingStore  # noqa: PLC0415 - as above

        store = LocalStore(name, self.path)
        if self.deadline is None:
            return store
        patience = self.deadline if seconds is None else min(self.deadline, seconds / 2)
        return RetryingStore(store, patience=patience)


class S3Settings(LockKeys):
    """`type = "s3"`: a bucket, or what speaks its language. What is not said boto3 finds in its own ways."""

    type: Literal["s3"]
    bucket: Annotated[str, Field(min_length=1), AfterValidator(values.bucket)]
    prefix: Annotated[str, AfterValidator(values.prefix)] = ""
    endpoint_url: Annotated[str, AfterValidator(values.endpoint)] | None = None
    region: str | None = None
    path_style: bool = False
    profile: str | None = None
    role_arn: str | None = None
    access_key_id: SecretStr | None = None
    access_key_id_file: Path | None = None
    secret_access_key: SecretStr | None = None
    secret_access_key_file: Path | None = None
    session_token: SecretStr | None = None
    session_token_file: Path | None = None
    storage_class: str | None = None
    sse: Literal["AES256", "aws:kms"] | None = None
    kms_key_id: str | None = None
    checksum: Literal["sha256", "none"] = "sha256"
    ca_bundle: Path | None = None
    deadline: Annotated[float, BeforeValidator(values.duration)] = 900.0

    @staticmethod
    def from_url(url: str) -> dict[str, str] | None:
        """Give the keys that the URL stands for; None when it is of another kind. Raise ValueError for half of one."""
        scheme, separator, rest = url.partition("://")
        if scheme.lower() != "s3" or not separator:
            return None
        bucket, prefix = values.bucket_and_prefix(rest, "s3://bucket/prefix")
        return {"bucket": bucket, "prefix": prefix}

    def short(self) -> str:
        """Give the URL that stands for where this store is."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def secrets(self) -> frozenset[str]:
        """The secret values."""
        return frozenset(filter(None, map(secret_text, (self.secret_access_key, self.session_token))))

    def problem(self) -> str | None:
        """Tell what the keys contradict each other in, or None."""
        if (self.access_key_id is None) != (self.secret_access_key is None):
            return "access_key_id and secret_access_key go together: set both or neither"
        if self.session_token is not None and self.access_key_id is None:
            return "session_token goes with access_key_id and secret_access_key"
        if self.access_key_id is not None and self.profile is not None:
            return "access_key_id and profile are two ways to log in: remove one"
        if self.kms_key_id is not None and self.sse != "aws:kms":
            return 'kms_key_id needs sse = "aws:kms"'
        return lock_problem(self)

    def open(self, name: str, *, seconds: float | None = None) -> Store:
        """Make the store; it reaches out when it is first used. With `seconds` it is not waited for any longer."""
        from holdfast.stores import s3  # noqa: PLC0415 - only the kinds in use are imported

        settings = s3.S3Settings(
            name=name,
            bucket=self.bucket,
            prefix=self.prefix,
            endpoint_url=self.endpoint_url,
            region=self.region,
            path_style=self.path_style,
            profile=self.profile,
            role_arn=self.role_arn,
            access_key_id=secret_text(self.access_key_id),
            secret_access_key=secret_text(self.secret_access_key),
            session_token=secret_text(self.session_token),
            storage_class=self.storage_class,
            sse=self.sse,
            kms_key_id=self.kms_key_id,
            checksum=self.checksum,
            ca_bundle=None if self.ca_bundle is None else str(self.ca_bundle),
            deadline=self.deadline,
            lock=lock_rule(self),
        )
        if seconds is not None:
            # The last try may begin just before the patience ends, and then lasts as long as its own limit.
            half = seconds / 2
            settings = replace(settings, patience=half, connect_timeout=half, read_timeout=half)
        return s3.S3Store(settings)


StoreSettings = Annotated[
    LocalSettings | S3Settings | GcsSettings | AzureSettings, Field(discriminator="type")
]

KINDS: dict[str, Any] = {
    get_args(kind.model_fields["type"].annotation)[0]: kind for kind in get_args(get_args(StoreSettings)[0])
}


def lease_terms(stores: Mapping[str, StoreSettings]) -> dict[str, Terms]:
    """Give the terms by which leases are taken in the stores."""
    return {
        name: Terms(pruner=settings.pruner, lasts=lasting(settings.deadline))
        for name, settings in stores.items()
    }


def open_place(url: str, known: Iterable[StoreSettings]) -> Store:
    """Open what a URL or path stands for, to read only; a bucket as one of the `known` stores in it is, if there is one.

    Raise ValueError for what is no place.
    """
    from holdfast.stores.read_only import ReadOnlyStore  # noqa: PLC0415 - not for `holdfast --help`

    keys = from_url(url)
    if "path" in keys and not Path(keys["path"]).is_dir():
        raise ValueError("there is no such directory")
    alike = (each for each in known if "prefix" in keys and _in_same_place(each, keys))
    found = next(alike, None)
    if found is None:
        found = KINDS[keys["type"]](**keys)
    else:
        found = found.model_copy(update={"prefix": values.prefix(keys["prefix"])})
    return ReadOnlyStore(found.open(url))


def _in_same_place(settings: StoreSettings, keys: Mapping[str, str]) -> bool:
    return all(getattr(settings, key, None) == value for key, value in keys.items() if key != "prefix")


def from_url(url: str) -> dict[str, str]:
    """Give the keys, `type` among them, that a store's URL stands for. Raise ValueError for another URL."""
    for name, kind in KINDS.items():
        keys: dict[str, str] | None = kind.from_url(url)
        if keys is not None:
            return {"type": name, **keys}
    raise ValueError(
        "s3://bucket/prefix, gs://bucket/prefix, azblob://account/container/prefix, file:///path or a path was expected"
    )


def open_store(name: str, settings: StoreSettings, *, seconds: float | None = None) -> Store:
    """Make the store of a section, in the wrappers that its keys ask for. `seconds` as in each kind's `open`."""
    from holdfast.stores.limited import LimitedStore, Meter  # noqa: PLC0415 - not for `holdfast --help`
    from holdfast.stores.read_only import ReadOnlyStore  # noqa: PLC0415 - as above

    store = settings.open(name, seconds=seconds)
    if settings.bandwidth_limit is not None:
        store = LimitedStore(store, Meter(settings.bandwidth_limit))
    return ReadOnlyStore(store) if settings.read_only else store
