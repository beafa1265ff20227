"""What can go wrong in a service, and how a client sees it: `{"error": {"code", "message"}}`."""

from collections.abc import Mapping


class ServiceError(Exception):
    """Something the client is told. `status` and `code` belong to the class, the message to the case."""

    status: int = 500
    code: str = "internal"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def as_dict(self) -> dict[str, Mapping[str, str]]:
        """The JSON shape: {"error": {"code", "message"}}."""
        return {"error": {"code": self.code, "message": self.message}}


class Invalid(ServiceError):
    """The request cannot be understood, or a value in it is not allowed."""

    status = 400
    code = "invalid"


class NotFound(ServiceError):
    """The thing that the request names does not exist."""

    status = 404
    code = "not_found"


class Conflict(ServiceError):
    """The request contradicts what is already stored."""

    status = 409
    code = "conflict"


class ReadOnly(ServiceError):
    """The database refuses writes now: another side owns these tables, or a cutover is under way."""

    status = 503
    code = "read_only"


class Unavailable(ServiceError):
    """The database does not answer, or has no connection free in time."""

    status = 503
    code = "unavailable"


class AlreadyStored(Conflict):
    """A unique constraint refused a row. `constraint` is its name."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"already exists ({constraint})")
        self.constraint = constraint


class MissingReference(Invalid):
    """A foreign key refused a row. `constraint` is its name."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"refers to something that does not exist ({constraint})")
        self.constraint = constraint


class OutsideTransaction(Exception):
    """A defect: something that belongs into the caller's transaction was asked for without one."""


class BadSettings(Exception):
    """An environment variable that the service needs is missing or wrong."""

    def __init__(self, *, variable: str, reason: str) -> None:
        super().__init__(f"environment variable {variable}: {reason} — set it and start the service again")
        self.variable = variable
        self.reason = reason
