"""The verbs by which a cutover moves traffic. Each is durable, acknowledged by proxy and gate, and may be repeated.

A verb first looks whether those it needs answer, and touches nothing when they do not. Then it changes the file that
is the truth (route table or gate state), publishes, and returns only once the proxy routes, or the gate answers, by it.
Killed in between, the same verb again completes the job.

Order of a cutover: `arm` → `close_gate` → `drain_writes` → (ownership changes) → `open_gate(owner)` →
`set_write_owner(owner)` → `disarm`. What would let writes through to two sides is refused (`UnsafeTraffic`).
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from router.drain import DrainResult, drain
from router.envoy.admin import EnvoyAdmin, WritesInFlight
from router.envoy.options import ProxyOptions
from router.envoy.publish import prune, publish, retired_clusters
from router.errors import ConfigUnread, GateSilent, ProxySilent, UnsafeTraffic
from router.gate_control import GateClient, GateFile
from router.gate_state import GateMoveStatus, GateState, GateWord
from router.locked_file import locked
from router.routes import MoveRoutes, RouteTable, Side
from router.table_file import RouteTableFile
from strangler.clock import Clock, SystemClock

WORKERS_SETTLE_S = 0.05
"""Between the proxy's acknowledgement, given by its main thread, and all its worker threads having heard."""


@dataclass(frozen=True, kw_only=True)
class TrafficSettings:
    """Where the two files of truth, the proxy's folder, and the two listening ends are."""

    table_path: Path
    gate_path: Path
    envoy_folder: Path
    admin_url: str
    gate_url: str
    proxy: ProxyOptions
    acknowledge_timeout_s: float = 10.0


@dataclass(frozen=True, kw_only=True)
class TrafficStatus:
    """Where the traffic of one move goes. `proxy_version`, `active_writes` and `gate` are None when nobody answers."""

    routes: MoveRoutes
    table_version: int
    proxy_version: int | None
    active_writes: int | None
    gate_file: GateState | None
    gate: GateMoveStatus | None


