"""Which endpoint ran which transaction. Pure.

In this order: what the statement's comment says (route, or the trace of a recorded request), marks of a serial replay,
times of recorded requests, the application's name where it is a route, and at last the shape of the transaction itself.
"""

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from migration_plans.gather.paths import Templates, as_read, shape_of, unified
from migration_plans.gather.requests import RecordedRequest
from migration_plans.gather.shapes import Mark, SeenTransaction, Shape

SLACK_S: Final = 0.002
"""A log has milliseconds, and cuts them off."""
_NOISE: Final = 0.02
"""Part of an endpoint's requests below which a shape that another endpoint has far more often is taken for a stray."""
_FAR_MORE: Final = 20
_ROUTE_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(kw_only=True, slots=True)
class Ran:
    """What one functionality was seen to do."""

    name: str
    evidence: str
    """`comment`, `trace`, `replay`, `time`, `application` or `shape`."""
    requests: int = 0
    """Requests recorded; 0 when none were."""
    traces: set[str] = field(default_factory=set)
    shapes: Counter[Shape] = field(default_factory=Counter)
    """In the order in which they were first seen."""
    held: list[float] = field(default_factory=list)
    """Seconds that each transaction took that writes or locks, as far as the log tells."""

    @property
    def calls(self) -> int:
        """Requests where they were recorded, else traces, else transactions."""
        return self.requests or len(self.traces) or self.shapes.total()

    @property
    def held_ms(self) -> float | None:
        """The mean of `held`, in milliseconds."""
        return round(1000 * sum(self.held) / len(self.held), 3) if self.held else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attributed:
    """All functionalities, and what could not be told."""

    functionalities: Mapping[str, Ran]
    ambiguous: int
    """Transactions that ran while requests of several endpoints did, any of which may have run them."""
    strays: int
    """Transactions left out because they are far more likely another endpoint's that overlapped."""


def attribute(
    transactions: Sequence[SeenTransaction],
    *,
    marks: Iterable[Mark] = (),
    requests: Sequence[RecordedRequest] = (),
    templates: Templates | None = None,
) -> Attributed:
    """Name what ran each transaction. `templates` names requests' endpoints."""
    templates = Templates() if templates is None else templates
    templates.learn((request.method, request.path) for request in requests)
    names = _Endpoints(templates)
    for request in requests:
        if request.template is not None:
            names.endpoint(request)
    endpoints = [names.endpoint(request) for request in requests]
    found: dict[str, Ran] = {}
    by_trace = _Traces(requests, endpoints)
    windows = _Windows.between(marks, requests, endpoints)
    timed: list[SeenTransaction] = []
    for one in transactions:
        if one.route is not None:
            _add(found, names.route(one.route), "comment", one)
        elif one.trace is not None and (name := by_trace.endpoint(one.trace, one)) is not None:
            _add(found, name, "trace", one)
        elif (name := windows.around(one)) is not None:
            _add(found, name, "replay", one)
        elif one.application.split(" ", 1)[0] in _ROUTE_METHODS and " /" in one.application:
            _add(found, names.route(one.application), "application", one)
        else:
            timed.append(one)
    ambiguous = strays = 0
    unmarked = [number for number, request in enumerate(requests) if request.marker not in windows.markers]
    if unmarked:
        times = _Times([requests[n] for n in unmarked], [endpoints[n] for n in unmarked])
        timed, ambiguous, strays = times.attribute(timed, found)
    for one in timed:
        _add(found, shape_name(one), "shape", one)
    for name, count in Counter(endpoints).items():
        if name in found:
            found[name].requests = count
    return Attributed(functionalities=found, ambiguous=ambiguous, strays=strays)


def shape_name(one: SeenTransaction) -> str:
    """A name for a transaction of which nothing but its tables is known."""
    written = list(dict.fromkeys(access.table for access in one.shape.accesses if access.mode == "W"))
    read = [access.table for access in one.shape.accesses if access.mode == "R" and access.table not in written]
    parts = [f"{verb} {', '.join(tables)}" for verb, tables in (("write", written), ("read", read)) if tables]
    what = "; ".join(parts) or "not understood"
    return f"{one.application}: {what}" if one.application else what


