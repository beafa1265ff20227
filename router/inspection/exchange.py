"""One answered request, as the proxy hands it over to be shadowed."""

from dataclasses import dataclass
from typing import Literal, Protocol

from router.compare import Answer

Side = Literal["legacy", "service"]
RawHeaders = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A safe request, as the client sent it: header bytes untouched. `target` is path and query."""

    method: str
    target: str
    headers: RawHeaders


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """A request that the client has been answered, by the side `answered_by`."""

    call: Call
    endpoint: str
    move: str
    request_id: str
    answered_by: Side
    answer: Answer
    elapsed_ms: float


class ShadowPort(Protocol):
    """Where the proxy leaves what is to be compared. Neither method blocks, waits or raises."""

    def submit(self, exchange: Exchange) -> None:
        """Shadow this exchange, or count it as dropped."""
        ...

    def not_compared(self, kind: str, reason: str, endpoint: str, move: str) -> None:
        """Count a request that is not compared: `refused` by rule or `dropped`."""
        ...
