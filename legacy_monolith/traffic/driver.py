"""Send the requests on an open-loop schedule: a slow answer does not slow the next request down."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

import httpx

from legacy_monolith.traffic.actions import Action, User
from legacy_monolith.traffic.bootstrap import look_around
from legacy_monolith.traffic.crowd import Crowd
from legacy_monolith.traffic.ledger import FLUSH_INTERVAL_S, FinishedRequest, Ledger, Tally
from legacy_monolith.traffic.market import Market
from legacy_monolith.traffic.profiles import ProfileName, arrivals, think_time_s, users_needed
from legacy_monolith.traffic.settling import Settlement, outcome_of
from legacy_monolith.traffic.shop import Scope, choices_of
from legacy_monolith.traffic.wire import WireTransport

_TIMEOUT_S = 30.0
_STOP_CHECK_S = 0.05
_ERROR_CHARACTERS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficSettings:
    """One run."""

    base_url: str
    seed: int
    run: str
    """Part of every name that the run makes, so that two runs on one store do not clash."""
    writes_per_second: float
    reads_per_second: float
    duration_s: float
    profile: ProfileName
    ledger: Path
    scope: Scope = "catalog"
    max_in_flight: int = 512


async def run_traffic(
    settings: TrafficSettings, stop: asyncio.Event, transport: httpx.AsyncBaseTransport | None = None
) -> dict[str, Any]:
    """Drive the store until the duration is over or `stop` is set, wait for what is in flight; returns the summary."""
    async with httpx.AsyncClient(
        base_url=settings.base_url,
        timeout=httpx.Timeout(_TIMEOUT_S),
        transport=transport or WireTransport(),
        trust_env=False,
    ) as client:
        with contextlib.closing(Ledger(settings.ledger)) as ledger:
            return await _Run(settings, stop, client, ledger).drive()


class _Run:
    """One run's state; everything happens on one event loop."""

    def __init__(
        self, settings: TrafficSettings, stop: asyncio.Event, client: httpx.AsyncClient, ledger: Ledger
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._client = client
        self._ledger = ledger
        self._tally = Tally()
        self._random = Random(settings.seed)
        self._choices = choices_of(settings.scope)
        self._slots = asyncio.Semaphore(settings.max_in_flight)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._seq = 0
        self._started = 0.0
        self._fault: BaseException | None = None
        self._market: Market
        self._crowd: Crowd
        self._settlement: Settlement

    async def drive(self) -> dict[str, Any]:
        """From the first look at the store to the last line of the ledger."""
        settings = self._settings
        found = await look_around(self._client, self._random)
        per_second = settings.writes_per_second + settings.reads_per_second
        self._market = Market(run=settings.run, start=found.start)
        self._settlement = Settlement(self._market)
        self._crowd = Crowd(
            size=users_needed(settings.profile, per_second),
            customers=found.start.customers,
            owned=found.owned,
            random=self._random,
        )
        self._ledger.append(self._start_line())
        self._started = time.perf_counter()
        flusher = asyncio.create_task(self._flush_regularly())
        try:
            await asyncio.gather(
                self._send_on_schedule("write", settings.writes_per_second),
                self._send_on_schedule("read", settings.reads_per_second),
            )
            while self._in_flight:
                await asyncio.wait(self._in_flight)
        finally:
            flusher.cancel()
        if self._fault is not None:
            raise self._fault
        summary = self._tally.summary(self._now())
        self._ledger.append({"type": "stop", "t": time.time(), **summary})
        return summary

    def _start_line(self) -> dict[str, Any]:
        names = ("run", "seed", "profile", "writes_per_second", "reads_per_second", "base_url")
        return {"type": "start", "t": time.time(), **{name: getattr(self._settings, name) for name in names}}

    def _now(self) -> float:
        """Seconds since the start of the run."""
        return time.perf_counter() - self._started

    async def _flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            self._ledger.flush()

    async def _send_on_schedule(self, kind: Literal["read", "write"], per_second: float) -> None:
        """Start one request per scheduled moment, late rather than never."""
        for scheduled in self._schedule(kind, per_second):
            if await self._stopped_before(scheduled):
                return
            await self._slots.acquire()
            if self._stop.is_set():
                self._slots.release()
                return
            task = asyncio.create_task(self._send(kind, scheduled))
            self._in_flight.add(task)
            task.add_done_callback(self._landed)

    def _schedule(self, kind: str, per_second: float) -> Iterator[float]:
        random = Random(f"{self._settings.seed}/{kind}")
        for scheduled in arrivals(self._settings.profile, per_second, random):
            if scheduled >= self._settings.duration_s:
                return
            yield scheduled

    async def _stopped_before(self, scheduled: float) -> bool:
        """Wait for the scheduled moment; true when the run is stopped instead."""
        while not self._stop.is_set() and (delay := scheduled - self._now()) > 0:
            await asyncio.sleep(min(delay, _STOP_CHECK_S))
        return self._stop.is_set()

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._slots.release()
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fault = fault
            self._stop.set()

    async def _send(self, kind: Literal["read", "write"], scheduled: float) -> None:
        sent = self._now()
        user = self._crowd.take(sent)
        action = self._choices[kind](self._market, user, sent, self._random)
        self._seq += 1
        seq, epoch = self._seq, time.time()
        request_id = f"{self._settings.run}-{seq}"
        status, body, side, error = await self._ask(action, user, request_id)
        ended = self._now()
        outcome = outcome_of(status, body)
        request = FinishedRequest(
            seq=seq,
            t=epoch,
            ms=round((ended - sent) * 1000, 3),
            late_ms=round((ended - scheduled) * 1000, 3),
            endpoint=action.endpoint,
            kind=action.kind,
            moving=action.moving,
            method=action.method,
            path=action.path,
            status=status,
            outcome=outcome,
            error=error if outcome == "failed" else None,
            side=side,
            request_id=request_id,
            write=self._settlement.settle(user, action, status, body, ended),
        )
        self._ledger.append(request.as_dict())
        self._tally.add(request)
        self._crowd.give_back(user, ready_at=ended + think_time_s(self._settings.profile, self._random))

    async def _ask(self, action: Action, user: User, request_id: str) -> tuple[int, Any, str | None, str | None]:
        """(status, JSON body, answering side, error text); status 0 for a transport error."""
        headers = {"x-customer-id": str(user.customer_id), "x-request-id": request_id}
        if action.token is not None:
            headers["x-session-token"] = action.token
        try:
            response = await self._client.request(action.method, action.path, json=action.body, headers=headers)
        except httpx.HTTPError as error:
            return 0, None, None, f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS]
        side = response.headers.get("x-strangler-side")
        try:
            body = response.json() if response.content else None
        except json.JSONDecodeError:
            body = None
        return response.status_code, body, side, response.text[:_ERROR_CHARACTERS] if response.is_error else None