class Traffic:
    """The router as the cutover sees it: one route table, one gate, one proxy."""

    def __init__(self, settings: TrafficSettings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._table = RouteTableFile(settings.table_path)
        self._gate_file = GateFile(settings.gate_path)
        self._gate = GateClient(settings.gate_url, self._clock)
        self._admin = EnvoyAdmin(settings.admin_url, self._clock)

    def close(self) -> None:
        self._gate.close()
        self._admin.close()

    def prepare(self, backends: RouteTable) -> RouteTable:
        """Create the table file, or bring its backends and force token up to date; its moves stay. Writes all that
        Envoy needs to start, and waits for it only if it runs already. Give it a table without moves."""
        with locked(self._settings.envoy_folder / "publish"):
            if not self._table.exists():
                stored = self._table.save(backends, None)
            else:
                current = self._table.load()
                wanted = replace(backends, version=current.version, moves=current.moves)
                stored = current if wanted == current else self._table.save(wanted, current.version)
            if self._admin.ready():
                self._publish(stored)
            else:
                publish(stored, self._settings.envoy_folder, self._settings.proxy)
            return stored

    def install(self, routes: MoveRoutes) -> None:
        """Add a move, or bring its rules, sticky key and pins up to date; how far it has come stays as it is."""

        def change(table: RouteTable) -> RouteTable:
            known = next((move for move in table.moves if move.move == routes.move), None)
            if known is None:
                return table.with_move(routes)
            wanted = replace(known, service=routes.service, rules=routes.rules, sticky=routes.sticky, pins=routes.pins)
            if wanted != known and known.gate_armed:
                raise UnsafeTraffic(
                    thing=f"rules of move {routes.move!r}",
                    reason="its gate is armed",
                    mend="finish or abort the cutover first",
                )
            return table.with_move(wanted)

        self._change(change)

    def uninstall(self, move: str) -> None:
        """Forget a move: its requests go to legacy. Refused while the service owns its writes, or its gate is armed."""
        if all(known.move != move for known in self._table.load().moves):
            self._change(lambda table: table)
        else:
            self._change(lambda table: _without(table, move))
        self._gate_file.remove(move)

    def set_read_share(self, move: str, millionths: int, *, everyone: bool = False) -> None:
        """Send the reads of this share of sticky keys to the service; `everyone` (only with all keys) also those
        without a key."""
        keyless: Side = "service" if everyone else "legacy"
        self._change_move(move, lambda routes: replace(routes, read_share=millionths, keyless_reads=keyless))

    def set_inspect_share(self, move: str, millionths: int) -> None:
        """Lead this share of read requests, drawn at random, through the inspection plane."""
        self._change_move(move, lambda routes: replace(routes, inspect_share=millionths))

    def arm(self, move: str) -> None:
        """From now on each write of the move asks the gate, which goes on naming the present owner.

        An armed move stays as it is, and so does a closed gate: a cutover that was interrupted is not opened by this.
        """
        routes = self._table.load().move(move)
        self._gate.status()
        known = self._gate_file.read().moves.get(move)
        is_stale = known is not None and known.state == "open" and known.owner != routes.write_owner
        if known is None or (is_stale and not routes.gate_armed):
            self._tell_gate(move, "open", routes.write_owner)
        elif known is not None:
            self._gate.wait_for(move, known.version, self._settings.acknowledge_timeout_s)
        self._change_move(move, lambda current: replace(current, gate_armed=True))

    def disarm(self, move: str) -> None:
        """Writes go to the owner without asking. Refused while the gate is closed, or names another than the routes."""
        routes = self._table.load().move(move)
        gate = self._gate_file.read().moves.get(move)
        if routes.gate_armed and (gate is None or gate.state == "closed"):
            raise UnsafeTraffic(
                thing=f"gate of move {move!r}",
                reason="it is closed: writes would go past it",
                mend="open it to the owner first",
            )
        if routes.gate_armed and gate is not None and gate.owner != routes.write_owner:
            raise UnsafeTraffic(
                thing=f"gate of move {move!r}",
                reason=f"it names {gate.owner} as owner, the routes name {routes.write_owner}",
                mend=f"publish the owner first: set_write_owner({move!r}, {gate.owner!r})",
            )
        self._change_move(move, lambda current: replace(current, gate_armed=False))

    def close_gate(self, move: str) -> int:
        """Hold the move's writes; returns the gate's version once it holds them. The owner stays on record.

        Raises `GateSilent` before touching anything when no gate answers. If the gate falls silent only afterwards
        the file says closed, so a new gate will hold too: call `open_gate` to give up.
        """
        if not self._table.load().move(move).gate_armed:
            raise UnsafeTraffic(
                thing=f"gate of move {move!r}", reason="it is not armed: nobody would ask it", mend="arm it first"
            )
        self._gate.status()
        known = self._gate_file.read().moves.get(move)
        owner = self._table.load().move(move).write_owner if known is None else known.owner
        return self._tell_gate(move, "closed", owner)

    def open_gate(self, move: str, owner: Side) -> int:
        """Let the held writes go to `owner`, at once; returns the gate's version once it does.

        Refused while it is open to the other side: that change has to pass through closed.
        """
        known = self._gate_file.read().moves.get(move)
        if known is not None and known.state == "open" and known.owner != owner:
            raise UnsafeTraffic(
                thing=f"gate of move {move!r}",
                reason=f"it is open to {known.owner}; both sides would be written",
                mend="close it and drain first",
            )
        return self._tell_gate(move, "open", owner)

    def set_write_owner(self, move: str, owner: Side) -> None:
        """Publish who gets the writes once the gate is disarmed. Refused unless the gate is armed: the change of
        owner would not be at one instant."""
        routes = self._table.load().move(move)
        if routes.write_owner != owner and not routes.gate_armed:
            raise UnsafeTraffic(
                thing=f"write owner of move {move!r}",
                reason="its gate is not armed, so that both sides would be written for a while",
                mend="arm and close the gate first",
            )
        self._change_move(move, lambda current: replace(current, write_owner=owner))

    def drain_writes(self, move: str, timeout_s: float) -> DrainResult:
        """With the gate closed: wait until no write of the move is on its way to a backend, or `DrainTimeout`."""
        known = self._gate_file.read().moves.get(move)
        if known is None or known.state != "closed":
            raise UnsafeTraffic(
                thing=f"gate of move {move!r}", reason="it is not closed: writes keep coming", mend="close it first"
            )
        self._gate.wait_for(move, known.version, self._settings.acknowledge_timeout_s)
        return drain(
            move=move,
            held=lambda: sum(each.held_now for each in self._gate.status().moves.values()),
            in_flight=lambda: self._admin.writes_in_flight(move),
            clock=self._clock,
            timeout_s=timeout_s,
        )

    def writes_in_flight(self, move: str) -> WritesInFlight:
        """One sample of the proxy. Raises `ProxySilent`."""
        return self._admin.writes_in_flight(move)

    def status(self, move: str) -> TrafficStatus:
        """What the files say and what proxy and gate say, side by side. Raises only for the files."""
        table = self._table.load()
        proxy_version = active = gate = None
        with contextlib.suppress(ProxySilent):
            proxy_version, active = self._admin.route_version(), self._admin.active_writes(move)
        with contextlib.suppress(GateSilent):
            gate = self._gate.status().moves.get(move)
        return TrafficStatus(
            routes=table.move(move),
            table_version=table.version,
            proxy_version=proxy_version,
            active_writes=active,
            gate_file=self._gate_file.read().moves.get(move),
            gate=gate,
        )

    def _tell_gate(self, move: str, state: GateWord, owner: Side) -> int:
        version = self._gate_file.set(move, state, owner)
        self._gate.wait_for(move, version, self._settings.acknowledge_timeout_s)
        return version

    def _change_move(self, move: str, change: Callable[[MoveRoutes], MoveRoutes]) -> None:
        self._change(lambda table: table.with_move(change(table.move(move))))

    def _change(self, change: Callable[[RouteTable], RouteTable]) -> None:
        if not self._admin.ready():
            raise ProxySilent(
                thing=f"proxy at {self._settings.admin_url}",
                reason="it is not ready; nothing was changed",
                mend="start Envoy with the bootstrap of this state folder, or correct router.admin",
            )
        with locked(self._settings.envoy_folder / "publish"):
            current = self._table.load()
            wanted = change(current)
            self._publish(current if wanted == current else self._table.save(wanted, current.version))

    def _publish(self, table: RouteTable) -> None:
        folder, proxy = self._settings.envoy_folder, self._settings.proxy
        is_news = self._admin.route_version() != table.version
        try:
            self._write_and_wait(table, afresh=False)
        except ConfigUnread:
            self._write_and_wait(table, afresh=True)
        if is_news:
            self._clock.sleep(WORKERS_SETTLE_S)
        retired = retired_clusters(table, folder, proxy)
        counts = self._admin.request_counts() if retired else {}
        if retired and not any(counts[name].active for name in retired if name in counts):
            prune(table, folder, proxy)

    def _write_and_wait(self, table: RouteTable, *, afresh: bool) -> None:
        timeout_s = self._settings.acknowledge_timeout_s
        before = self._admin.rejections()

        def wait_for_clusters(names: frozenset[str]) -> None:
            self._admin.wait_for_clusters(names, timeout_s, before)

        publish(
            table, self._settings.envoy_folder, self._settings.proxy, before_routes=wait_for_clusters, afresh=afresh
        )
        self._admin.wait_for_version(table.version, timeout_s, before)


def _without(table: RouteTable, move: str) -> RouteTable:
    routes = table.move(move)
    if routes.write_owner == "service" or routes.gate_armed:
        raise UnsafeTraffic(
            thing=f"routes of move {move!r}",
            reason="the service owns its writes" if routes.write_owner == "service" else "its gate is armed",
            mend="roll the move back to legacy first",
        )
    return table.without_move(move)
