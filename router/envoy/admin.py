"""What the running proxy says of itself, over its admin interface."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from router.envoy.route_config import SIDES
from router.errors import ConfigRejected, ProxySilent
from router.wire import GATE_CLUSTER, ROUTE_CONFIG, STAT_PREFIX, write_cluster
from strangler.clock import Clock, SystemClock

POLL_S = 0.003

_REJECTIONS = (
    "listener_manager.lds.update_rejected",
    "listener_manager.lds.update_failure",
    "cluster_manager.cds.update_rejected",
    "cluster_manager.cds.update_failure",
    f"http.{STAT_PREFIX}.rds.{ROUTE_CONFIG}.update_rejected",
    f"http.{STAT_PREFIX}.rds.{ROUTE_CONFIG}.update_failure",
)


@dataclass(frozen=True, kw_only=True)
class WritesInFlight:
    """Of one move: requests at a backend (`active`), waiting for a connection (`pending`), the retries begun so far,
    and the questions that the proxy has open at the gate, for all moves (`asking`)."""

    active: int
    pending: int
    retries: int
    asking: int


@dataclass(frozen=True, kw_only=True)
class ClusterCounts:
    """Requests sent to one cluster since the proxy started, by outcome, and those under way."""

    total: int
    active: int
    ok: int
    client_errors: int
    server_errors: int
    connect_failures: int
    retries: int


class EnvoyAdmin:
    """One proxy. Every method raises `ProxySilent` when it does not answer."""

    def __init__(self, url: str, clock: Clock | None = None, request_timeout_s: float = 5.0) -> None:
        self._url = url.rstrip("/")
        self._clock = clock or SystemClock()
        self._http = httpx.Client(timeout=request_timeout_s, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def ready(self) -> bool:
        """Whether it takes traffic. False also when nobody answers."""
        try:
            return self._http.get(f"{self._url}/ready").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def route_version(self) -> int | None:
        """Version of the table by which it routes now; None before the first."""
        return _as_version(self._route_config().get("version_info"))

    def clusters(self) -> frozenset[str]:
        """Names of the clusters that are ready for use."""
        configs = self._dump("dynamic_active_clusters", "cluster.name")
        return frozenset(str(config["cluster"]["name"]) for config in configs)

    def wait_for_version(self, version: int, timeout_s: float) -> None:
        """Until it routes by this table. `ConfigRejected` when it refuses what it was given meanwhile."""
        self._wait(lambda: self.route_version() == version, f"route table {version}", timeout_s)

    def wait_for_clusters(self, names: Collection[str], timeout_s: float) -> None:
        """Until all these clusters are ready for use."""
        wanted = frozenset(names)
        self._wait(lambda: wanted <= self.clusters(), f"clusters {', '.join(sorted(wanted))}", timeout_s)

    def writes_in_flight(self, move: str) -> WritesInFlight:
        """One sample; see `router.drain` for what it proves."""
        names = [write_cluster(move, side) for side in SIDES]
        stats = self._stats(
            f"^cluster\\.({'|'.join(map(re.escape, [*names, GATE_CLUSTER]))})"
            "\\.upstream_rq_(active|pending_active|retry)$"
        )

        def total(clusters: Collection[str], counter: str) -> int:
            return sum(stats.get(f"cluster.{name}.upstream_rq_{counter}", 0) for name in clusters)

        return WritesInFlight(
            active=total(names, "active"),
            pending=total(names, "pending_active"),
            retries=total(names, "retry"),
            asking=total([GATE_CLUSTER], "active") + total([GATE_CLUSTER], "pending_active"),
        )

    def active_writes(self, move: str) -> int:
        """Writes of the move that the proxy has handed to a backend, or is about to."""
        sample = self.writes_in_flight(move)
        return sample.active + sample.pending

    def rejections(self) -> int:
        """How many files it refused since it started, for whatever reason."""
        stats = self._stats(f"^({'|'.join(map(re.escape, _REJECTIONS))})$")
        return sum(stats.values())

    def config_rejected(self, since: int = 0) -> str | None:
        """Why it refused the last files, if it refused more than `since`; it goes on with those before."""
        if self.rejections() <= since:
            return None
        configs = [self._dump(kind, "error_state") for kind in ("dynamic_route_configs", "dynamic_listeners")]
        texts = [config["error_state"]["details"] for part in configs for config in part if "error_state" in config]
        return "; ".join(texts) or "a file could not be read or parsed, or failed its checks (see the proxy's log)"

    def request_counts(self) -> Mapping[str, ClusterCounts]:
        """Per cluster, by name."""
        stats = self._stats(r"^cluster\.[^.]+\.upstream_(rq_(total|active|[245]xx|retry)|cx_connect_fail)$")
        names = sorted({key.split(".")[1] for key in stats})
        return {name: _counts(stats, name) for name in names}

    def _wait(self, holds: Callable[[], bool], what: str, timeout_s: float) -> None:
        deadline = self._clock.monotonic() + timeout_s
        refused_before = self.rejections()
        while not holds():
            if (reason := self.config_rejected(refused_before)) is not None:
                raise ConfigRejected(
                    thing=what,
                    reason=f"the proxy refused it: {reason}",
                    mend="correct the table or the file named; the proxy goes on with the one before",
                )
            if self._clock.monotonic() >= deadline:
                raise ProxySilent(
                    thing=what,
                    reason=f"the proxy at {self._url} has not applied it in {timeout_s:g} s",
                    mend="look at its log, and that it was started with the bootstrap of this folder",
                )
            self._clock.sleep(POLL_S)

    def _route_config(self) -> Mapping[str, Any]:
        return next(iter(self._dump("dynamic_route_configs", "version_info")), {})

    def _dump(self, resource: str, mask: str) -> list[Mapping[str, Any]]:
        content = self._get("/config_dump", {"resource": resource, "mask": mask})
        return list(content.get("configs", []))

    def _stats(self, pattern: str) -> dict[str, int]:
        content = self._get("/stats", {"format": "json", "filter": pattern})
        return {stat["name"]: stat["value"] for stat in content["stats"] if isinstance(stat.get("value"), int)}

    def _get(self, path: str, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            answer = self._http.get(self._url + path, params=parameters).raise_for_status()
            return dict(answer.json())
        except (httpx.HTTPError, ValueError) as error:
            raise ProxySilent(
                thing=f"proxy at {self._url}",
                reason=f"its admin interface gave no answer: {type(error).__name__}",
                mend="start Envoy with the bootstrap that `strangler` wrote, or correct router.admin",
            ) from None


def _as_version(text: object) -> int | None:
    return int(text) if isinstance(text, str) and text.isdigit() else None


def _counts(stats: Mapping[str, int], name: str) -> ClusterCounts:
    def of(counter: str) -> int:
        return stats.get(f"cluster.{name}.upstream_{counter}", 0)

    return ClusterCounts(
        total=of("rq_total"),
        active=of("rq_active"),
        ok=of("rq_2xx"),
        client_errors=of("rq_4xx"),
        server_errors=of("rq_5xx"),
        connect_failures=of("cx_connect_fail"),
        retries=of("rq_retry"),
    )
