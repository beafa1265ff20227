import json

import httpx
import pytest

from sandbox.envoy import envoy_binary, envoy_program
from sandbox.errors import PartMissing, ProgramFailed
from sandbox.supervision import Stack

pytestmark = pytest.mark.integration

TYPES = "type.googleapis.com/envoy.extensions.filters"


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def bootstrap(path, admin_port, port):
    """An Envoy that answers everything by itself."""
    manager = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"},
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"prefix": "/"},
                            "direct_response": {"status": 200, "body": {"inline_string": "from envoy"}},
                        }
                    ],
                }
            ]
        },
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    listener = {"name": "front", "address": address(port), "filter_chains": [chain]}
    path.write_text(
        json.dumps({"admin": {"address": address(admin_port)}, "static_resources": {"listeners": [listener]}})
    )
    return path


def test_two_envoys_run_beside_each_other_and_one_is_restarted():
    with Stack() as stack:
        fronts = []
        for name in ("one", "two"):
            admin_port, port = stack.reserve_ports(2)
            path = bootstrap(stack.folder / f"{name}.json", admin_port, port)
            stack.run(envoy_program(path, admin_port=admin_port, name=name, concurrency=2))
            fronts.append(f"http://127.0.0.1:{port}/")
        assert [httpx.get(url).text for url in fronts] == ["from envoy"] * 2
        stack.kill("two")
        with pytest.raises(httpx.ConnectError):
            httpx.get(fronts[1])
        stack.start("two")
        assert [httpx.get(url).text for url in fronts] == ["from envoy"] * 2


def test_a_bootstrap_that_envoy_refuses_is_named():
    with Stack() as stack:
        (admin_port,) = stack.reserve_ports(1)
        path = stack.folder / "wrong.json"
        path.write_text('{"no_such_field": 1}')
        with pytest.raises(ProgramFailed, match="no_such_field"):
            stack.run(envoy_program(path, admin_port=admin_port))


def test_a_configured_binary_that_is_not_there_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("STRANGLER_ENVOY_BIN", str(tmp_path / "envoy"))
    with pytest.raises(PartMissing) as caught:
        envoy_binary()
    assert "STRANGLER_ENVOY_BIN" in caught.value.mend
    assert str(tmp_path) in caught.value.thing
