"""The write gate end to end: real Envoy, the gate's process, two backends, under load."""

import threading
import time

import httpx
import pytest

from router.errors import DrainTimeout, GateSilent, UnsafeTraffic
from router.routes import MoveRoutes, RouteRule, StickyKey
from router.testing import running_load, running_rig

pytestmark = [pytest.mark.integration, pytest.mark.scenario]

RULES = (
    RouteRule(id="get", methods=("GET",), path="/api/products/{id}", kind="read"),
    RouteRule(id="create", methods=("POST",), path="/api/products", kind="write"),
)
MOVE = MoveRoutes(move="catalog", service="catalog", rules=RULES, sticky=StickyKey(header="x-customer-id"))


@pytest.fixture(scope="module")
def rig():
    with running_rig() as rig:
        yield rig


@pytest.fixture
def traffic(rig):
    """Armed, open and owned by legacy at the start, whatever the test before left."""
    traffic = rig.traffic
    traffic.install(MOVE)
    traffic.arm("catalog")
    traffic.close_gate("catalog")
    traffic.open_gate("catalog", "legacy")
    traffic.set_write_owner("catalog", "legacy")
    return traffic


@pytest.fixture
def client(rig):
    with httpx.Client(base_url=rig.url, trust_env=False, timeout=60) as client:
        yield client


def mixed(number):
    if number % 3 == 0:
        return "GET", "/api/products/1", {"x-customer-id": str(number)}
    return "POST", "/api/products?delay_ms=3", {}


def posts(number):
    return "POST", "/api/products", {}


def writes_seen(rig):
    return {
        side: httpx.get(f"{backend.url}/-/writes", trust_env=False).json()["writes"]
        for side, backend in (("legacy", rig.legacy), ("service", rig.service))
    }


def seen_since(rig, before):
    return {side: ids[len(before[side]) :] for side, ids in writes_seen(rig).items()}


def test_a_cutover_and_back_under_load_fails_nothing_and_doubles_nothing(rig, traffic):
    before = writes_seen(rig)
    with running_load(rig.url, mixed, workers=12) as load:
        for owner in ("service", "legacy"):
            load.wait_for(60)
            traffic.close_gate("catalog")
            reads_before = sum(each.method == "GET" for each in load.outcomes)
            traffic.drain_writes("catalog", 20)
            landed = writes_seen(rig)
            time.sleep(0.1)
            assert writes_seen(rig) == landed, "nothing is written between drain and opening"
            traffic.open_gate("catalog", owner)
            traffic.set_write_owner("catalog", owner)
            load.wait_for(60)
            traffic.disarm("catalog")
            load.wait_for(60)
            traffic.arm("catalog")
            assert sum(each.method == "GET" for each in load.outcomes) > reads_before, "reads flow all the time"
    assert not load.failures
    assert rig.gate_client.status().moves["catalog"].refused == 0
    seen = seen_since(rig, before)
    arrived = sorted(seen["legacy"] + seen["service"])
    assert arrived == sorted(each.request_id for each in load.outcomes if each.method == "POST")
    assert seen["service"], "the middle part went to the service"
    assert {each.request_id for each in load.outcomes if each.side == "service" and each.method == "POST"} == set(
        seen["service"]
    )


