"""The config's sections and keys: what docs/reference/config.md describes, as frozen pydantic models.

A key without a value here has None. A secret's `_file` twin was read before the models see it.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from holdfast.config import notify as config_notify
from holdfast.config import retention as config_retention
from holdfast.config import targets as config_targets
from holdfast.config import values
from holdfast.config.notify import ChannelSettings
from holdfast.config.restore_test import RestoreTestSettings
from holdfast.config.retention import RetentionSettings
from holdfast.config.stores import StoreSettings
from holdfast.config.supabase import ProviderKeys
from holdfast.config.values import secret_text
from holdfast.jobs.notifying import Subscription
from holdfast.metrics import auth
from holdfast.metrics.tls import Files
from holdfast.model import schedule as schedules
from holdfast.model.overview import Configured
from holdfast.model.planning import Timetable
from holdfast.model.target import Rules, Target, needed

Words = Annotated[tuple[str, ...], BeforeValidator(values.words), AfterValidator(values.filled)]
Arguments = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(values.words)]
Databases = Annotated[tuple[str, ...] | None, BeforeValidator(values.databases)]
Seconds = Annotated[float, BeforeValidator(values.duration)]
Limit = Annotated[float | None, BeforeValidator(values.limit)]
Schedule = Annotated[str, AfterValidator(values.schedule)]
Interval = Annotated[str, BeforeValidator(values.interval)]
TimeZone = Annotated[str, AfterValidator(values.timezone)]
Recipient = Annotated[str, AfterValidator(values.recipient)]
Signer = Annotated[str, AfterValidator(values.signer)]
TargetName = Annotated[str, AfterValidator(values.target_name)]
StoreName = Annotated[str, AfterValidator(values.store_name)]
ChannelName = Annotated[str, AfterValidator(config_notify.channel_name)]
Text = Annotated[str, Field(min_length=1)]
_WEEK = 7 * 86400.0  # seconds


class Section(BaseModel):
    """What all sections have in common: no unknown keys, no changes, no values in messages."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)


def _checked_login(password: SecretStr) -> SecretStr:
    auth.check(password.get_secret_value())
    return password


class Daemon(Section):
    """`[daemon]`: this host's memory, endpoint and log."""

    state_dir: Path
    spool_dir: Path = Path("/var/tmp")  # noqa: S108 - the files there have no names
    listen: Annotated[str, AfterValidator(values.listen)] = "127.0.0.1:9853"
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    auth_user: Annotated[str, AfterValidator(values.user)] | None = None
    auth_password: Annotated[SecretStr, AfterValidator(_checked_login)] | None = None
    auth_password_file: Path | None = None
    timezone: TimeZone = "UTC"
    max_dumps: Annotated[int, Field(ge=1, le=64)] = 2
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


class HookSettings(Section):
    """`[targets.NAME.hooks]`: the owner's programs around a backup or a recovery, each as a list of arguments."""

    before_backup: Arguments = ()
    after_backup: Arguments = ()
    on_failure: Arguments = ()
    stop_services: Arguments = ()
    resume_services: Arguments = ()
    timeout: Seconds = 300.0


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
    require_copies: Annotated[int, Field(ge=1, le=100)] = 1
    schedule: Schedule | None = None
    every: Interval | None = None
    timezone: TimeZone | None = None
    jitter: Limit = None
    catch_up: Limit = 86400.0
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    retry_delay: Seconds = 300.0
    timeout: Limit = None
    stall_limit: Limit = 1800.0
    verify_schedule: Schedule | None = None
    scrub_every: Limit = 30 * 86400.0
    scrub: Literal["auto", "full"] = "auto"
    copy_schedule: Schedule | None = None
    prune_schedule: Schedule | None = None
    canary_schedule: Schedule | None = None
    retention: RetentionSettings = RetentionSettings()
    hooks: HookSettings = HookSettings()
    restore_test: RestoreTestSettings = RestoreTestSettings()
    pg_dump_options: Words = ()
    lock_wait_timeout: Seconds = 60.0
    blocking_limit: Limit = 120.0
    compression: Literal["zstd", "none", "pg_dump"] = "zstd"
    compression_level: Annotated[int, Field(ge=1, le=19)] = 1
    compression_threads: Annotated[int, Field(ge=0, le=64)] | None = None
    fingerprint: Literal["rows", "none"] = "rows"
    lock_database: Text = "postgres"


