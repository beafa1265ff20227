"""Asks one side, once. No retries, no redirects, no cookies kept, a limit on time and on bytes."""

import asyncio
import re
import secrets
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy

import httpx

from router.compare import Answer
from router.compare.values import Headers
from router.inspection.exchange import Call, RawHeaders
from router.inspection.refusals import SHADOW_HEADER
from router.inspection.tee import BodyTee
from strangler.clock import Clock

_HOP_BY_HOP = {
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
    b"trailer", b"transfer-encoding", b"upgrade", b"content-length",
}  # fmt: skip
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")
MAX_CONNECTIONS = 8
"""Calls to one side at once; the pool's own cost grows with the number that wait in it."""
KEEPALIVE_S = 2.0
"""Shorter than the idle limit of usual servers (5 s), so that a closed connection is not mistaken for a failure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """An answer, or what is known of one that failed, and how long it took."""

    answer: Answer
    elapsed_ms: float


class SideClient:
    """Own connection pool to one side."""

    def __init__(self, base_url: str, *, timeout_s: float, body_limit: int, clock: Clock) -> None:
        self._base = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._body_limit = body_limit
        self._clock = clock
        self._turn = asyncio.Semaphore(MAX_CONNECTIONS)
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout_s),
            limits=httpx.Limits(
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=MAX_CONNECTIONS,
                keepalive_expiry=KEEPALIVE_S,
            ),
            follow_redirects=False,
            trust_env=False,
            headers={},
        )
        self._client.headers.clear()
        self._client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))

    async def ask(self, call: Call, *, is_shadow: bool) -> Reply:
        """Send the call once. A failure is an answer with `failure` set; nothing is sent again."""
        tee = BodyTee(self._body_limit)
        headers = forwarded_headers(call.headers, is_shadow=is_shadow)
        async with self._turn:
            started = self._clock.monotonic()
            answer = await self._ask(call, headers, tee)
            return Reply(answer=answer, elapsed_ms=(self._clock.monotonic() - started) * 1000)

    async def _ask(self, call: Call, headers: list[tuple[bytes, bytes]], tee: BodyTee) -> Answer:
        status, failure = 0, None
        received: Headers = ()
        try:
            async with asyncio.timeout(self._timeout_s):
                request = self._client.build_request(call.method, self._base + call.target, headers=headers)
                response = await self._client.send(request, stream=True)
                async with aclosing(response):
                    status, received = response.status_code, _text_headers(response.headers.raw)
                    async for chunk in response.aiter_raw():
                        tee(chunk)
        except (TimeoutError, httpx.TimeoutException):
            failure = "timeout"
        except httpx.ConnectError:
            failure = "refused"
        except (httpx.RemoteProtocolError, httpx.NetworkError):
            failure = "truncated" if status else "reset"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failure = type(error).__name__
        return Answer(
            status=status,
            headers=received,
            body=tee.body,
            body_bytes=tee.total_bytes,
            body_digest=tee.digest,
            failure=failure,
            method=call.method,
            origins=(self._base, f"http://{_host(call.headers)}"),
        )

    async def close(self) -> None:
        await self._client.aclose()


def forwarded_headers(headers: Iterable[tuple[bytes, bytes]], *, is_shadow: bool) -> list[tuple[bytes, bytes]]:
    """The client's headers byte for byte, without hop-by-hop ones; a shadow is marked and gets a span of its own."""
    pairs = list(headers)
    named = {
        token.strip().lower() for name, value in pairs if name.lower() == b"connection" for token in value.split(b",")
    }
    kept = [(name, value) for name, value in pairs if name.lower() not in _HOP_BY_HOP | named]
    if not is_shadow:
        return kept
    marked = [
        (name, _new_span(value)) if name.lower() == b"traceparent" else (name, value)
        for name, value in kept
        if name.lower() != SHADOW_HEADER.encode()
    ]
    return [*marked, (SHADOW_HEADER.encode(), b"1")]


def _new_span(traceparent: bytes) -> bytes:
    """The same trace with a fresh parent id; a malformed header stays as it is."""
    if not _TRACEPARENT.match(traceparent):
        return traceparent
    version, trace, _, flags = traceparent.split(b"-")
    return b"-".join((version, trace, secrets.token_hex(8).encode(), flags))


def _host(headers: RawHeaders) -> str:
    return next((value.decode("latin-1") for name, value in headers if name.lower() == b"host"), "")


def _text_headers(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw)
