"""Real Envoy does what `decide` predicts: paths, keys, pins, forced headers, and nothing a client may not touch."""

import dataclasses
import itertools
import random
import socket

import httpx
import pytest

from router.decide import RequestFacts, bucket, decide
from router.envoy.publish import publish
from router.paths import normalise
from router.routes import WHOLE, MoveRoutes, Pin, RouteRule, StickyKey
from router.testing import running_rig
from router.testing.rig import TOKEN

pytestmark = pytest.mark.integration

RULES = (
    RouteRule(id="list", methods=("GET",), path="/api/products", kind="read"),
    RouteRule(id="get", methods=("GET",), path="/api/products/{id}", kind="read"),
    RouteRule(id="by-sku", methods=("GET",), path="/api/products/by-sku/{sku}", kind="read"),
    RouteRule(id="prices", methods=("GET",), path="/api/products/{id}/prices", kind="read"),
    RouteRule(id="create", methods=("POST",), path="/api/products", kind="write"),
)
MOVE = MoveRoutes(move="catalog", service="catalog", rules=RULES, sticky=StickyKey(header="x-customer-id"))
VERSIONS = itertools.count(1000)


@pytest.fixture(scope="module")
def rig():
    with running_rig() as rig:
        yield rig


@pytest.fixture
def client(rig):
    with httpx.Client(base_url=rig.url, trust_env=False) as client:
        yield client


def apply(rig, **fields):
    table = rig.table(dataclasses.replace(MOVE, **fields), version=next(VERSIONS))
    rig.apply(table)
    return table


def raw_request(rig, method, target, headers=()):
    """Send a target as it stands; returns (status, answer headers, body)."""
    host, port = rig.settings.proxy.listen.split(":")
    lines = [f"{method} {target} HTTP/1.1", "host: x", "connection: close", *headers, "", ""]
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.lower().split(": ", 1) for line in fields), body.decode()


SIDE_OF = {"legacy": "legacy", "service-catalog": "service", "legacy-writes-catalog": "legacy"}
SIDE_OF["service-writes-catalog"] = "service"
SIDE_OF["inspection"] = "inspection"


@pytest.mark.parametrize("share", [100, 100_000, 777_777])
def test_envoy_puts_1500_keys_where_decide_says(rig, client, share):
    table = apply(rig, read_share=share)
    keys = [str(number) for number in range(1490)] + ["a" * 200, "ü".encode().decode("latin-1"), "x y", '"', "-", "0"]
    # A share of one in ten thousand needs keys that are in it.
    keys += [key for key in map(str, range(10**6, 10**6 + 60_000)) if bucket(key) < 100][:4]
    for key in keys:
        headers = {"x-customer-id": key}
        expected = decide(table, RequestFacts(method="GET", path="/api/products/1", headers=headers))
        answer = client.get("/api/products/1", headers={b"x-customer-id": key.encode("latin-1")})
        assert answer.headers["x-strangler-side"] == SIDE_OF[expected.backend], key


def test_envoy_hashes_a_cookie_as_decide_says(rig, client):
    table = apply(rig, sticky=StickyKey(cookie="sid"), read_share=500_000, pins=(Pin(key="pinned", side="service"),))
    cookies = [f"sid=u{number}" for number in range(60)]
    cookies += [f"a=b; sid=u{number}; z=1" for number in range(30)]
    cookies += [f'sid="u{number}"' for number in range(10)]
    cookies += ["sid=", "xsid=u1", "a=sid=u1", "sid=pinned", "sid=u1; sid=u2", "sid=u3; sid=u0", ""]
    for cookie in cookies:
        headers = {"cookie": cookie}
        expected = decide(table, RequestFacts(method="GET", path="/api/products/1", headers=headers))
        answer = client.get("/api/products/1", headers=headers)
        assert answer.headers["x-strangler-side"] == SIDE_OF[expected.backend], cookie


def test_envoy_matches_paths_as_decide_says(rig):
    table = apply(rig, read_share=WHOLE, write_owner="service")
    random.seed(7)
    parts = ["/", "//", "api", "products", "1", "by-sku", "prices", ".", "..", "%2e", "%2F", "%5c", "%70", "%20", ";x"]
    targets = ["/" + "".join(random.choices(parts, k=random.randint(1, 8))) for _ in range(300)]
    spelled = ["/api/products/1", "/api/products/by-sku/A-1", "/api/products/1/prices", "/api/products", "/"]
    targets += [template.replace("/", slash) for template in spelled for slash in ("//", "/./", "/%2e/", "/x/../")]
    targets += [template + tail for template in spelled for tail in ("/", "//", "?q=1", "/?q=/a", "/.", "%2f")]
    targets += [template.replace("p", "%70").replace("r", "%72") for template in spelled]
    for target, method in itertools.product(targets, ("GET", "POST")):
        headers = {"x-customer-id": "1"}
        expected = decide(table, RequestFacts(method=method, path=target, headers=headers))
        status, answered, body = raw_request(rig, method, target, ["x-customer-id: 1", "content-length: 0"])
        assert status == 200, (target, body)
        assert answered["x-strangler-side"] == SIDE_OF[expected.backend], (method, target, normalise(target), body)


