"""Writing a table where Envoy watches: whole or not at all, clusters before the routes that use them.

A cluster that the new table no longer names stays until `prune`: a request that was routed before the change may
still be held, or be on its way, to it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from router.envoy.options import ProxyFiles, ProxyOptions
from router.envoy.render import discovery_response, render
from router.routes import RouteTable
from strangler.durable_files import replace_file

SECRET_MODE = 0o600
"""The routes hold the force token."""


def publish(
    table: RouteTable,
    folder: Path,
    options: ProxyOptions,
    *,
    before_routes: Callable[[frozenset[str]], None] = lambda names: None,
    afresh: bool = False,
) -> None:
    """Write bootstrap, listeners, clusters and routes; files whose content stays are left alone, unless `afresh`:
    so that the proxy reads again what it could not read.

    `before_routes` is called with the names of all clusters between the two steps: a place to wait until the proxy
    has them. If it raises, the routes stay as they were.
    """
    files = ProxyFiles(folder=folder)
    rendered = render(table, options, files)
    named = {cluster["name"]: cluster for cluster in rendered.clusters}
    retired = [cluster for cluster in _published_clusters(files.clusters) if cluster["name"] not in named]
    everything = sorted([*rendered.clusters, *retired], key=lambda cluster: str(cluster["name"]))
    _write(files.bootstrap, rendered.bootstrap)
    _write(files.clusters, discovery_response(everything), afresh=afresh)
    before_routes(frozenset(named))
    _write(files.routes, rendered.routes, SECRET_MODE, afresh=afresh)
    _write(files.listeners, rendered.listeners, afresh=afresh)


def prune(table: RouteTable, folder: Path, options: ProxyOptions) -> None:
    """Drop the clusters that the table does not name. Do it once nothing is on its way to them."""
    files = ProxyFiles(folder=folder)
    _write(files.clusters, discovery_response(render(table, options, files).clusters))


def retired_clusters(table: RouteTable, folder: Path, options: ProxyOptions) -> frozenset[str]:
    """Clusters still published that the table no longer names."""
    files = ProxyFiles(folder=folder)
    named = {cluster["name"] for cluster in render(table, options, files).clusters}
    return frozenset(str(cluster["name"]) for cluster in _published_clusters(files.clusters)) - named


def _published_clusters(path: Path) -> list[dict[str, Any]]:
    """None when the file is not there or is no JSON: it is about to be written anew."""
    try:
        content = json.loads(path.read_bytes())
        return [dict(cluster) for cluster in content["resources"] if "name" in cluster]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []


def _write(path: Path, text: str, mode: int = 0o644, *, afresh: bool = False) -> None:
    if afresh or not path.exists() or path.read_text() != text:
        replace_file(path, text, mode=mode)
