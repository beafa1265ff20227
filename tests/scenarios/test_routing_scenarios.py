"""Traffic scenarios X56 to X73 against a real proxy with real backends."""

import os
import socket
import threading
import time

import httpx
import pytest

from router.decide import bucket
from router.envoy import publish as files
from router.errors import CollidingRoutes, ConfigUnread, ProxySilent, UnsafeTraffic, UnservedRoute
from router.routes import WHOLE, Backend, MoveRoutes, RouteRule, StickyKey
from router.testing import TOKEN, running_load, running_rig
from router.traffic import Traffic

pytestmark = [pytest.mark.integration, pytest.mark.scenario]

RULES = (
    RouteRule(id="get", methods=("GET",), path="/api/products/{id}", kind="read"),
    RouteRule(id="create", methods=("POST",), path="/api/products", kind="write"),
)
MOVE = MoveRoutes(move="catalog", service="catalog", rules=RULES, sticky=StickyKey(header="x-customer-id"))
RELOADS = int(os.environ.get("STRANGLER_TEST_RELOADS", "40"))


@pytest.fixture(scope="module")
def rig():
    with running_rig() as rig:
        yield rig


@pytest.fixture
def traffic(rig):
    """Each test starts with the move installed and nothing moved."""
    rig.traffic.install(MOVE)
    rig.traffic.set_read_share("catalog", 0)
    rig.traffic.set_inspect_share("catalog", 0)
    return rig.traffic


@pytest.fixture
def client(rig):
    with httpx.Client(base_url=rig.url, trust_env=False, timeout=30) as client:
        yield client


def sides(client, keys):
    return {
        key: client.get("/api/products/1", headers={"x-customer-id": key}).headers["x-strangler-side"] for key in keys
    }


KEYS = [str(number) for number in range(150)]


def test_X56_a_key_keeps_its_side_also_after_the_proxy_restarts(rig, traffic, client):
    traffic.set_read_share("catalog", 300_000)
    before = sides(client, KEYS)
    assert sides(client, KEYS) == before
    rig.kill("envoy")
    rig.start("envoy")
    assert sides(client, KEYS) == before
    assert set(before.values()) == {"legacy", "service"}


def test_X57_growing_keeps_everybody_and_shrinking_sends_back_exactly_the_added(traffic, client):
    def moved(share):
        traffic.set_read_share("catalog", share)
        return {key for key, side in sides(client, KEYS).items() if side == "service"}

    ten, twenty, again = moved(100_000), moved(200_000), moved(100_000)
    assert ten < twenty
    assert again == ten


def test_X59_a_missing_key_goes_to_legacy_never_the_canary(traffic, client):
    for share in (1, 500_000, WHOLE):
        traffic.set_read_share("catalog", share)
        assert client.get("/api/products/1").headers["x-strangler-side"] == "legacy"
        assert client.get("/api/products/1", headers={"x-customer-id": ""}).headers["x-strangler-side"] == "legacy"
    traffic.set_read_share("catalog", WHOLE, everyone=True)
    assert client.get("/api/products/1").headers["x-strangler-side"] == "service"


def test_X61_operators_may_force_a_side_and_nobody_else(traffic, client):
    def side(force):
        headers = {"x-customer-id": "1", "x-strangler-force": force}
        return client.get("/api/products/1", headers=headers).headers["x-strangler-side"]

    assert side(f"{TOKEN} service") == "service"
    assert {side(forged) for forged in ("service", "guess service", TOKEN, f"{TOKEN} Service")} == {"legacy"}
    traffic.set_read_share("catalog", WHOLE)
    assert side(f"{TOKEN} legacy") == "legacy"


