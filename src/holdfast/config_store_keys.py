"""The keys that every kind of store has in the config."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from holdfast import config_values as values
from holdfast.config_retention import RetentionSettings


class StoreKeys(BaseModel):
    """`[stores.NAME]`, whatever its type."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    url: str | None = None
    read_only: bool = False
    bandwidth_limit: Annotated[float | None, BeforeValidator(values.optional_rate)] = None
    retention: RetentionSettings | None = None
