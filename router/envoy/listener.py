"""The listener and the bootstrap: all of the proxy that does not change while it runs. Pure."""

from typing import Any

from router.envoy.options import ProxyFiles, ProxyOptions
from router.envoy.route_config import CHECK_TIMEOUT
from router.wire import GATE_CLUSTER, INTERNAL_HEADERS, OWNER_HEADER, ROUTE_CONFIG, STAT_PREFIX

Json = dict[str, Any]

STREAM_IDLE_TIMEOUT = "300s"

_RUNTIME = {"re2.max_program_size.error_level": 1_000_000, "re2.max_program_size.warn_level": 1_000_000}
"""Templates and pins are our own expressions, of bounded number; Envoy's default allows but a few segments."""

_HTTP = "type.googleapis.com/envoy.extensions.filters"
_MANAGER = f"{_HTTP}.network.http_connection_manager.v3.HttpConnectionManager"
_EARLY = "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
_UUID = "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"


def render_bootstrap(options: ProxyOptions, files: ProxyFiles) -> Json:
    """What Envoy is started with (`envoy -c`)."""
    return {
        "node": {"id": options.node_id, "cluster": "strangler"},
        "admin": {"address": _address(options.admin)},
        "layered_runtime": {"layers": [{"name": "strangler", "static_layer": _RUNTIME}]},
        "dynamic_resources": {
            "lds_config": _watched(str(files.listeners), str(files.listeners.parent)),
            "cds_config": _watched(str(files.clusters), str(files.clusters.parent)),
        },
    }


def render_listener(options: ProxyOptions, files: ProxyFiles) -> Json:
    """The one listener for clients."""
    return {
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": "clients",
        "address": _address(options.listen),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": _connection_manager(options, files),
                    }
                ]
            }
        ],
    }


def _connection_manager(options: ProxyOptions, files: ProxyFiles) -> Json:
    routes = _watched(str(files.routes), str(files.routes.parent))
    manager: Json = {
        "@type": _MANAGER,
        "stat_prefix": STAT_PREFIX,
        "codec_type": "AUTO",
        "rds": {"config_source": routes, "route_config_name": ROUTE_CONFIG},
        # One spelling for each path, before any rule is looked at (X62).
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD",
        # The client's address is appended once, and nothing that it claims about itself is trusted (X69).
        "use_remote_address": True,
        "xff_num_trusted_hops": 0,
        "internal_address_config": {"unix_sockets": False},
        "early_header_mutation_extensions": [
            {
                "name": "envoy.http.early_header_mutation.header_mutation",
                "typed_config": {"@type": _EARLY, "mutations": _stripped_from_clients()},
            }
        ],
        # Requests and answers pass as the legacy application would have seen and sent them.
        "preserve_external_request_id": True,
        "request_id_extension": {"typed_config": {"@type": _UUID, "pack_trace_reason": False}},
        "server_header_transformation": "PASS_THROUGH",
        "http_protocol_options": {"accept_http_10": True},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "stream_idle_timeout": STREAM_IDLE_TIMEOUT,
        "local_reply_config": {"mappers": [_unavailable_for_now()]},
        "http_filters": [_gate_filter(), _router_filter()],
    }
    if options.access_log is not None:
        manager["access_log"] = [_access_log(options.access_log)]
    return manager


def _stripped_from_clients() -> list[Json]:
    """Our own headers, and those by which a client could order the proxy to retry or to wait."""
    ours = [{"remove": name} for name in INTERNAL_HEADERS]
    return [*ours, {"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}}]


def _gate_filter() -> Json:
    """Not part of any request's way, but of those whose route enables it."""
    return {
        "name": "envoy.filters.http.ext_authz",
        "disabled": True,
        "typed_config": {
            "@type": f"{_HTTP}.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "clear_route_cache": True,
            "failure_mode_allow": False,
            "status_on_error": {"code": "ServiceUnavailable"},
            "http_service": {
                "server_uri": {"uri": f"http://{GATE_CLUSTER}", "cluster": GATE_CLUSTER, "timeout": CHECK_TIMEOUT},
                "authorization_response": {"allowed_upstream_headers": {"patterns": [{"exact": OWNER_HEADER}]}},
            },
        },
    }


def _router_filter() -> Json:
    return {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_HTTP}.http.router.v3.Router", "suppress_envoy_headers": True},
    }


def _unavailable_for_now() -> Json:
    """A write that the gate refused, or that could not ask it, may be sent again."""
    return {
        "filter": {"response_flag_filter": {"flags": ["UAEX"]}},
        "headers_to_add": [
            {"header": {"key": "retry-after", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        ],
    }


def _access_log(path: str) -> Json:
    fields = {
        "at": "%START_TIME%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ)%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "duration_ms": "%DURATION%",
        # These three make the log a record of requests, which `gather facts --requests` reads.
        "start": "%START_TIME(%s.%6f)%",
        "us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
        "traceparent": "%REQ(TRACEPARENT)%",
        "cluster": "%UPSTREAM_CLUSTER_RAW%",
        "route": "%ROUTE_NAME%",
        "table_version": "%RESP(X-STRANGLER-VERSION)%",
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {"@type": _LOG, "path": path, "log_format": {"json_format": fields}},
    }


def _watched(path: str, folder: str) -> Json:
    return {
        "resource_api_version": "V3",
        "path_config_source": {"path": path, "watched_directory": {"path": folder}},
        "initial_fetch_timeout": "0s",
    }


def _address(address: str) -> Json:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}
