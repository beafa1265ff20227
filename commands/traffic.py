"""`migration_plans.ports.TrafficPlane` over `router`, and the route table that a plan asks for."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from commands.layout import Layout
from migration_plans.plan import Plan
from migration_plans.ports import GateSeen, ParallelRunSeen, Side, WritesSeen
from router.envoy.options import ProxyOptions
from router.parallel_log import ParallelRunLog
from router.parallel_verdict import ParallelLimits, parallel_verdict
from router.routes import WHOLE, Backend, MoveRoutes, RouteRule, RouteTable, StickyKey
from router.traffic import Traffic, TrafficSettings
from strangler.settings import Settings


def traffic_settings(settings: Settings) -> TrafficSettings:
    """The router's settings out of strangler.toml."""
    layout, router = Layout.of(settings), settings.router
    return TrafficSettings(
        table_path=layout.route_table,
        gate_path=layout.gate,
        envoy_folder=layout.envoy,
        admin_url=f"http://{router.admin}",
        gate_url=f"http://{router.gate}",
        proxy=ProxyOptions(
            listen=router.listen,
            admin=router.admin,
            access_log=None if router.access_log is None else str(settings.root / router.access_log),
        ),
    )


def backends(settings: Settings) -> RouteTable:
    """A table without moves: everything goes to legacy."""
    return RouteTable(
        version=1,
        legacy=Backend(name="legacy", url=settings.legacy.url),
        services=tuple(Backend(name=name, url=service.url) for name, service in settings.services.items()),
        inspection=Backend(name="inspection", url=f"http://{settings.router.inspect}"),
        gate=Backend(name="gate", url=f"http://{settings.router.gate}"),
        force_token=settings.router.force_token or None,
    )


def move_routes(plan: Plan) -> MoveRoutes:
    """The plan's endpoints, all still on legacy."""
    return MoveRoutes(
        move=plan.move,
        service=plan.service,
        rules=tuple(
            RouteRule(id=route.id, methods=route.methods, path=route.path, kind=route.kind) for route in plan.routes
        ),
        sticky=StickyKey(header=plan.sticky.header, cookie=plan.sticky.cookie),
    )


@contextmanager
def open_traffic(settings: Settings) -> Iterator[Traffic]:
    """The router's verbs; connections are closed at the end."""
    traffic = Traffic(traffic_settings(settings))
    try:
        yield traffic
    finally:
        traffic.close()


class MoveTraffic:
    """Implements `TrafficPlane` for one plan."""

    def __init__(self, settings: Settings, plan: Plan, traffic: Traffic) -> None:
        self._plan = plan
        self._move = plan.move
        self._traffic = traffic
        self._record = Layout.of(settings).parallel_run(plan.move)

    def install(self) -> None:
        self._traffic.install(move_routes(self._plan))

    def uninstall(self) -> None:
        self._traffic.uninstall(self._move)

    def set_read_percent(self, percent: float) -> None:
        share = _millionths(percent)
        self._traffic.set_read_share(self._move, share, everyone=share == WHOLE)

    def set_inspect_percent(self, percent: float) -> None:
        self._traffic.set_inspect_share(self._move, _millionths(percent))

    def arm(self, owner: Side) -> None:
        self._traffic.set_write_owner(self._move, owner)
        self._traffic.arm(self._move)

    def disarm(self, owner: Side) -> None:
        self._traffic.set_write_owner(self._move, owner)
        self._traffic.disarm(self._move)

    def close_gate(self) -> None:
        self._traffic.close_gate(self._move)

    def writes_seen(self) -> WritesSeen:
        sample = self._traffic.writes_in_flight(self._move)
        return WritesSeen(in_flight=sample.active + sample.pending, finished=sample.finished)

    def drain(self, timeout_s: float) -> float:
        return self._traffic.drain_writes(self._move, timeout_s).seconds

    def open_gate(self, owner: Side) -> None:
        self._traffic.open_gate(self._move, owner)

    def gate_seen(self) -> GateSeen:
        gate = self._traffic.status(self._move).gate
        if gate is None or not gate.closures:
            return GateSeen(held_requests=0, hold_p50_ms=0, hold_p99_ms=0, hold_max_ms=0, refused=0)
        last = gate.closures[-1]
        return GateSeen(
            held_requests=last.hold_ms.count,
            hold_p50_ms=last.hold_ms.p50,
            hold_p99_ms=last.hold_ms.p99,
            hold_max_ms=last.hold_ms.max,
            refused=last.refused,
        )

    def reset_parallel_run(self) -> None:
        with closing(ParallelRunLog(self._record)) as log:
            log.reset(self._move)

    def parallel_run(self) -> ParallelRunSeen:
        with closing(ParallelRunLog(self._record)) as log:
            summary = log.summary(move=self._move)
        shadow = self._plan.shadow
        verdict = parallel_verdict(
            summary,
            ParallelLimits(
                min_compared=shadow.min_compared,
                max_upper_bound=shadow.max_upper_bound,
                max_candidate_failed=shadow.max_failed,
            ),
        )
        return ParallelRunSeen(
            compared=summary.compared,
            confirmed=summary.confirmed,
            noise=summary.noise,
            raced=summary.raced,
            failed=summary.candidate_failed,
            state=verdict.state.value,
            reason=verdict.reason,
        )


def _millionths(percent: float) -> int:
    return round(percent * WHOLE / 100)
