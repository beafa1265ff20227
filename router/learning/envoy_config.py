"""The recorder as an Envoy bootstrap: one listener, one cluster, an access log in the form of a record. Pure.

Unlike the data plane's listener it decides nothing and rewrites nothing: paths are not normalised, header names keep
their case, no header is added but `traceparent`, nothing is retried that the monolith may have seen, nothing times out.
"""

from typing import Any, Final

from router.envoy.clusters import render_clusters
from router.envoy.options import ProxyOptions
from router.envoy.render import to_text
from router.envoy.route_config import RETRY_POLICY
from router.learning.settings import RecordSettings
from router.routes import RouteTable
from router.wire import LEGACY_CLUSTER

Json = dict[str, Any]

STAT_PREFIX: Final = "recorder"
FLUSH_MS: Final = 200
"""How long a line of the record may wait in Envoy's memory (`--file-flush-interval-msec`)."""

_FRESH: Final = "x-strangler-fresh"
"""Carries a new UUID from Envoy to the script, never further."""
_GIVEN_PROTO: Final = "x-strangler-given-proto"
"""Carries the client's own x-forwarded-proto, for Envoy would add one."""
_MAX_HEADERS_KB: Final = 1024
_MAX_HEADERS: Final = 1000

_TYPES: Final = "type.googleapis.com/envoy.extensions"
_HTTP: Final = f"{_TYPES}.filters.http"
_EARLY: Final = f"{_TYPES}.http.early_header_mutation.header_mutation.v3.HeaderMutation"
_CASE: Final = f"{_TYPES}.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"
_KEEP_CASE: Final = {
    "stateful_formatter": {
        "name": "preserve_case",
        "typed_config": {"@type": _CASE, "forward_reason_phrase": True},
    }
}

_SCRIPT: Final = f"""
local function is_valid(given)
  local version, trace, span, flags, rest = given:match("^(%x%x)%-(%x+)%-(%x+)%-(%x%x)(.*)$")
  return version ~= nil and given == given:lower() and version ~= "ff"
    and #trace == 32 and #span == 16 and trace:find("[^0]") ~= nil and span:find("[^0]") ~= nil
    and (rest == "" or (version ~= "00" and rest:sub(1, 1) == "-"))
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local fresh = headers:get("{_FRESH}"):gsub("-", "")
  headers:remove("{_FRESH}")
  local proto = headers:get("{_GIVEN_PROTO}")
  headers:remove("{_GIVEN_PROTO}")
  if proto == nil or proto == "" or proto == "-" then headers:remove("x-forwarded-proto") end
  local given = headers:get("traceparent")
  if GIVES_TRACES and (given == nil or not is_valid(given)) then
    headers:replace("traceparent", "00-" .. fresh .. "-" .. fresh:sub(1, 16) .. "-01")
    headers:remove("tracestate")
  end
end
"""
"""A trace id is a UUID without its dashes. What is malformed starts anew, as W3C Trace Context has it (X68)."""


def render_recorder(settings: RecordSettings, *, admin: str) -> str:
    """The text that Envoy is started with; `admin` is `host:port`, on loopback."""
    options = ProxyOptions(listen=settings.listen, admin=admin, trusted_ca=settings.trusted_ca)
    return to_text(
        {
            "node": {"id": "strangler-recorder", "cluster": "strangler"},
            "admin": {"address": _address(options.admin)},
            "static_resources": {"listeners": [_listener(settings)], "clusters": [_cluster(settings, options)]},
        }
    )


def _cluster(settings: RecordSettings, options: ProxyOptions) -> Json:
    """The monolith as the data plane would reach it, but with a connection for each request.

    Nothing is known of its keep-alive: a request sent on a connection that it just closed would fail because of us.
    """
    (cluster,) = render_clusters(RouteTable(version=1, legacy=settings.backend), options)
    (protocol,) = cluster["typed_extension_protocol_options"].values()
    protocol["common_http_protocol_options"] = {"max_requests_per_connection": 1, "max_headers_count": _MAX_HEADERS}
    protocol["explicit_http_config"] = {
        "http_protocol_options": {"header_key_format": _KEEP_CASE, "enable_trailers": True}
    }
    return {name: value for name, value in cluster.items() if name != "@type"}


def _listener(settings: RecordSettings) -> Json:
    manager = {"name": "envoy.filters.network.http_connection_manager", "typed_config": _manager(settings)}
    return {
        "name": "clients",
        "address": _address(settings.listen),
        "filter_chains": [{"filters": [manager]}],
    }


def _manager(settings: RecordSettings) -> Json:
    return {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": STAT_PREFIX,
        "codec_type": "AUTO",
        "route_config": {
            "name": "everything",
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [_route()]}],
        },
        "generate_request_id": False,
        "skip_xff_append": True,
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": False,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "max_request_headers_kb": _MAX_HEADERS_KB,
        "common_http_protocol_options": {"max_headers_count": _MAX_HEADERS},
        "http_protocol_options": {"accept_http_10": True, "enable_trailers": True, "header_key_format": _KEEP_CASE},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "stream_idle_timeout": "0s",
        "early_header_mutation_extensions": [_early()],
        "http_filters": [_script(settings), _router()],
        "access_log": [_record(settings)],
    }


def _route() -> Json:
    return {
        "match": {"prefix": "/"},
        "route": {"cluster": LEGACY_CLUSTER, "timeout": "0s", "retry_policy": RETRY_POLICY},
    }


def _early() -> Json:
    stashed = {_FRESH: "%UNIQUE_ID%", _GIVEN_PROTO: "%REQ(X-FORWARDED-PROTO)%"}
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": _EARLY,
            "mutations": [
                {"append": {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
                for name, value in stashed.items()
            ],
        },
    }


def _script(settings: RecordSettings) -> Json:
    source = _SCRIPT.replace("GIVES_TRACES", "true" if settings.gives_traces else "false")
    return {
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": f"{_HTTP}.lua.v3.Lua",
            "default_source_code": {"inline_string": source},
            "clear_route_cache": False,
        },
    }


def _router() -> Json:
    return {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_HTTP}.router.v3.Router", "suppress_envoy_headers": True},
    }


def _record(settings: RecordSettings) -> Json:
    """Without the query: it may hold secrets, and endpoints are not told apart by it."""
    fields = {
        "type": "request",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ)%",
        "start": "%START_TIME(%s.%6f)%",
        "us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
        "ms": "%DURATION%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "traceparent": "%REQ(TRACEPARENT)%",
    }
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_TYPES}.access_loggers.file.v3.FileAccessLog",
            "path": str(settings.out.resolve()),
            "log_format": {"json_format": fields},
        },
    }


def _address(address: str) -> Json:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}
