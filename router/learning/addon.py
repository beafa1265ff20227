"""The recorder as a mitmproxy addon: passes everything on unchanged and writes a line for each request."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from mitmproxy import http
from mitmproxy.net import encoding

from router.inspection.tee import BodyTee
from router.learning.errors import RecordNotWritable
from router.learning.operations import operation_of
from router.learning.record_file import RecordFile
from router.learning.secrets_hidden import Hidden, answer_shown, text_body
from router.learning.traces import is_valid, traceparent_of
from router.learning.turns import Turn, Turnstile
from strangler.clock import Clock

MAX_BODY_BYTES: Final = 1 << 18
"""Longer bodies pass, but are not in the record."""
_STATE: Final = "strangler"
_SOCKET: Final = "strangler-socket"


@dataclass(kw_only=True, slots=True)
class _Pending:
    """A request on its way through the recorder."""

    number: int
    started: float
    """Seconds since 1970."""
    started_s: float
    """Monotonic."""
    turn: Turn | None
    asked: BodyTee = field(default_factory=lambda: BodyTee(MAX_BODY_BYTES))
    answered: BodyTee = field(default_factory=lambda: BodyTee(MAX_BODY_BYTES))


class RecorderAddon:
    """Bodies are streamed in both directions. `fresh_id` gives 32 random hex digits, `run` tells this run's marks from
    those of others. `problem` is why the record could not be written: traffic passes on all the same."""

    def __init__(
        self,
        *,
        record: RecordFile,
        clock: Clock,
        run: str,
        fresh_id: Callable[[], str] | None,
        turnstile: Turnstile | None = None,
        hidden: Hidden | None = None,
    ) -> None:
        """Without `fresh_id` no request is given a trace; without `hidden` no bodies are recorded."""
        self._record = record
        self._clock = clock
        self._run = run
        self._fresh_id = fresh_id
        self._turnstile = turnstile
        self._hidden = hidden
        self._numbers = 0
        self._finishing: set[asyncio.Task[None]] = set()
        self._unfinished = 0
        self.problem: RecordNotWritable | None = None

    @property
    def open_requests(self) -> int:
        """Those that are not answered, or not yet in the record."""
        return self._unfinished + len(self._finishing)

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Wait for the turn, if turns are taken; then it passes."""
        self._unfinished += 1
        self._numbers += 1
        number = self._numbers
        turn = None if self._turnstile is None else await self._turnstile.enter(f"{self._run}-{number}")
        headers = flow.request.headers
        if self._fresh_id is not None and not is_valid(headers.get("traceparent", "")):
            headers["traceparent"] = traceparent_of(self._fresh_id())
            headers.pop("tracestate", None)
        pending = _Pending(
            number=number, started=self._clock.now().timestamp(), started_s=self._clock.monotonic(), turn=turn
        )
        flow.metadata[_STATE] = pending
        flow.request.stream = pending.asked

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """From here on the answer passes as it comes."""
        pending: _Pending | None = flow.metadata.get(_STATE)
        assert flow.response is not None
        flow.response.stream = True if pending is None else pending.answered

    def response(self, flow: http.HTTPFlow) -> None:
        """The client has its answer."""
        self._finish(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """The client left, or the monolith gave no answer: the request may have run, and is recorded."""
        self._finish(flow)

    def websocket_start(self, flow: http.HTTPFlow) -> None:
        """What its messages do is of no request."""
        if self._turnstile is not None:
            flow.metadata[_SOCKET] = self._turnstile.beside()

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        """Requests may run alone again."""
        turn: Turn | None = flow.metadata.pop(_SOCKET, None)
        if self._turnstile is not None and turn is not None:
            self._turnstile.ended(turn)

    def _finish(self, flow: http.HTTPFlow) -> None:
        pending: _Pending | None = flow.metadata.pop(_STATE, None)
        if pending is None:
            return
        self._unfinished -= 1
        line = self._line(flow, pending)
        if pending.turn is None:
            self._write(line)
            return
        task = asyncio.get_running_loop().create_task(self._leave(pending.turn, line))
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    async def _leave(self, turn: Turn, line: dict[str, Any]) -> None:
        assert self._turnstile is not None
        if await self._turnstile.leave(turn) and self._turnstile.marks_log:
            line["marker"] = turn.marker
        self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        if self.problem is not None:
            return
        try:
            self._record.write(line)
        except RecordNotWritable as error:
            self.problem = error

    def _line(self, flow: http.HTTPFlow, pending: _Pending) -> dict[str, Any]:
        request, response = flow.request, flow.response
        lasted_s = self._clock.monotonic() - pending.started_s
        line: dict[str, Any] = {
            "type": "request",
            "method": request.method,
            "path": request.path.partition("?")[0],
            "start": round(pending.started, 6),
            "end": round(pending.started + lasted_s, 6),
            "status": response.status_code if response is not None else 0,
            "traceparent": request.headers.get("traceparent"),
        }
        if self._hidden is not None:
            line |= _bodies(flow, pending, self._hidden)
        return line


def _bodies(flow: http.HTTPFlow, pending: _Pending, hidden: Hidden) -> dict[str, Any]:
    """What a replay needs. Of a body that is too long, or of an unknown kind, only that it was there."""
    request, response = flow.request, flow.response
    # The answer first: what it shows to be a secret is hidden in later requests, and this one knew none of it.
    shown: dict[str, Any] = {"headers": hidden.request_headers(list(request.headers.items(multi=True)))}
    body = _decoded(pending.asked, request.headers.get("content-encoding", ""))
    if pending.asked.total_bytes:
        text = None if body is None else text_body(body, request.headers.get("content-type", ""), hidden)
        shown |= {"body_left_out": pending.asked.total_bytes} if text is None else {"body": text}
    shown["path"] = hidden.target(request.path)
    if operation := operation_of(request.headers, shown.get("body")):
        shown["template"] = f"{request.path.partition('?')[0]}#{operation}"
    if response is not None:
        answered = _decoded(pending.answered, response.headers.get("content-encoding", ""))
        answer: dict[str, Any] = hidden.answer_headers(list(response.headers.items(multi=True)))
        if answered:
            answer |= answer_shown(answered, response.headers.get("content-type", ""), hidden)
        shown["answer"] = answer
    return shown


def _decoded(tee: BodyTee, content_encoding: str) -> bytes | None:
    """The whole body without its compression; None when it was too long, or cannot be read."""
    if tee.total_bytes > MAX_BODY_BYTES:
        return None
    try:
        decoded = encoding.decode(tee.body, content_encoding) if content_encoding else tee.body
    except ValueError:
        return None
    return decoded if isinstance(decoded, bytes) and len(decoded) <= 4 * MAX_BODY_BYTES else None
