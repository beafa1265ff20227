"""What the running proxy says of itself, over its admin interface."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from router.envoy.route_config import SIDES
from router.errors import ConfigRejected, ConfigUnread, ProxySilent
from router.wire import GATE_CLUSTER, ROUTE_CONFIG, STAT_PREFIX, write_cluster
from strangler.clock import Clock, SystemClock

POLL_S = 0.003

_FILES = {
    "listener_manager.lds": "listeners",
    "cluster_manager.cds": "clusters",
    f"http.{STAT_PREFIX}.rds.{ROUTE_CONFIG}": "routes",
}
_REJECTIONS = {"update_failure": "could not be read or parsed", "update_rejected": "did not pass its checks"}
_UNREAD_GRACE_S = 0.5
"""A file that could not be read while it was replaced is read again when the next event of the folder comes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejections:
    """How many files the proxy did not take since it started: not readable (which may pass), or not acceptable."""

    unread: int = 0
    refused: int = 0


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

    def wait_for_version(self, version: int, timeout_s: float, refused_before: Rejections) -> None:
        """Until it routes by this table. `ConfigRejected` once it refused more files than `refused_before`
        (`rejections()` from before they were written), `ConfigUnread` when it could not read one."""
        self._wait(lambda: self.route_version() == version, f"route table {version}", timeout_s, refused_before)

    def wait_for_clusters(self, names: Collection[str], timeout_s: float, refused_before: Rejections) -> None:
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

    def rejections(self) -> Rejections:
        """How many files it did not take since it started."""
        return _rejections(self._refused_files())

    def config_rejected(self, since: Rejections | None = None) -> str | None:
        """What it did not take, if that was more than `since`; it goes on with the files before. The whole text of
        its complaint is only in its log."""
        counts = self._refused_files()
        if _rejections(counts) == (since or Rejections()):
            return None
        named = [f"the {file} file {_REJECTIONS[counter]}" for (file, counter), count in counts.items() if count]
        return "; ".join(named) + " (its log says where)"

    def _refused_files(self) -> dict[tuple[str, str], int]:
        """(file, counter) → how often."""
        names = {(file, counter): f"{prefix}.{counter}" for prefix, file in _FILES.items() for counter in _REJECTIONS}
        stats = self._stats(f"^({'|'.join(map(re.escape, names.values()))})$")
        return {key: stats.get(name, 0) for key, name in names.items()}

    def request_counts(self) -> Mapping[str, ClusterCounts]:
        """Per cluster, by name."""
        stats = self._stats(r"^cluster\.[^.]+\.upstream_(rq_(total|active|[245]xx|retry)|cx_connect_fail)$")
        names = sorted({key.split(".")[1] for key in stats})
        return {name: _counts(stats, name) for name in names}

    def _wait(self, holds: Callable[[], bool], what: str, timeout_s: float, before: Rejections) -> None:
        deadline = self._clock.monotonic() + timeout_s
        unread_until = None
        while not holds():
            now = self._clock.monotonic()
            rejections = self.rejections()
            if rejections.refused > before.refused:
                raise ConfigRejected(
                    thing=what,
                    reason=f"the proxy refused it: {self.config_rejected(before)}",
                    mend="correct the table or the file named; the proxy goes on with the one before",
                )
            if rejections.unread > before.unread:
                unread_until = unread_until or now + _UNREAD_GRACE_S
                if now >= unread_until:
                    raise ConfigUnread(
                        thing=what,
                        reason=f"the proxy goes on with the one before: {self.config_rejected(before)}",
                        mend="run the command again; if it stays so, see whether the proxy may read the folder",
                    )
            if now >= deadline:
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


def _rejections(counts: Mapping[tuple[str, str], int]) -> Rejections:
    return Rejections(
        unread=sum(count for (_, counter), count in counts.items() if counter == "update_failure"),
        refused=sum(count for (_, counter), count in counts.items() if counter == "update_rejected"),
    )


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
