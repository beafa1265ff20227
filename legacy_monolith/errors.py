"""What the store says no with. Every refusal is `{"error": {"code", "message"}}` with its status."""


class StoreError(Exception):
    """A request that the store refuses; `message` is for people, `code` for programs."""

    status = 500
    code = "internal"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Invalid(StoreError):
    """The request itself is wrong."""

    status = 400
    code = "invalid"


class Forbidden(StoreError):
    """The session's role may not do this."""

    status = 403
    code = "forbidden"


class NotFound(StoreError):
    """What the path names does not exist."""

    status = 404
    code = "not_found"


class Conflict(StoreError):
    """It contradicts what is stored: a taken key, or a state that does not allow it."""

    status = 409
    code = "conflict"


class CreditExceeded(Conflict):
    """The order would take the customer over the credit limit."""

    code = "credit_exceeded"


class OutOfStock(Conflict):
    """There are not enough units on hand."""

    code = "out_of_stock"


class ReadOnly(StoreError):
    """The database refuses writes to these tables for now."""

    status = 503
    code = "read_only"


class Unavailable(StoreError):
    """The database does not answer, or gave up on a lock."""

    status = 503
    code = "unavailable"


_BY_SQLSTATE: dict[str, tuple[type[StoreError], str]] = {
    "23505": (Conflict, "the value of a unique field is already taken"),
    "23503": (Invalid, "it refers to something that does not exist"),
    "23514": (Invalid, "a value is out of range"),
    "22001": (Invalid, "a value is too long"),
    "22003": (Invalid, "a number is out of range"),
    "25006": (ReadOnly, "these tables are read-only at the moment"),
    "40001": (Unavailable, "the transaction could not be serialised"),
    "40P01": (Unavailable, "the transaction was part of a deadlock"),
    "55P03": (Unavailable, "a lock was not available in time"),
    "57014": (Unavailable, "the statement was cancelled"),
}


def refusal_of(sqlstate: str | None) -> StoreError | None:
    """The refusal that a database error means, or None when it is a fault of the store itself.

    No SQLSTATE, class 08 and class 57P mean that the database is not there.
    """
    if sqlstate is None or sqlstate.startswith(("08", "57P")):
        return Unavailable("the database does not answer")
    known = _BY_SQLSTATE.get(sqlstate)
    return known[0](known[1]) if known else None