class _Endpoints:
    """One name for each endpoint, whatever its parameters are called where it is met."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self._names: dict[str, str] = {}

    def endpoint(self, request: RecordedRequest) -> str:
        """The endpoint that a recorded request was for."""
        if request.template is not None:
            return self._one(f"{as_read(request.method)} {unified(request.template)}")
        return self._one(self._templates.endpoint(request.method, request.path))

    def route(self, text: str) -> str:
        """`GET /a/<int:b>` and `a/<int:b>/` as the facts write them; names that are no path stay."""
        method, space, path = text.partition(" ")
        if space and method.upper() in _ROUTE_METHODS:
            if any(mark in path for mark in "<{:"):
                return self._one(f"{as_read(method)} {unified(path)}")
            return self._one(self._templates.endpoint(method, path))
        if "/" not in text:
            return text
        return self._one(unified(text if text.startswith("/") else f"/{text.lstrip('^').rstrip('$')}"))

    def _one(self, name: str) -> str:
        return self._names.setdefault(shape_of(name), name)


def _add(found: dict[str, Ran], name: str, evidence: str, one: SeenTransaction) -> None:
    ran = found.get(name)
    if ran is None:
        ran = found[name] = Ran(name=name, evidence=evidence)
    ran.shapes[one.shape] += 1
    if one.started is not None and one.ended is not None and one.shape.holds:
        ran.held.append(max(0.0, one.ended - one.started))
    if one.trace is not None:
        ran.traces.add(one.trace)


class _Traces:
    """Requests by their trace. One trace may hold several: of a page, of a gateway, of a call that calls on."""

    def __init__(self, requests: Sequence[RecordedRequest], endpoints: Sequence[str]) -> None:
        self._requests: dict[str, list[tuple[RecordedRequest, str]]] = defaultdict(list)
        for request, name in zip(requests, endpoints, strict=True):
            if request.trace is not None:
                self._requests[request.trace].append((request, name))

    def endpoint(self, trace: str, one: SeenTransaction) -> str | None:
        """The only endpoint of the trace, or the only one that was being answered when the transaction began."""
        asked = self._requests.get(trace, ())
        names = {name for _, name in asked}
        if len(names) > 1 and one.started is not None:
            began = one.started
            names = {name for request, name in asked if request.start - SLACK_S <= began <= request.end + SLACK_S}
        return names.pop() if len(names) == 1 else None


class _Windows:
    """Stretches of the log in which one request of a serial replay ran."""

    def __init__(self, stretches: list[tuple[int, int, str]], markers: frozenset[str]) -> None:
        self._begins = [begin for begin, _, _ in stretches]
        self._stretches = stretches
        self.markers = markers

    @classmethod
    def between(
        cls, marks: Iterable[Mark], requests: Sequence[RecordedRequest], endpoints: Sequence[str]
    ) -> "_Windows":
        names = {request.marker: name for request, name in zip(requests, endpoints, strict=True) if request.marker}
        begun: dict[str, int] = {}
        stretches, markers = [], set()
        for mark in sorted(marks, key=lambda mark: mark.entry):
            if mark.begins:
                begun[mark.marker] = mark.entry
            elif mark.marker in begun and mark.marker in names:
                stretches.append((begun.pop(mark.marker), mark.entry, names[mark.marker]))
                markers.add(mark.marker)
        return cls(sorted(stretches), frozenset(markers))

    def around(self, one: SeenTransaction) -> str | None:
        """The endpoint in whose stretch the transaction began."""
        place = bisect.bisect_right(self._begins, one.first_entry) - 1
        if place < 0:
            return None
        _, end, name = self._stretches[place]
        return name if one.first_entry < end else None


class _Times:
    """Recorded requests by time, for transactions that nothing else names."""

    def __init__(self, requests: Sequence[RecordedRequest], endpoints: Sequence[str]) -> None:
        ordered = sorted(zip(requests, endpoints, strict=True), key=lambda item: item[0].start)
        self._requests = [(request.start, request.end, name) for request, name in ordered]
        self._starts = [start for start, _, _ in self._requests]
        self._longest = max((end - start for start, end, _ in self._requests), default=0.0)
        self._counts = Counter(endpoints)

    def attribute(
        self, transactions: Iterable[SeenTransaction], found: dict[str, Ran]
    ) -> tuple[list[SeenTransaction], int, int]:
        """Add what can be told to `found`; returns the transactions outside of all requests, ambiguous and strays."""
        sure: dict[Shape, Counter[str]] = defaultdict(Counter)
        outside, unsure = [], []
        named: list[tuple[SeenTransaction, str]] = []
        for one in transactions:
            names = self._around(one)
            if not names:
                outside.append(one)
            elif len(names) == 1:
                (name,) = names
                sure[one.shape][name] += 1
                named.append((one, name))
            else:
                unsure.append((one, names))
        strays = sum(self._is_stray(sure[one.shape], name) for one, name in named)
        for one, name in named:
            if not self._is_stray(sure[one.shape], name):
                _add(found, name, "time", one)
        ambiguous = 0
        for one, names in unsure:
            known = {name for name in names if sure[one.shape][name] and not self._is_stray(sure[one.shape], name)}
            if len(known) == 1:
                _add(found, known.pop(), "time", one)
            else:
                ambiguous += 1
        return outside, ambiguous, strays

    def _around(self, one: SeenTransaction) -> set[str]:
        """Endpoints of the requests that were being answered during the whole transaction."""
        if one.started is None:
            return set()
        ended = one.started if one.ended is None else max(one.started, one.ended)
        names = set()
        place = bisect.bisect_left(self._starts, one.started - self._longest - 2 * SLACK_S)
        while place < len(self._requests) and self._requests[place][0] <= one.started + SLACK_S:
            if self._requests[place][1] >= ended - SLACK_S:
                names.add(self._requests[place][2])
            place += 1
        return names

    def _is_stray(self, counts: Counter[str], name: str) -> bool:
        """Seen with this endpoint hardly ever, and with another in most of its requests."""
        mine = counts[name] / max(1, self._counts[name])
        best = max(count / max(1, self._counts[other]) for other, count in counts.items())
        return mine < _NOISE and best > _FAR_MORE * mine
