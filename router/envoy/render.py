"""A route table as the texts of Envoy's files. Pure: the same table and options give the same bytes."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from router.envoy.clusters import render_clusters
from router.envoy.listener import render_bootstrap, render_listener
from router.envoy.options import ProxyFiles, ProxyOptions
from router.envoy.route_config import render_routes
from router.routes import RouteTable

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RenderedProxy:
    """Everything one Envoy reads. `clusters` is kept as resources, so that those in use elsewhere can be added."""

    bootstrap: str
    listeners: str
    clusters: tuple[Json, ...]
    routes: str


def render(table: RouteTable, options: ProxyOptions, files: ProxyFiles) -> RenderedProxy:
    """The routes carry the table's version; listeners and clusters the hash of their own content."""
    return RenderedProxy(
        bootstrap=to_text(render_bootstrap(options, files)),
        listeners=discovery_response([render_listener(options, files)]),
        clusters=tuple(render_clusters(table, options)),
        routes=discovery_response([render_routes(table)], version=str(table.version)),
    )


def discovery_response(resources: Sequence[Json], version: str | None = None) -> str:
    """A DiscoveryResponse, the file format of dynamic resources; without a version, one made of the content."""
    content = json.dumps(resources, sort_keys=True, separators=(",", ":"))
    version = version or hashlib.sha256(content.encode()).hexdigest()[:16]
    return to_text({"version_info": version, "resources": list(resources)})


def to_text(value: Json) -> str:
    """Indented JSON with a newline at the end: a person will want to read it."""
    return json.dumps(value, indent=1) + "\n"