def test_a_query_reaches_the_backend_unchanged(rig, client):
    apply(rig, read_share=WHOLE)
    query = "/api/products?q=a%20b&path=%2Fx//y/../z&e="
    answer = client.get(query, headers={"x-customer-id": "1"})
    assert answer.json()["path"] == query
    assert answer.headers["x-strangler-side"] == "service"


def test_forced_and_pinned_requests(rig, client):
    table = apply(rig, read_share=500_000, pins=(Pin(key="7", side="service"), Pin(key="8.*", side="legacy")))
    tries = [
        {"x-customer-id": key, **force}
        for key in ("7", "8.*", "8", "9", "")
        for force in (
            {},
            {"x-strangler-force": f"{TOKEN} service"},
            {"x-strangler-force": f"{TOKEN} legacy"},
            {"x-strangler-force": "service"},
            {"x-strangler-force": f"{TOKEN}x service"},
        )
    ]
    for headers in tries:
        expected = decide(table, RequestFacts(method="GET", path="/api/products/1", headers=headers))
        answer = client.get("/api/products/1", headers=headers)
        assert answer.headers["x-strangler-side"] == SIDE_OF[expected.backend], headers
        assert TOKEN not in answer.text, "the force header stays in the proxy"


def test_a_thousand_pins_are_carried(rig, client):
    pins = tuple(Pin(key=f"tenant-{number}", side="service") for number in range(1000))
    apply(rig, pins=pins)
    assert (
        client.get("/api/products/1", headers={"x-customer-id": "tenant-999"}).headers["x-strangler-side"] == "service"
    )
    assert (
        client.get("/api/products/1", headers={"x-customer-id": "tenant-99x"}).headers["x-strangler-side"] == "legacy"
    )


def test_a_long_template_is_carried(rig, client):
    path = "/".join(["", *(f"a-rather-long-literal-{n}/{{p{n}}}" for n in range(12))])
    apply(rig, rules=(RouteRule(id="long", methods=("GET",), path=path, kind="read"),), read_share=WHOLE)
    answer = client.get(path.replace("{", "").replace("}", ""), headers={"x-customer-id": "1"})
    assert answer.headers["x-strangler-side"] == "service"


def test_the_inspected_share_is_told_which_side_is_the_control(rig, client):
    table = apply(rig, read_share=500_000, inspect_share=WHOLE)
    for key in map(str, range(40)):
        answer = client.get("/api/products/1", headers={"x-customer-id": key, "x-strangler-control": "forged"})
        assert answer.headers["x-strangler-side"] == "inspection"
        told = dict(answer.json()["headers"])
        control = told["x-strangler-control"]
        assert (told["x-strangler-move"], told["x-strangler-rule"]) == ("catalog", "/api/products/{id}")
        not_drawn = RequestFacts(method="GET", path="/api/products/1", headers={"x-customer-id": key})
        assert control == SIDE_OF[decide(table, not_drawn).backend]
    keyless = client.get("/api/products/1")
    assert dict(keyless.json()["headers"])["x-strangler-control"] == "legacy"
    assert client.post("/api/products").headers["x-strangler-side"] == "legacy", "writes are not inspected"


def test_the_inspected_share_is_about_as_large_as_asked(rig, client):
    apply(rig, inspect_share=300_000)
    sides = [client.get("/api/products/1").headers["x-strangler-side"] for _ in range(600)]
    assert 110 <= sides.count("inspection") <= 250


def test_headers_that_a_client_may_not_set_have_no_effect(rig, client):
    apply(rig, gate_armed=True)
    rig.gate_file.set("catalog", "open", "legacy")
    rig.gate_client.wait_for("catalog", 1, 10)
    forged = {
        "x-strangler-owner": "service",
        "x-strangler-side": "service",
        "x-strangler-rule": "/forged",
        "x-strangler-version": "9",
        "x-envoy-retry-on": "5xx",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-original-path": "/admin",
    }
    answer = client.post("/api/products?delay_ms=50", headers=forged)
    assert answer.headers["x-strangler-side"] == "legacy"
    assert answer.json()["side"] == "legacy"
    seen = {name for name, _ in answer.json()["headers"]}
    assert not {name for name in seen if name.startswith(("x-strangler", "x-envoy"))}
    unmatched = client.get("/anything", headers=forged)
    assert not {name for name, _ in unmatched.json()["headers"] if name.startswith(("x-strangler", "x-envoy"))}


def test_X71_half_a_file_leaves_the_old_table_and_is_reported(rig, client):
    table = apply(rig, read_share=WHOLE)
    before = rig.admin.rejections()
    routes = rig.settings.envoy_folder / "rds" / "routes.json"
    whole = routes.read_text()
    half = routes.with_name(".half")
    half.write_text(whole[: len(whole) // 2])
    half.rename(routes)
    while rig.admin.rejections() == before:
        pass
    assert "routes file could not be read" in rig.admin.config_rejected(before)
    assert rig.admin.route_version() == table.version
    assert client.get("/api/products/1", headers={"x-customer-id": "1"}).headers["x-strangler-side"] == "service"
    publish(table, rig.settings.envoy_folder, rig.settings.proxy)
    assert routes.read_text() == whole