def test_X62_no_spelling_of_a_path_gets_round_a_gated_route(rig, traffic, client):
    traffic.arm("catalog")
    try:
        admitted = rig.gate_client.status().moves["catalog"].admitted
        host, port = rig.settings.proxy.listen.split(":")
        spellings = [
            "//api/products",
            "/api/./products",
            "/x/%2e%2e/api/products/",
            "/api%2Fproducts",
            "/%61pi/products",
        ]
        for target in spellings:
            with socket.create_connection((host, int(port)), timeout=10) as raw:
                raw.sendall(f"POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".encode())
                assert raw.recv(4096).startswith(b"HTTP/1.1 200"), target
        assert rig.gate_client.status().moves["catalog"].admitted == admitted + len(spellings)
    finally:
        traffic.disarm("catalog")


def test_X63_one_key_in_ten_thousand_can_be_moved(traffic, client):
    keys = [str(number) for number in range(60_000) if bucket(str(number)) < 200][:10]
    traffic.set_read_share("catalog", 100)
    for key, side in sides(client, keys).items():
        assert side == ("service" if bucket(key) < 100 else "legacy")


class RudeServer:
    """Reads whole requests and hangs up without an answer; counts them."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.requests = 0
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                if connection.recv(65536):
                    self.requests += 1


def test_X65_a_write_that_was_sent_is_neither_retried_nor_failed_over(rig, traffic, client):
    rude = RudeServer()
    table = rig.table()
    try:
        traffic.prepare(type(table)(version=0, legacy=Backend(name="legacy", url=rude.url), services=table.services))
        answer = client.post("/api/products", json={"sku": "A"})
        assert answer.status_code in (502, 503)
        assert rude.requests == 1
    finally:
        traffic.prepare(rig.table(version=0))
        rude.listener.close()


def test_X65_a_refused_connection_is_retried_on_the_same_side_only(rig, traffic, client):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    table = rig.table()
    before = rig.admin.request_counts()
    try:
        traffic.prepare(type(table)(version=0, legacy=Backend(name="legacy", url=nobody), services=table.services))
        assert client.post("/api/products", json={"sku": "A"}).status_code == 503
        after = rig.admin.request_counts()
        assert after["legacy-writes-catalog"].connect_failures >= before["legacy-writes-catalog"].connect_failures + 2
        assert after["service-writes-catalog"].total == before["service-writes-catalog"].total
    finally:
        traffic.prepare(rig.table(version=0))


def test_X69_hop_by_hop_headers_stop_at_the_proxy_and_forwarding_is_told_once(rig, traffic, client):
    headers = {
        "connection": "keep-alive",
        "keep-alive": "timeout=5",
        "proxy-connection": "keep-alive",
        "te": "trailers",
        "x-forwarded-for": "203.0.113.9",
        "x-forwarded-proto": "https",
    }
    answer = client.get("/api/products/1", headers=headers)
    seen = answer.json()["headers"]
    names = [name for name, _ in seen]
    assert not {"connection", "keep-alive", "proxy-connection", "te"} & set(names)
    assert not {"connection", "keep-alive"} & set(answer.headers)
    assert names.count("x-forwarded-for") == 1
    assert len(dict(seen)["x-forwarded-for"].split(",")) == 2
    assert dict(seen)["x-forwarded-proto"] == "http", "what a client claims is not believed"


def test_X70_reloads_under_load_fail_no_request_and_each_sees_one_version(rig, traffic):
    def request(number):
        return (
            ("POST" if number % 4 == 0 else "GET"),
            ("/api/products" if number % 4 == 0 else "/api/products/1"),
            {"x-customer-id": str(number % 500)},
        )

    shares = {}
    with running_load(rig.url, request) as load:
        load.wait_for(20)
        for reload in range(RELOADS):
            share = reload * 7919 % WHOLE
            traffic.set_read_share("catalog", share)
            shares[traffic.status("catalog").table_version] = share
        load.wait_for(20)
    assert not load.failures
    assert len(shares) == RELOADS
    checked = [each for each in load.outcomes if each.method == "GET" and each.table_version in shares]
    assert len({each.table_version for each in checked}) > RELOADS // 2
    for each in checked:
        is_moved = bucket(str(int(each.request_id) % 500)) < shares[each.table_version]
        assert each.side == ("service" if is_moved else "legacy"), "decided by the version that it is stamped with"


def test_X72_a_route_nobody_serves_changes_nothing(rig, traffic, client):
    before = traffic.status("catalog").table_version
    stray = RouteRule(id="stray", methods=("GET",), path="/stray", kind="read")
    with pytest.raises(UnservedRoute):
        traffic.install(MoveRoutes(move="billing", service="nobody", rules=(stray,), sticky=MOVE.sticky))
    with pytest.raises(CollidingRoutes):
        traffic.install(MoveRoutes(move="second", service="catalog", rules=RULES, sticky=MOVE.sticky))
    assert traffic.status("catalog").table_version == before
    assert client.get("/stray").headers["x-strangler-version"] == str(before)


def test_X73_a_streaming_answer_finishes_where_it_began(traffic, client):
    headers = {"x-customer-id": "1"}
    with client.stream("GET", "/api/products/1?chunks=20&gap_ms=20", headers=headers) as answer:
        lines = answer.iter_lines()
        first = next(lines)
        traffic.set_read_share("catalog", WHOLE)
        assert [first, *lines] == ["legacy"] * 20
    assert client.get("/api/products/1", headers=headers).headers["x-strangler-side"] == "service"


def test_uninstalling_sends_everything_to_legacy_and_forgets_the_clusters(rig, traffic, client):
    traffic.set_read_share("catalog", WHOLE)
    traffic.uninstall("catalog")
    traffic.uninstall("catalog")
    assert client.get("/api/products/1", headers={"x-customer-id": "1"}).headers["x-strangler-side"] == "legacy"
    deadline = time.monotonic() + 30
    while "legacy-writes-catalog" in rig.admin.clusters() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "legacy-writes-catalog" not in rig.admin.clusters()


def test_what_would_write_to_two_sides_is_refused(traffic):
    for unsafe in (
        lambda: traffic.close_gate("catalog"),
        lambda: traffic.drain_writes("catalog", 1),
        lambda: traffic.set_write_owner("catalog", "service"),
    ):
        with pytest.raises(UnsafeTraffic) as refused:
            unsafe()
        assert refused.value.mend


def test_without_a_proxy_nothing_is_changed(rig, traffic):
    before = traffic.status("catalog")
    lost = Traffic(type(rig.settings)(**{**_fields(rig.settings), "admin_url": "http://127.0.0.1:9"}))
    with pytest.raises(ProxySilent):
        lost.set_read_share("catalog", 5)
    lost.close()
    assert traffic.status("catalog") == before


@pytest.fixture
def torn(monkeypatch):
    """Makes the next routes files of this process arrive as half of what they should be."""
    whole = files.replace_file

    def tear(times):
        left = [times]

        def replace(path, text, mode):
            if path.name == "routes.json" and left[0]:
                left[0] -= 1
                text = text[: len(text) // 2]
            whole(path, text, mode=mode)

        monkeypatch.setattr(files, "replace_file", replace)

    return tear


def test_X71_a_file_that_the_proxy_could_not_read_is_written_again(traffic, client, torn):
    torn(1)
    traffic.set_read_share("catalog", WHOLE)
    assert set(sides(client, KEYS[:10]).values()) == {"service"}


def test_X71_a_file_that_stays_unreadable_is_busy_not_refused_and_the_next_command_passes(traffic, client, torn):
    traffic.set_read_share("catalog", WHOLE)
    torn(2)
    with pytest.raises(ConfigUnread) as unread:
        traffic.set_read_share("catalog", 0)
    assert "routes file could not be read" in unread.value.reason
    assert set(sides(client, KEYS[:10]).values()) == {"service"}
    traffic.set_read_share("catalog", 0)
    assert set(sides(client, KEYS[:10]).values()) == {"legacy"}


def _fields(settings):
    return {name: getattr(settings, name) for name in type(settings).__dataclass_fields__}
