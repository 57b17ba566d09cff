"""The keys of a target's `restore_test` table, as frozen pydantic models, and what they mean to the job."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from holdfast.config import values
from holdfast.model.planning import Timetable
from holdfast.model.testing import Check, RestoreTesting

Seconds = Annotated[float, BeforeValidator(values.duration)]
Limit = Annotated[float | None, BeforeValidator(values.limit)]
Words = Annotated[tuple[str, ...], BeforeValidator(values.words), AfterValidator(values.filled)]
Text = Annotated[str, Field(min_length=1)]
Schedule = Annotated[str, AfterValidator(values.schedule)]
_CATCH_UP = 7 * 86400.0  # seconds
_EXPECTATIONS = ("equals", "min", "max", "not_empty", "max_age")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class CheckSettings(_Section):
    """`[[targets.NAME.restore_test.checks]]`: a question to what was restored, and the answer that it has to give."""

    name: Text
    sql: Text
    database: Text | None = None
    equals: str | int | float | bool | None = None
    min: Decimal | None = None
    max: Decimal | None = None
    not_empty: bool = False
    max_age: Seconds | None = None

    @model_validator(mode="after")
    def _expects_one_thing(self) -> "CheckSettings":
        said = [
            key for key in _EXPECTATIONS if getattr(self, key) not in (None, False) or key in self._given()
        ]
        if not said or (len(said) > 1 and set(said) != {"min", "max"}):
            raise ValueError(f"it expects one thing: {', '.join(_EXPECTATIONS)}, or min and max together")
        return self

    def _given(self) -> set[str]:
        return self.model_fields_set & {"equals"}  # equals = false is an expectation


class RestoreTestSettings(_Section):
    """`[targets.NAME.restore_test]`: whether backups really come back."""

    schedule: Schedule = "@monthly"
    also_older: Annotated[int, Field(ge=0, le=20)] = 1
    jobs: Annotated[int, Field(ge=1, le=64)] = 2
    isolation: Literal["required", "preferred"] = "required"
    scratch_dir: Path | None = None
    scratch_url: Annotated[SecretStr, AfterValidator(values.secret_target_url)] | None = None
    scratch_url_file: Path | None = None
    server_bin_dirs: Words = ()
    without_extensions: Words = ()
    amcheck: bool = True
    timeout: Limit = 86400.0
    check_timeout: Seconds = 300.0
    settings: dict[str, str] = Field(default_factory=dict)
    checks: tuple[CheckSettings, ...] = ()

    def over(self, defaults: "RestoreTestSettings") -> "RestoreTestSettings":
        """Fill in from `defaults` what is not said here."""
        missing = defaults.model_fields_set - self.model_fields_set
        return self.model_copy(update={name: getattr(defaults, name) for name in missing})

    def problem(self) -> str | None:
        """Say what cannot be meant."""
        if self.scratch_url is None or self.isolation != "required":
            return None
        return 'restored code cannot be shut in on a server of yours: set isolation = "preferred" too, or remove it'

    def plan(self, timetable: Timetable | None, *, source_url: str | None) -> RestoreTesting:
        """What the job is given; `source_url` is the target's own server."""
        if timetable is not None:  # a monthly slot that a weekend's outage ate is made up for
            timetable = replace(timetable, catch_up=max(timetable.catch_up, _CATCH_UP))
        return RestoreTesting(
            timetable=timetable,
            also_older=self.also_older,
            jobs=self.jobs,
            isolation=self.isolation,
            scratch_dir=self.scratch_dir,
            scratch_url=values.secret_text(self.scratch_url),
            source_url=source_url,
            server_bin_dirs=tuple(map(Path, self.server_bin_dirs)),
            without_extensions=self.without_extensions,
            amcheck=self.amcheck,
            settings=self.settings,
            checks=tuple(map(_check, self.checks)),
            timeout=self.timeout,
            check_timeout=self.check_timeout,
        )


def _check(settings: CheckSettings) -> Check:
    expected = settings.equals
    return Check(
        name=settings.name,
        sql=settings.sql,
        database=settings.database,
        equals=None if expected is None else str(expected),
        min=settings.min,
        max=settings.max,
        not_empty=settings.not_empty,
        max_age=settings.max_age,
    )
