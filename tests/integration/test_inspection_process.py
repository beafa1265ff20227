import json
import random
import signal
import subprocess
import sys

import psutil
import pytest

from sandbox.ports import free_port
from tests.inspection_rig import DEADLINE_S, Backend, Reply, inspection

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def sides():
    backends = (Backend(), Backend())
    yield backends
    for backend in backends:
        backend.close()


@pytest.fixture(scope="module")
def plane(sides, tmp_path_factory):
    folder = tmp_path_factory.mktemp("record")
    with inspection(sides[0].url, sides[1].url, folder, "--move", "catalog") as running:
        yield running


def reply(value, **fields):
    return Reply(body=json.dumps(value).encode(), **fields)


def run(command):
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=DEADLINE_S)


def test_an_equal_candidate_matches(plane, sides):
    sides[0].on("/products/1", Reply(body=b'{"id": 1, "name": "a"}'))
    sides[1].on("/products/1", Reply(body=b'{"name":"a","id":1}'))
    for _ in range(10):
        assert plane.get("/products/1").content == b'{"id": 1, "name": "a"}'
    assert plane.wait_for_counts("GET /products/{id}", 10)[0] == {"matched": 10}
    latency = plane.summary().latency
    assert latency.control_p50_ms > 0 and latency.candidate_p95_ms > 0 and latency.ratio_p50 > 0


def test_a_differing_candidate_is_confirmed_with_an_example(plane, sides):
    sides[0].on("/differs", reply({"price": "12.34", "old": 1}))
    sides[1].on("/differs", reply({"price": "12.30", "new": 1}))
    for _ in range(3):
        assert plane.get("/differs").json() == {"price": "12.34", "old": 1}
    counts, found = plane.wait_for_counts("GET /differs", 3)
    assert counts == {"confirmed": 3}
    assert [(item.path, item.kind, item.severity, item.count) for item in found] == [
        ("old", "Missing", "high", 3),
        ("price", "Value", "medium", 3),
        ("new", "Extra", "low", 3),
    ]
    price = found[1]
    assert (price.control, price.candidate, price.siblings_mean) == ('"12.34"', '"12.30"', 2.0)
    assert plane.summary(move="catalog").compared > 0
    assert plane.summary(move="other").compared == 0


def test_random_noise_of_the_control_is_noise_but_a_type_change_on_it_is_not(plane, sides):
    source = random.Random(1)
    sides[0].on("/noisy", lambda _n: reply({"r": source.random(), "t": "x"}))
    sides[1].on("/noisy", lambda _n: reply({"r": source.random(), "t": 1}))
    plane.get("/noisy")
    counts, found = plane.wait_for_counts("GET /noisy", 1)
    assert counts == {"confirmed": 1}
    assert {(item.path, item.kind, item.classification.value) for item in found} == {
        ("r", "Value", "noise"),
        ("t", "Type", "confirmed"),
    }


def test_the_rule_named_by_the_data_plane_names_the_endpoint_and_stays_inside(plane, sides):
    plane.get("/a/b/c", headers={"x-strangler-rule": "/a/{x}/{y}", "x-strangler-move": "orders"})
    plane.wait_for_counts("GET /a/{x}/{y}", 1)
    assert plane.summary(move="orders").compared == 1
    for backend in sides:
        assert not [name for name, _ in backend.seen["/a/b/c"][0].headers if name.lower().startswith("x-strangler")]


def test_where_the_service_is_in_charge_it_answers_and_legacy_is_compared(plane, sides):
    sides[0].on("/ramped", reply({"from": "legacy"}))
    sides[1].on("/ramped", reply({"from": "service"}))
    answer = plane.get("/ramped", headers={"x-strangler-control": "service"})
    assert answer.json() == {"from": "service"}
    _, found = plane.wait_for_counts("GET /ramped", 1)
    assert (found[0].control, found[0].candidate) == ('"legacy"', '"service"')


def test_the_shadow_process_is_started_again_and_clients_do_not_notice(plane):
    child = next(
        process for process in psutil.Process(plane.process.pid).children() if "shadow_process" in process.cmdline()[-1]
    )
    child.kill()
    child.wait(DEADLINE_S)
    for _ in range(3):
        assert plane.get("/again").status_code == 200

    def compared_again(me):
        me.get("/again")
        return me.endpoint("GET /again")[0]

    plane.wait_for(compared_again)


def test_a_dead_candidate_costs_the_client_nothing_and_sigterm_flushes(sides, tmp_path):
    dead = f"http://127.0.0.1:{free_port()}"
    with inspection(sides[0].url, dead, tmp_path) as plane:
        for _ in range(30):
            assert plane.get("/dead").json() == {"ok": True}
        assert plane.stop() == 0
        assert plane.endpoint("GET /dead")[0] == {"candidate_failed": 30}


def test_a_dead_control_is_the_controls_failure(sides, tmp_path):
    dead = f"http://127.0.0.1:{free_port()}"
    with inspection(dead, sides[1].url, tmp_path) as plane:
        assert plane.get("/x").status_code == 502
        assert plane.wait_for_counts("GET /x", 1)[0] == {"legacy_failed": 1}


def test_nothing_is_left_when_the_proxy_is_killed(sides, tmp_path):
    with inspection(sides[0].url, sides[1].url, tmp_path) as plane:
        children = psutil.Process(plane.process.pid).children()
        plane.get("/last")
        plane.process.send_signal(signal.SIGKILL)
        gone, alive = psutil.wait_procs(children, DEADLINE_S)
        assert gone and not alive
        assert plane.endpoint("GET /last")[0] in ({"matched": 1}, {})


def test_paired_samples_ask_legacy_twice(sides, tmp_path):
    with inspection(sides[0].url, sides[1].url, tmp_path, "--paired-share", "1", "--seed", "1") as plane:
        for _ in range(5):
            plane.get("/paired")
        plane.wait_for(lambda me: me.summary().paired == 5)
        assert len(sides[0].seen["/paired"]) == 10
        assert len(sides[1].seen["/paired"]) == 5


@pytest.mark.parametrize(
    ("changed", "code", "named"),
    [
        ({"--control": "nowhere"}, 2, "--control"),
        ({"--listen": "9903"}, 2, "--listen"),
        ({"--rules": "absent.yaml"}, 2, "absent.yaml"),
        ({"--max-inflight": "0"}, 2, "limit"),
    ],
)
def test_a_bad_option_is_refused_before_anything_is_served(changed, code, named, tmp_path):
    options = {
        "--listen": "127.0.0.1:0",
        "--control": "http://127.0.0.1:1",
        "--candidate": "http://127.0.0.1:2",
        "--record": str(tmp_path),
        **changed,
    }
    command = [sys.executable, "-m", "router.inspection", *(part for pair in options.items() for part in pair)]
    done = run(command)
    assert done.returncode == code
    assert named in json.loads(done.stderr)["thing"] and not done.stdout


def test_an_occupied_port_and_a_foreign_record_are_named(sides, tmp_path):
    (tmp_path / "parallel_run.sqlite").write_text("not a database, but long enough to be taken for one" * 50)
    base = [sys.executable, "-m", "router.inspection", "--control", sides[0].url, "--candidate", sides[1].url]
    port = sides[0].url.removeprefix("http://")
    busy = run([*base, "--listen", port, "--record", str(tmp_path / "r")])
    assert busy.returncode == 4 and json.loads(busy.stderr.splitlines()[-1])["thing"] == port
    bad = run([*base, "--listen", "127.0.0.1:0", "--record", str(tmp_path)])
    assert bad.returncode == 2 and "parallel_run.sqlite" in json.loads(bad.stderr)["thing"]
