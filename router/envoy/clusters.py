"""Backends as Envoy clusters. Pure."""

import ipaddress
from typing import Any

from router.envoy.options import ProxyOptions
from router.routes import Backend, RouteTable, Side
from router.wire import GATE_CLUSTER, INSPECTION_CLUSTER, LEGACY_CLUSTER, service_cluster, write_cluster

Json = dict[str, Any]

CONNECT_TIMEOUT = "1s"
IDLE_TIMEOUT = "30s"
"""Below the keep-alive of the applications (75 s), so that the proxy is always the one who closes an idle connection:
a request sent on a connection that the other end just closed is the one failure that cannot be retried safely."""
CIRCUIT_BREAKER_LIMIT = 10_000

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_PROTOCOL = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def render_clusters(table: RouteTable, options: ProxyOptions) -> list[Json]:
    """One cluster per reader of a backend, and two per move for its writes, in order of name."""
    backends = {LEGACY_CLUSTER: table.legacy}
    backends.update({service_cluster(service.name): service for service in table.services})
    services = {service.name: service for service in table.services}
    for move in table.moves:
        owners: tuple[tuple[Side, Backend], ...] = (("legacy", table.legacy), ("service", services[move.service]))
        backends.update({write_cluster(move.move, side): backend for side, backend in owners})
    if table.inspection is not None:
        backends[INSPECTION_CLUSTER] = table.inspection
    if table.gate is not None:
        backends[GATE_CLUSTER] = table.gate
    return [_cluster(name, backend, options) for name, backend in sorted(backends.items())]


def _cluster(name: str, backend: Backend, options: ProxyOptions) -> Json:
    limits = {
        "max_connections": CIRCUIT_BREAKER_LIMIT,
        "max_pending_requests": CIRCUIT_BREAKER_LIMIT,
        "max_requests": CIRCUIT_BREAKER_LIMIT,
        "max_retries": CIRCUIT_BREAKER_LIMIT,
    }
    address = {"socket_address": {"address": backend.host, "port_value": backend.port}}
    cluster: Json = {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC" if _is_address(backend.host) else "STRICT_DNS",
        # A name may stand for both kinds of addresses, and its server listen on one (`localhost`).
        "dns_lookup_family": "ALL",
        "connect_timeout": CONNECT_TIMEOUT,
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _PROTOCOL,
                "common_http_protocol_options": {"idle_timeout": IDLE_TIMEOUT},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    if backend.is_tls:
        cluster["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": _tls_context(backend, options),
        }
    return cluster


def _tls_context(backend: Backend, options: ProxyOptions) -> Json:
    kind = "IP_ADDRESS" if _is_address(backend.host) else "DNS"
    context: Json = {
        "@type": _TLS,
        "common_tls_context": {
            "validation_context": {
                "trusted_ca": {"filename": options.trusted_ca},
                "match_typed_subject_alt_names": [{"san_type": kind, "matcher": {"exact": backend.host}}],
            }
        },
    }
    if kind == "DNS":
        context["sni"] = backend.host
    return context


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
