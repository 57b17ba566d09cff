"""The config's sections and keys: what docs/reference/config.md describes, as frozen pydantic models.

A key without a value here has None. A secret's `_file` twin was read before the models see it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from holdfast import config_values as values
from holdfast.config_stores import KINDS, StoreSettings, secret_text
from holdfast.model.target import Compression, Selection, Target

Words = Annotated[tuple[str, ...], BeforeValidator(values.words), AfterValidator(values.filled)]
Databases = Annotated[tuple[str, ...] | None, BeforeValidator(values.databases)]
Seconds = Annotated[float, BeforeValidator(values.duration)]
Limit = Annotated[float | None, BeforeValidator(values.limit)]
Schedule = Annotated[str, AfterValidator(values.schedule)]
Recipient = Annotated[str, AfterValidator(values.recipient)]
Signer = Annotated[str, AfterValidator(values.signer)]
TargetName = Annotated[str, AfterValidator(values.target_name)]
StoreName = Annotated[str, AfterValidator(values.store_name)]
Text = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """What all sections have in common: no unknown keys, no changes, no values in messages."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Daemon(Section):
    """`[daemon]`: this host's memory, endpoint and log."""

    state_dir: Path
    listen: Annotated[str, AfterValidator(values.listen)] = "127.0.0.1:9853"
    timezone: Annotated[str, AfterValidator(values.timezone)] = "UTC"
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Encryption(Section):
    """`[encryption]`: to whom backups are encrypted, who signs, and whose signatures count.

    `recipients` holds those of `recipients_file` too.
    """

    enabled: bool = True
    recipients: Annotated[
        tuple[Recipient, ...], BeforeValidator(values.words), AfterValidator(values.recipients)
    ] = ()
    recipients_file: Path | None = None
    identity_file: Path | None = None
    signing_key_file: Path | None = None
    signers: Annotated[tuple[Signer, ...], BeforeValidator(values.words), AfterValidator(values.filled)] = ()


class Defaults(Section):
    """`[defaults]`: the keys of a target that may hold for all targets. `databases` None means all."""

    databases: Databases = None
    exclude_databases: Words = ()
    include_schemas: Words = ()
    exclude_schemas: Words = ()
    include_tables: Words = ()
    exclude_tables: Words = ()
    exclude_table_data: Words = ()
    globals: bool = True
    stores: Words | None = None
    schedule: Schedule | None = None
    pg_dump_options: Words = ()
    lock_wait_timeout: Seconds = 60.0
    blocking_limit: Limit = 120.0
    compression: Literal["zstd", "none", "pg_dump"] = "zstd"
    compression_level: Annotated[int, Field(ge=1, le=19)] = 1
    compression_threads: Annotated[int, Field(ge=0, le=64)] | None = None
    fingerprint: Literal["rows", "none"] = "rows"
    lock_database: Text = "postgres"


def _checked_url(url: SecretStr) -> SecretStr:
    values.target_url(url.get_secret_value())
    return url


class TargetSettings(Defaults):
    """`[targets.NAME]`: one server."""

    url: Annotated[SecretStr, AfterValidator(_checked_url)] | None = None
    url_file: Path | None = None
    password: SecretStr | None = None
    password_file: Path | None = None

    def over(self, defaults: Defaults) -> "TargetSettings":
        """Fill in from `defaults` what this target does not say."""
        said = {name: getattr(defaults, name) for name in defaults.model_fields_set - self.model_fields_set}
        return self.model_copy(update=said)


class Config(BaseSettings):
    """The whole configuration, as `holdfast.config.load` checked it."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, case_sensitive=True
    )

    daemon: Daemon
    encryption: Encryption = Encryption()
    stores: dict[StoreName, StoreSettings] = Field(default_factory=dict)
    target_settings: dict[TargetName, TargetSettings] = Field(default_factory=dict, alias="targets")
    defaults: Defaults = Defaults()

    def effective(self) -> Mapping[str, TargetSettings]:
        """The targets' settings with the defaults filled in, by name, in their order."""
        return {name: settings.over(self.defaults) for name, settings in self.target_settings.items()}

    def targets(self) -> tuple[Target, ...]:
        """The targets as the jobs see them."""
        everywhere = tuple(self.stores)
        return tuple(_target(name, settings, everywhere) for name, settings in self.effective().items())

    @property
    def recipients(self) -> tuple[str, ...]:
        """To whom backups are encrypted; empty only where encryption was switched off explicitly."""
        return self.encryption.recipients if self.encryption.enabled else ()

    @property
    def signing_key_file(self) -> Path:
        """Where this host's signing key is."""
        return self.encryption.signing_key_file or self.daemon.state_dir / "signing.key"

    @property
    def listen_address(self) -> tuple[str, int]:
        """The host and port of the endpoint."""
        return values.address(self.daemon.listen)

    def secrets(self) -> tuple[str, ...]:
        """All secret values, for striking them out of logs; passwords in URLs too, written and decoded."""
        found: set[str] = set()
        for target in self.target_settings.values():
            found.update(values.passwords_in(secret_text(target.url) or ""))
            found.add(secret_text(target.password) or "")
        for store in self.stores.values():
            found.update(store.secrets())
        return tuple(sorted(found - {""}))


def _target(name: str, settings: TargetSettings, everywhere: tuple[str, ...]) -> Target:
    return Target(
        name=name,
        stores=everywhere if settings.stores is None else settings.stores,
        url=secret_text(settings.url),
        password=secret_text(settings.password),
        databases=settings.databases,
        exclude_databases=settings.exclude_databases,
        selection=Selection(
            include_schemas=settings.include_schemas,
            exclude_schemas=settings.exclude_schemas,
            include_tables=settings.include_tables,
            exclude_tables=settings.exclude_tables,
            exclude_table_data=settings.exclude_table_data,
        ),
        globals=settings.globals,
        options=settings.pg_dump_options,
        lock_wait_timeout=settings.lock_wait_timeout,
        blocking_limit=settings.blocking_limit,
        compression=Compression(
            kind=settings.compression,
            level=settings.compression_level,
            threads=settings.compression_threads,
        ),
        fingerprint=settings.fingerprint,
        lock_database=settings.lock_database,
        schedule=settings.schedule or None,
    )


def known_keys(place: tuple[str, ...]) -> tuple[str, ...]:
    """Give the keys that a section has; without a place, the sections. A store's place ends in its type."""
    sections: dict[str, type[Section]] = {
        "daemon": Daemon,
        "encryption": Encryption,
        "defaults": Defaults,
        "targets": TargetSettings,
    }
    if not place:
        return (*sections, "stores")
    if place[0] == "stores":
        return tuple(KINDS[place[-1]].model_fields) if place[-1] in KINDS else ()
    return tuple(sections[place[0]].model_fields) if place[0] in sections else ()