def test_held_writes_go_to_the_new_owner_without_a_change_of_routes(rig, traffic, client):
    version = traffic.status("catalog").table_version
    traffic.close_gate("catalog")
    answers = []

    def post():
        answers.append(httpx.post(f"{rig.url}/api/products", content=b"x" * 3_000_000, trust_env=False, timeout=60))

    threads = [threading.Thread(target=post) for _ in range(5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: traffic.status("catalog").gate.held_now == 5)
    assert client.get("/api/products/1").status_code == 200, "reads are not held"
    time.sleep(1)
    assert not answers
    traffic.open_gate("catalog", "service")
    for thread in threads:
        thread.join()
    assert [answer.headers["x-strangler-side"] for answer in answers] == ["service"] * 5
    assert {answer.headers["x-strangler-version"] for answer in answers} == {str(version)}
    assert {answer.json()["body_bytes"] for answer in answers} == {3_000_000}, "the body came whole"
    hold = traffic.status("catalog").gate.closures[-1]
    assert (hold.released, hold.released_to) == (5, "service")
    assert hold.left == 0, "the proxy waits for its answer and does not ask again meanwhile"
    assert hold.hold_ms.p50 >= 1000


def test_a_gate_restarted_while_closed_stays_closed_and_fails_nobody(rig, traffic):
    before = writes_seen(rig)
    with running_load(rig.url, posts, workers=6) as load:
        load.wait_for(30)
        traffic.close_gate("catalog")
        traffic.drain_writes("catalog", 20)
        landed = writes_seen(rig)
        rig.kill("gate")
        time.sleep(0.2)
        rig.start("gate")
        wait_until(lambda: traffic.status("catalog").gate.held_now == 6)
        assert writes_seen(rig) == landed
        traffic.open_gate("catalog", "service")
        load.wait_for(30)
    assert not load.failures
    seen = seen_since(rig, before)
    assert sorted(seen["legacy"] + seen["service"]) == sorted(each.request_id for each in load.outcomes)


def test_a_gate_that_dies_while_open_fails_nobody(rig, traffic):
    before = writes_seen(rig)
    with running_load(rig.url, posts, workers=6) as load:
        load.wait_for(30)
        rig.kill("gate")
        rig.start("gate")
        load.wait_for(30)
    assert not load.failures
    seen = seen_since(rig, before)
    assert sorted(seen["legacy"]) == sorted(each.request_id for each in load.outcomes)


def test_a_damaged_state_file_holds_and_is_repaired_without_loss(rig, traffic):
    path = rig.settings.gate_path
    whole = path.read_text()
    with running_load(rig.url, posts, workers=4) as load:
        load.wait_for(20)
        path.write_text(whole[:20])
        wait_until(lambda: (gate := rig.gate_client.status()).file_error and gate.moves["catalog"].held_now == 4)
        path.write_text(whole)
        load.wait_for(20)
    assert not load.failures


def test_a_write_under_way_is_waited_for(rig, traffic):
    slow = threading.Thread(
        target=lambda: httpx.post(f"{rig.url}/api/products?delay_ms=700", trust_env=False, timeout=60)
    )
    slow.start()
    wait_until(lambda: rig.admin.active_writes("catalog") == 1)
    traffic.close_gate("catalog")
    with pytest.raises(DrainTimeout):
        traffic.drain_writes("catalog", 0.1)
    assert traffic.drain_writes("catalog", 20).most_active == 1
    slow.join()


def test_arming_again_does_not_open_a_closed_gate(traffic):
    closed = traffic.close_gate("catalog")
    traffic.arm("catalog")
    assert traffic.close_gate("catalog") == closed
    status = traffic.status("catalog")
    assert (status.gate.state, status.gate.version) == ("closed", closed)
    for unsafe in (lambda: traffic.disarm("catalog"), lambda: traffic.uninstall("catalog")):
        with pytest.raises(UnsafeTraffic):
            unsafe()


def test_an_open_gate_does_not_change_owner_without_closing(traffic):
    with pytest.raises(UnsafeTraffic):
        traffic.open_gate("catalog", "service")
    traffic.set_write_owner("catalog", "service")
    with pytest.raises(UnsafeTraffic):
        traffic.disarm("catalog")


def test_every_verb_twice_is_once(traffic):
    traffic.close_gate("catalog")
    assert traffic.open_gate("catalog", "service") == traffic.open_gate("catalog", "service")
    traffic.set_write_owner("catalog", "service")
    version = traffic.status("catalog").table_version
    traffic.set_write_owner("catalog", "service")
    traffic.arm("catalog")
    assert traffic.status("catalog").table_version == version
    traffic.disarm("catalog")
    traffic.disarm("catalog")
    assert traffic.status("catalog").table_version == version + 1
    with pytest.raises(UnsafeTraffic):
        traffic.uninstall("catalog")


def test_beyond_the_bound_a_client_is_told_to_come_again(rig, traffic, client):
    traffic.close_gate("catalog")
    rig.kill("gate")
    rig.start("gate", "--max-held", "0")
    try:
        answer = client.post("/api/products")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert traffic.status("catalog").gate.refused == 1
    finally:
        rig.kill("gate")
        rig.start("gate")


def test_with_no_gate_running_closing_touches_nothing(rig, traffic):
    before = rig.gate_file.read()
    rig.kill("gate")
    try:
        with pytest.raises(GateSilent):
            traffic.close_gate("catalog")
        assert rig.gate_file.read() == before
        assert traffic.status("catalog").gate is None
    finally:
        rig.start("gate")


def wait_until(holds, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)
