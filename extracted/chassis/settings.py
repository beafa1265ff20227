"""A service's settings, read once from the environment."""

import os
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from extracted.chassis.errors import BadSettings

_VARIABLES: Mapping[str, str] = {
    "database_url": "DATABASE_URL",
    "pool_min": "POOL_MIN",
    "pool_max": "POOL_MAX",
    "pool_wait_s": "POOL_WAIT_S",
    "statement_timeout_ms": "STATEMENT_TIMEOUT_MS",
}


class ServiceSettings(BaseModel):
    """Each field is the environment variable of the same name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    database_url: str = Field(min_length=1, repr=False)
    pool_min: int = Field(default=2, ge=0, le=1000)
    pool_max: int = Field(default=8, ge=1, le=1000)
    pool_wait_s: float = Field(default=10.0, gt=0)
    """How long a request waits for a free connection before it is answered 503."""
    statement_timeout_ms: int = Field(default=15_000, ge=0)
    """The database ends a statement that runs longer. 0: never."""


def load_settings(environment: Mapping[str, str] | None = None) -> ServiceSettings:
    """Settings from the environment. Raises `BadSettings` naming the variable that is wrong."""
    env = os.environ if environment is None else environment
    raw = {field: env[variable] for field, variable in _VARIABLES.items() if variable in env}
    try:
        return ServiceSettings.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        variable = _VARIABLES[str(first["loc"][0])]
        raise BadSettings(variable=variable, reason=first["msg"]) from None
