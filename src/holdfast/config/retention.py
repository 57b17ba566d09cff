"""`[….retention]` in the config: of all targets, of one, of a store; the narrower one says a key, the wider fills the rest in."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from holdfast.config import values
from holdfast.model import schedule as schedules
from holdfast.model.retention import FOREVER, PERIODS, Policy
from holdfast.model.target import Rules

DAILY = "45 5 * * *"  # when a target that is backed up by itself is pruned, unless the config says
_LEAST_GRACE = 3600.0


def _count(value: object) -> object:
    if value == "forever":
        return FOREVER
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('a whole number or "forever" was expected')  # noqa: TRY004 - as pydantic wants it
    return value


def _grace(seconds: float) -> float:
    if seconds < _LEAST_GRACE:
        raise ValueError("at least an hour was expected: for that long a hidden backup can be brought back")
    return seconds


Count = Annotated[int, Field(ge=0, le=FOREVER), BeforeValidator(_count)]
Within = Annotated[float | None, BeforeValidator(values.limit)]
Grace = Annotated[float, BeforeValidator(values.duration), AfterValidator(_grace)]


class RetentionSettings(BaseModel):
    """The keys of a `retention` section. Times are in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    keep_last: Count = 0
    hourly: Count = 0
    daily: Count = 7
    weekly: Count = 4
    monthly: Count = 12
    yearly: Count = FOREVER
    within: Within = None
    minimum: Annotated[int, Field(ge=1, le=1000)] = 2
    require: Literal["good", "proven"] = "good"
    grace: Grace = 259200.0
    max_deletions: Annotated[int, Field(ge=1)] | None = None

    def under(self, narrower: "RetentionSettings | None") -> "RetentionSettings":
        """Take over what the narrower section says."""
        if narrower is None:
            return self
        said = {name: getattr(narrower, name) for name in narrower.model_fields_set}
        return self.model_copy(update=said)

    def problem(self) -> str | None:
        """Tell why these keys cannot be meant, or None."""
        if self.within is None and not any(getattr(self, name) for name in ("keep_last", *PERIODS)):
            return 'no rule keeps anything; to keep all, write keep_last = "forever"'
        return None

    def rules(self, zone: str) -> Rules:
        """What retention does by these keys; days and weeks are those of the time zone."""
        return Rules(
            policy=Policy(
                keep_last=self.keep_last,
                hourly=self.hourly,
                daily=self.daily,
                weekly=self.weekly,
                monthly=self.monthly,
                yearly=self.yearly,
                within=None if self.within is None else timedelta(seconds=self.within),
                minimum=self.minimum,
                require=self.require,
                zone=schedules.time_zone(zone),
            ),
            grace=timedelta(seconds=self.grace),
            max_deletions=self.max_deletions,
        )
