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

_FILES = {
    "listener_manager.lds": "listeners",
    "cluster_manager.cds": "clusters",
    f"http.{STAT_PREFIX}.rds.{ROUTE_CONFIG}": "routes",
}
_REJECTIONS = {"update_failure": "could not be read or parsed", "update_rejected": "did not pass its checks"}


@dataclass(frozen=True, kw_only=True)
class WritesInFlight:
    """Of one move: requests at a backend (`active`), waiting for a connection (`pending`), the retries begun so far,
    those answered so far (`finished`), and the questions that the proxy has open at the gate, for all moves
    (`asking`)."""

    active: int
    pending: int
    retries: int
    asking: int
    finished: int


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

    def wait_for_version(self, version: int, timeout_s: float, refused_before: int) -> None:
        """Until it routes by this table. `ConfigRejected` once it refused more files than `refused_before`
        (`rejections()` from before they were written)."""
        self._wait(lambda: self.route_version() == version, f"route table {version}", timeout_s, refused_before)

    def wait_for_clusters(self, names: Collection[str], timeout_s: float, refused_before: int) -> None:
        """Until all these clusters are ready for use; otherwise as `wait_for_version`."""
        wanted = frozenset(names)
        what = f"clusters {', '.join(sorted(wanted))}"
        self._wait(lambda: wanted <= self.clusters(), what, timeout_s, refused_before)

    def writes_in_flight(self, move: str) -> WritesInFlight:
        """One sample; see `router.drain` for what it proves."""
        names = [write_cluster(move, side) for side in SIDES]
        stats = self._stats(
            f"^cluster\\.({'|'.join(map(re.escape, [*names, GATE_CLUSTER]))})"
            "\\.upstream_rq_(active|pending_active|retry|completed)$"
        )

        def total(clusters: Collection[str], counter: str) -> int:
            return sum(stats.get(f"cluster.{name}.upstream_rq_{counter}", 0) for name in clusters)

        return WritesInFlight(
            active=total(names, "active"),
            pending=total(names, "pending_active"),
            retries=total(names, "retry"),
            asking=total([GATE_CLUSTER], "active") + total([GATE_CLUSTER], "pending_active"),
            finished=total(names, "completed"),
        )

    def active_writes(self, move: str) -> int:
        """Writes of the move that the proxy has handed to a backend, or is about to."""
        sample = self.writes_in_flight(move)
        return sample.active + sample.pending

    def rejections(self) -> int:
        """How many files it refused since it started, for whatever reason."""
        return sum(self._refused_files().values())

    def config_rejected(self, since: int = 0) -> str | None:
        """What it refused, if it refused more than `since` files; it goes on with those before. The whole text of
        its complaint is only in its log."""
        refused = self._refused_files()
        if sum(refused.values()) <= since:
            return None
        return "; ".join(what for what, count in refused.items() if count) + " (its log says where)"

    def _refused_files(self) -> dict[str, int]:
        kinds = [
            (f"{prefix}.{counter}", f"the {file} file {reason}")
            for prefix, file in _FILES.items()
            for counter, reason in _REJECTIONS.items()
        ]
        stats = self._stats(f"^({'|'.join(re.escape(name) for name, _ in kinds)})$")
        return {what: stats.get(name, 0) for name, what in kinds}

    def request_counts(self) -> Mapping[str, ClusterCounts]:
        """Per cluster, by name."""
        stats = self._stats(r"^cluster\.[^.]+\.upstream_(rq_(total|active|[245]xx|retry)|cx_connect_fail)$")
        names = sorted({key.split(".")[1] for key in stats})
        return {name: _counts(stats, name) for name in names}

    def _wait(self, holds: Callable[[], bool], what: str, timeout_s: float, refused_before: int) -> None:
        deadline = self._clock.monotonic() + timeout_s
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
