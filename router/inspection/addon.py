"""The mitmproxy addon: passes everything through unchanged, keeps a copy of what can be compared."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from mitmproxy import http

from router.compare import Answer
from router.inspection.endpoints import endpoint_name
from router.inspection.exchange import Call, Exchange, ShadowPort, Side
from router.inspection.policy import PolicyFile
from router.inspection.refusals import request_refusal, response_refusal
from router.inspection.settings import InspectionSettings
from router.inspection.tee import BodyTee
from router.wire import CONTROL_HEADER
from strangler.clock import Clock

RULE_HEADER = "x-strangler-rule"
"""Route template of the request, as the data plane matched it."""
MOVE_HEADER = "x-strangler-move"
"""The move that the request's route belongs to."""
_OURS = (RULE_HEADER, MOVE_HEADER, CONTROL_HEADER)
_STATE = "strangler"
SHORT_BODY_BYTES = 1 << 16
"""Bodies announced as no longer are passed on in one piece, all others chunk by chunk."""


@dataclass(kw_only=True, slots=True)
class _Pending:
    """A request on its way through the proxy."""

    endpoint: str
    move: str
    call: Call
    answered_by: Side
    started_s: float
    tee: BodyTee | None


class InspectionAddon:
    """The client always gets the control's answer, byte for byte; bodies are streamed in both directions."""

    def __init__(self, *, settings: InspectionSettings, shadow: ShadowPort, policies: PolicyFile, clock: Clock) -> None:
        self._settings = settings
        self._shadow = shadow
        self._policies = policies
        self._clock = clock
        self._service = urlsplit(settings.candidate)
        self.open_requests = 0

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        self.open_requests += 1
        flow.request.stream = not _is_short(flow.request)
        headers = flow.request.headers
        answered_by: Side = "service" if headers.get(CONTROL_HEADER) == "service" else "legacy"
        endpoint = endpoint_name(flow.request.method, flow.request.path, headers.get(RULE_HEADER, ""))
        move = headers.get(MOVE_HEADER, self._settings.move)
        for name in _OURS:
            headers.pop(name, None)
        if answered_by == "service":
            self._send_to_service(flow)
        policy = self._policies.current()
        refusal = request_refusal(flow.request.method, list(headers.items()), endpoint, policy.unsafe_endpoints) or (
            None if policy.is_enabled else "switched-off"
        )
        if refusal is not None:
            self._shadow.not_compared("refused", refusal, endpoint, move)
        flow.metadata[_STATE] = _Pending(
            endpoint=endpoint,
            move=move,
            call=Call(method=flow.request.method, target=flow.request.path, headers=headers.fields),
            answered_by=answered_by,
            started_s=self._clock.monotonic(),
            tee=BodyTee(self._settings.body_limit) if refusal is None else None,
        )

    def _send_to_service(self, flow: http.HTTPFlow) -> None:
        host_header = flow.request.host_header
        flow.request.scheme = self._service.scheme
        flow.request.host = self._service.hostname or ""
        flow.request.port = self._service.port or (443 if self._service.scheme == "https" else 80)
        flow.request.host_header = host_header

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        pending: _Pending | None = flow.metadata.get(_STATE)
        assert flow.response is not None
        is_short = _is_short(flow.response)
        if pending is None or pending.tee is None:
            flow.response.stream = not is_short
            return
        refusal = response_refusal(flow.response.headers.get("content-type", ""))
        if refusal is not None:
            self._shadow.not_compared("refused", refusal, pending.endpoint, pending.move)
            pending.tee = None
        flow.response.stream = False if is_short else pending.tee or True

    def response(self, flow: http.HTTPFlow) -> None:
        pending = self._finished(flow)
        if pending is not None and flow.response is not None:
            self._submit(pending, flow.response, None)

    def error(self, flow: http.HTTPFlow) -> None:
        pending = self._finished(flow)
        if pending is None:
            return
        message = flow.error.msg if flow.error else ""
        if "Client disconnected" in message or "killed" in message:
            self._shadow.not_compared("dropped", "client-disconnected", pending.endpoint, pending.move)
            return
        failure = "truncated" if flow.response is not None else "unreachable"
        self._submit(pending, flow.response, failure)

    def _finished(self, flow: http.HTTPFlow) -> _Pending | None:
        """The pending state the first time a flow ends, if it is to be shadowed."""
        pending: _Pending | None = flow.metadata.pop(_STATE, None)
        if pending is None:
            return None
        self.open_requests -= 1
        return pending if pending.tee is not None else None

    def _submit(self, pending: _Pending, response: http.Response | None, failure: str | None) -> None:
        assert pending.tee is not None
        if response is not None and response.raw_content is not None:
            pending.tee(response.raw_content)
        base = self._settings.control if pending.answered_by == "legacy" else self._settings.candidate
        named = {name.lower(): value for name, value in pending.call.headers}
        answer = Answer(
            status=response.status_code if response else 0,
            headers=tuple((name.lower(), value) for name, value in response.headers.items(multi=True))
            if response
            else (),
            body=pending.tee.body,
            body_bytes=pending.tee.total_bytes,
            body_digest=pending.tee.digest,
            failure=failure,
            method=pending.call.method,
            origins=(base, f"http://{named.get(b'host', b'').decode('latin-1')}"),
        )
        self._shadow.submit(
            Exchange(
                call=pending.call,
                endpoint=pending.endpoint,
                move=pending.move,
                request_id=named.get(b"x-request-id", b"").decode("latin-1")[:100],
                answered_by=pending.answered_by,
                answer=answer,
                elapsed_ms=(self._clock.monotonic() - pending.started_s) * 1000,
            )
        )


def _is_short(message: http.Message) -> bool:
    length = message.headers.get("content-length", "")
    if length.isdecimal():
        return int(length) <= SHORT_BODY_BYTES
    return isinstance(message, http.Request) and "transfer-encoding" not in message.headers
