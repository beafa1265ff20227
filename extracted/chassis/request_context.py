"""Who asked: the ids that travel with a request, into its answer and into calls made on its behalf."""

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,200}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestContext:
    """`request_id` is the client's own or a fresh one; `traceparent` is W3C form, None when the client sent none."""

    request_id: str
    traceparent: str | None = None

    def headers(self) -> Mapping[str, str]:
        """What a call to another service, made for this request, must carry."""
        own = {"x-request-id": self.request_id}
        return own if self.traceparent is None else {**own, "traceparent": self.traceparent}


current_request: ContextVar[RequestContext | None] = ContextVar("current_request", default=None)


def new_request_id() -> str:
    """A random id."""
    return str(uuid.uuid4())


def read_context(headers: Iterable[tuple[bytes, bytes]], new_id: Callable[[], str]) -> RequestContext:
    """From ASGI headers (names in lower case). An unusable request id is replaced, an unusable traceparent dropped."""
    request_id = traceparent = ""
    for name, value in headers:
        if name == b"x-request-id":
            request_id = value.decode("latin-1")
        elif name == b"traceparent":
            traceparent = value.decode("latin-1")
    return RequestContext(
        request_id=request_id if _REQUEST_ID.fullmatch(request_id) else new_id(),
        traceparent=traceparent if _TRACEPARENT.fullmatch(traceparent) else None,
    )
