"""Logging in and out."""

from flask import Blueprint, Response, request
from sqlalchemy import delete, select

from legacy_monolith import bodies
from legacy_monolith.actors import current_actor
from legacy_monolith.answers import answer, nothing, timestamp
from legacy_monolith.bodies import Field
from legacy_monolith.database import database
from legacy_monolith.errors import Forbidden
from legacy_monolith.models import User, UserSession

area = Blueprint("sessions", __name__, url_prefix="/api")

_LOGIN = {"login": Field(check=bodies.text(1, 80), required=True)}


@area.post("/sessions")
def log_in() -> Response:
    """A session for a known login; the demo store asks for no password."""
    login = bodies.read_body(_LOGIN)["login"]
    with database().session() as session:
        user = session.scalar(select(User).where(User.login == login))
        if user is None:
            raise Forbidden("there is no such login")
        opened = UserSession(user_id=user.id)
        session.add(opened)
        session.flush()
        shown = {"token": str(opened.token), "role": user.role_name, "expires_at": timestamp(opened.expires_at)}
    return answer(shown, 201)


@area.delete("/sessions/current")
def log_out() -> Response:
    """End the session of this request."""
    current_actor()
    with database().session() as session:
        session.execute(delete(UserSession).where(UserSession.token == request.headers.get("x-session-token")))
    return nothing()


@area.get("/me")
def show_me() -> Response:
    """Who the store thinks is asking."""
    actor = current_actor()
    return answer({"login": actor.login, "role": actor.role, "customer_id": actor.customer_id})