class TargetSettings(ProviderKeys, Defaults):
    """`[targets.NAME]`: one server."""

    url: Annotated[SecretStr, AfterValidator(values.secret_target_url)] | None = None
    url_file: Path | None = None
    password: SecretStr | None = None
    password_file: Path | None = None

    def over(self, defaults: Defaults) -> "TargetSettings":
        """Fill in from `defaults` what this target does not say."""
        own = set(self.model_fields_set)
        if own & {"schedule", "every"}:  # one of them says it all
            own |= {"schedule", "every"}
        said = {name: getattr(defaults, name) for name in defaults.model_fields_set - own}
        if (
            "retention" in defaults.model_fields_set & own
        ):  # key by key, or to keep longer would be to say it all
            said["retention"] = defaults.retention.under(self.retention)
        said["restore_test"] = self.restore_test.over(defaults.restore_test)
        return self.model_copy(update=said)

    def timetable(self, text: str | None, timezone: str) -> Timetable | None:
        """When what `text` says is done; None for no text. Raise ValueError when the jitter is too long."""
        found = self.punctual(text, timezone)
        if found is None or not self.jitter:
            return found
        if self.jitter >= found.schedule.shortest_interval.total_seconds():
            raise ValueError("it is not shorter than the time from one run to the next")
        return replace(found, schedule=replace(found.schedule, jitter=round(self.jitter)))

    def punctual(self, text: str | None, timezone: str) -> Timetable | None:
        """When what `text` says is done, without jitter; None for no text."""
        if not text:
            return None
        return Timetable(
            schedule=schedules.parse(text, zone=self.timezone or timezone),
            catch_up=self.catch_up or 0,
            attempts=self.attempts,
            retry_delay=self.retry_delay,
        )

    def backup_timetable(self, timezone: str) -> Timetable | None:
        """When the target is backed up; None for never by itself. `timezone` is that of targets without one."""
        return self.timetable(self.every or self.schedule, timezone)

    def verify_timetable(self, timezone: str) -> Timetable | None:
        """When copies are looked at again: daily unless it says, where the daemon takes the backups."""
        usual = config_retention.DAILY if (self.every or self.schedule) and self.scrub_every else None
        return self.timetable(usual if self.verify_schedule is None else self.verify_schedule, timezone)

    def prune_timetable(self, timezone: str) -> Timetable | None:
        """When the target is pruned: daily unless it says, where the daemon takes its backups; else only if it says."""
        scheduled = bool(self.every or self.schedule)
        usual = config_retention.DAILY if scheduled else None
        return self.timetable(usual if self.prune_schedule is None else self.prune_schedule, timezone)

    def canary_timetable(self, timezone: str, *, here: bool) -> Timetable | None:
        """When the identities are tried on backups: monthly unless it says, where there are any; a missed time for a week."""
        found = self.timetable("@monthly" if self.canary_schedule is None else self.canary_schedule, timezone)
        if found is None or not here:
            return None
        return replace(found, catch_up=max(found.catch_up, _WEEK))

    def rules_in(self, store: RetentionSettings | None, timezone: str) -> Rules:
        """What retention does in a store with this section of its own, if any."""
        return self.retention.under(store).rules(self.timezone or timezone)


class Config(Section):
    """The whole configuration, as `holdfast.config.loading.load` checked it."""

    daemon: Daemon
    encryption: Encryption = Encryption()
    stores: dict[StoreName, StoreSettings] = Field(default_factory=dict)
    target_settings: dict[TargetName, TargetSettings] = Field(default_factory=dict, alias="targets")
    defaults: Defaults = Defaults()
    notify: dict[ChannelName, ChannelSettings] = Field(default_factory=dict)

    def effective(self) -> Mapping[str, TargetSettings]:
        """The targets' settings with the defaults filled in, by name, in their order."""
        return {name: settings.over(self.defaults) for name, settings in self.target_settings.items()}

    def targets(self) -> tuple[Target, ...]:
        """The targets as the jobs see them."""
        everywhere = tuple(name for name, store in self.stores.items() if not store.read_only)
        return tuple(
            config_targets.target(name, settings, everywhere, self)
            for name, settings in self.effective().items()
        )

    def subscriptions(self) -> tuple[Subscription, ...]:
        """The channels, and what each is to be told."""
        return tuple(config_notify.subscription(name, each) for name, each in self.notify.items())

    @property
    def recipients(self) -> tuple[str, ...]:
        """To whom backups are encrypted; empty only where encryption was switched off explicitly."""
        return self.encryption.recipients if self.encryption.enabled else ()

    @property
    def signing_key_file(self) -> Path:
        """Where this host's signing key is."""
        return self.encryption.signing_key_file or self.daemon.state_dir / "signing.key"

    @property
    def ledger_file(self) -> Path:
        """Where the ledger is."""
        return self.daemon.state_dir / "ledger.sqlite"

    @property
    def listen_address(self) -> tuple[str, int]:
        """The host and port of the endpoint."""
        return values.address(self.daemon.listen)

    def configured(self) -> Configured:
        """What the metrics are to know of the config."""
        targets = self.targets()
        return Configured(
            targets={target.name: target.stores for target in targets},
            stores=tuple(self.stores),
            channels=tuple(self.notify),
            databases={target.name: target.databases for target in targets if target.databases},
            copies=needed(targets),
            off_site=frozenset(name for name, store in self.stores.items() if store.lies_elsewhere),
            providers={
                target.name: target.provider is not None for target in targets if target.supabase is not None
            },
            locking=tuple(name for name, store in self.stores.items() if store.locked_as is not None),
        )

    @property
    def tls(self) -> Files | None:
        """The certificate and key of the endpoint; None where it speaks plain HTTP."""
        certificate, key = self.daemon.tls_certificate_file, self.daemon.tls_key_file
        return None if certificate is None or key is None else Files(certificate=certificate, key=key)

    def login(self) -> auth.Login | None:
        """Who may ask the endpoint for metrics; None where everybody may. Takes a moment: it hashes the password."""
        user, password = self.daemon.auth_user, secret_text(self.daemon.auth_password)
        return None if user is None or password is None else auth.Login(user, auth.hashed(password))

    def secrets(self) -> tuple[str, ...]:
        """All secret values, for striking them out of logs; passwords in URLs too, written and decoded."""
        found = {secret_text(self.daemon.auth_password) or ""}
        for target in self.target_settings.values():
            found.update(values.login_secrets(secret_text(target.url) or "", secret_text(target.password)))
            found.update(secret_text(each) or "" for each in target.provider_secrets())
        for settings in (self.defaults, *self.target_settings.values()):
            found.update(values.login_secrets(secret_text(settings.restore_test.scratch_url) or "", None))
        for store in self.stores.values():
            found.update(store.secrets())
        for channel in self.notify.values():
            found.update(config_notify.secrets(channel))
        return tuple(sorted(found - {""}))
