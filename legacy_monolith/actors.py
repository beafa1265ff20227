"""Who asks: a session token is honoured when it is sent, and `x-customer-id` is enough when it is not."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import request
from sqlalchemy import text

from legacy_monolith.database import database
from legacy_monolith.errors import Forbidden

_SESSION = text("""
SELECT u.id, u.login, u.role_name, u.customer_id
FROM sessions s
JOIN users u ON u.id = s.user_id
WHERE s.token = :token AND s.expires_at > now()
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """Who is behind a request; without a session everything but the customer is unknown."""

    user_id: int | None = None
    login: str | None = None
    role: str | None = None
    customer_id: int | None = None

    @property
    def name(self) -> str:
        """For the audit trail."""
        return self.login or f"customer:{self.customer_id}"


def current_actor() -> Actor:
    """The actor of this request; a token that is not known or has expired is refused."""
    token = request.headers.get("x-session-token")
    if token is None:
        return Actor(customer_id=_customer_header())
    with database().statement() as connection:
        row = connection.execute(_SESSION, {"token": str(_uuid(token))}).first()
    if row is None:
        raise Forbidden("the session is not known or has expired")
    return Actor(user_id=row[0], login=row[1], role=row[2], customer_id=row[3])


def require_role(*roles: str) -> Actor:
    """The actor, refused when a session says that it has another role. Requests without a session pass (a demo)."""
    actor = current_actor()
    if actor.role is not None and actor.role not in roles:
        raise Forbidden(f"only for {' and '.join(roles)}")
    return actor


def _customer_header() -> int | None:
    given: Any = request.headers.get("x-customer-id", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else None


def _uuid(token: str) -> UUID:
    try:
        return UUID(token)
    except ValueError as error:
        raise Forbidden("the session is not known or has expired") from error
