"""The keys that every kind of store has in the config."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from holdfast.config import values
from holdfast.config.retention import RetentionSettings
from holdfast.model import layout

if TYPE_CHECKING:
    from holdfast.stores.locking import LockRule

_DAY = 86400.0


class StoreKeys(BaseModel):
    """`[stores.NAME]`, whatever its type."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    url: str | None = None
    read_only: bool = False
    off_site: bool | None = None
    bandwidth_limit: Annotated[float | None, BeforeValidator(values.optional_rate)] = None
    retention: RetentionSettings | None = None
    pruner: Annotated[str, Field(min_length=1)] | None = None

    @property
    def lies_elsewhere(self) -> bool:
        """Whether it survives what destroys the site of the servers: a cloud does, unless the config says otherwise."""
        return self.in_cloud if self.off_site is None else self.off_site

    @property
    def in_cloud(self) -> bool:
        """Whether its kind is that of a service, not of a directory."""
        return False

    @property
    def locked_as(self) -> str | None:
        """The mode in which it locks what belongs to backups; None where it does not."""
        return None


class LockKeys(StoreKeys):
    """The keys of a store whose service can lock objects."""

    object_lock: Literal["governance", "compliance"] | None = None
    object_lock_first: Annotated[float, BeforeValidator(values.duration)] = 3 * _DAY
    object_lock_max: Annotated[float, BeforeValidator(values.duration)] = 35 * _DAY

    @property
    def in_cloud(self) -> bool:
        """All services that can lock objects are clouds."""
        return True

    @property
    def locked_as(self) -> str | None:
        """The mode of its locks."""
        return self.object_lock


def lock_problem(keys: LockKeys) -> str | None:
    """Tell what the keys of locks contradict each other in, or None."""
    if keys.object_lock_first > keys.object_lock_max:
        return "object_lock_first is longer than object_lock_max: no lock may last longer than that"
    return None


def lock_rule(keys: LockKeys) -> "LockRule | None":
    """Give the rule by which what belongs to backups is locked; the probes and the lease never are."""
    from holdfast.stores.locking import LockRule  # noqa: PLC0415 - not for `holdfast --help`

    if keys.object_lock is None:
        return None
    return LockRule(
        mode=keys.object_lock,
        first=timedelta(seconds=keys.object_lock_first),
        longest=timedelta(seconds=keys.object_lock_max),
        applies=lambda key: layout.parse_key(key) is not None,
    )
