"""X28-X53: what a parallel run must do to real traffic, through the real proxy."""

import asyncio
import json
import os
import socket
import threading
from random import Random

import pytest

from router.compare import CompareRules, Verdict, whole_answer
from router.inspection.exchange import Call, Exchange
from router.inspection.policy import InspectionPolicy
from router.inspection.settings import InspectionSettings
from router.inspection.shadower import Shadower
from router.inspection.side_client import Reply as ClientReply
from strangler.clock import ManualClock
from tests.inspection_rig import Backend, Reply, inspection

pytestmark = [pytest.mark.scenario, pytest.mark.integration]
BODY_LIMIT = 100_000


@pytest.fixture(scope="module")
def sides():
    backends = (Backend(), Backend())
    yield backends
    for backend in backends:
        backend.close()


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    write_rules(path)
    return path


def write_rules(path, enabled=True):
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"shadow": {"enabled": enabled, "unsafe": ["GET /unsafe"]}}))
    new.replace(path)


@pytest.fixture(scope="module")
def plane(sides, rules, tmp_path_factory):
    control, candidate = sides
    options = ("--rules", str(rules), "--timeout", "1", "--body-limit", str(BODY_LIMIT))
    with inspection(control.url, candidate.url, tmp_path_factory.mktemp("record"), *options) as running:
        yield running


def reply(value, **fields):
    return Reply(body=json.dumps(value).encode(), **fields)


def refused(plane, reason):
    return plane.summary().refused.get(reason, 0)


def test_X27_a_candidate_that_breaks_off_has_failed_and_the_client_does_not_notice(plane, sides):
    sides[1].on("/broken-off", Reply(cut=True))
    assert plane.get("/broken-off").json() == {"ok": True}
    counts, _ = plane.wait_for_counts("GET /broken-off", 1)
    assert counts == {"candidate_failed": 1}


def test_X28_a_failed_candidate_call_is_not_sent_again(plane, sides):
    sides[1].on("/fails", Reply(status=503))
    for _ in range(3):
        plane.get("/fails")
    counts, found = plane.wait_for_counts("GET /fails", 3)
    assert counts == {"candidate_failed": 3}
    assert [item.path for item in found] == ["@status"]
    assert len(sides[1].seen["/fails"]) == 3
    assert len(sides[0].seen["/fails"]) == 3


def test_X29_the_client_gets_the_controls_failure(plane, sides):
    sides[0].on("/legacy-fails", Reply(status=500, body=b"sorry"))
    answer = plane.get("/legacy-fails")
    assert (answer.status_code, answer.content) == (500, b"sorry")
    assert plane.wait_for_counts("GET /legacy-fails", 1)[0] == {"legacy_failed": 1}


def test_X30_header_values_reach_both_sides_byte_for_byte(plane, sides):
    sent = {
        "user-agent": "Mozilla/5.0 (X11, Linux), like Gecko",
        "x-when": "Wed, 21 Oct 2026 07:28:00 GMT",
        "cookie": "a=1; expires=Wed, 21 Oct 2026",
        "authorization": "Bearer abc,def",
    }
    plane.get("/headers", headers=sent)
    plane.wait_for_counts("GET /headers", 1)
    for backend in sides:
        (seen,) = backend.seen["/headers"]
        for name, value in sent.items():
            assert seen.all(name) == [value]


class SilentSide:
    """A side that always gives the same answer."""

    def __init__(self, body):
        self.answer = whole_answer(200, body)

    async def ask(self, call, *, is_shadow):
        return ClientReply(answer=self.answer, elapsed_ms=1.0)

    async def close(self):
        pass


def test_X36_an_exception_while_comparing_is_a_compare_error():
    def broken(_tree):
        raise ZeroDivisionError

    class Policies:
        def current(self):
            return InspectionPolicy(rules=CompareRules(normalise=broken))

    records = []

    async def run():
        shadower = Shadower(
            settings=InspectionSettings(
                listen_host="", listen_port=0, control="http://a", candidate="http://b", record=None, paired_share=0
            ),
            policies=Policies(),
            legacy=SilentSide(b"{}"),
            service=SilentSide(b'{"a":1}'),
            record=records.append,
            clock=ManualClock(),
            random=Random(1),
        )
        shadower.submit(
            Exchange(
                call=Call(method="GET", target="/x", headers=()),
                endpoint="GET /x",
                move="m",
                request_id="",
                answered_by="legacy",
                answer=whole_answer(200, b"{}"),
                elapsed_ms=1.0,
            )
        )
        await shadower.close(10)

    asyncio.run(run())
    assert [(record.verdict, record.reason) for record in records] == [(Verdict.COMPARE_ERROR, "ZeroDivisionError")]


def test_X37_an_a_a_run_confirms_nothing(sides, tmp_path):
    control, _ = sides
    control.on("/aa", lambda n: reply({"n": n, "items": [{"id": i, "seen": n} for i in range(5)], "fixed": 1}))
    control.on("/aa-still", reply({"fixed": 1}))
    with inspection(control.url, control.url, tmp_path) as same:
        for _ in range(20):
            same.get("/aa-still")
        for _ in range(5):
            same.get("/aa")
            same.wait_for(lambda me: me.summary().compared >= 20)
        counts, found = same.wait_for_counts("GET /aa", 5)
        assert counts == {"noise": 5}
        assert {item.path for item in found} == {"n", "items[].seen"}
        summary = same.summary()
        assert (summary.confirmed, summary.unconfirmed, summary.matched) == (0, 0, 20)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_X39_writes_are_answered_but_never_shadowed(plane, sides, method):
    before = refused(plane, "method-not-safe")
    assert plane.get("/write", method, content=b"x" * 10).status_code == 200
    plane.wait_for(lambda me: refused(me, "method-not-safe") == before + 1)
    assert sides[0].seen["/write"][-1].body == b"x" * 10
    assert sides[1].seen["/write"] == []


def test_X40_a_get_that_writes_is_never_shadowed(plane, sides):
    plane.get("/unsafe")
    plane.wait_for(lambda me: refused(me, "declared-unsafe") == 1)
    assert sides[1].seen["/unsafe"] == []


def test_X41_a_slow_candidate_holds_nobody_and_drops_are_counted(sides, tmp_path):
    control, candidate = sides
    release = threading.Event()

    def slow(_n):
        release.wait(30)
        return Reply()

    candidate.on("/slow", slow)
    with inspection(control.url, candidate.url, tmp_path, "--timeout", "30", "--max-inflight", "5") as plane:
        for _ in range(40):
            assert plane.get("/slow").json() == {"ok": True}
        # all 40 clients have their answers while the candidate has not answered once
        dropped = plane.wait_for(lambda me: me.summary().dropped.get("too-many-in-flight", 0))
        assert plane.wait_for(lambda me: me.summary().dropped["too-many-in-flight"] == 35) or dropped
        assert len(candidate.seen["/slow"]) <= 5
        release.set()
        assert plane.wait_for_counts("GET /slow", 5)[0] == {"matched": 5}


def test_X41_a_candidate_slower_than_its_timeout_has_failed(plane, sides):
    release = threading.Event()
    sides[1].on("/too-slow", Reply(chunks=[b"{", release]))
    assert plane.get("/too-slow").json() == {"ok": True}
    assert plane.wait_for_counts("GET /too-slow", 1)[0] == {"candidate_failed": 1}
    release.set()


def test_X43_a_client_that_leaves_is_not_compared(plane, sides):
    release = threading.Event()
    sides[0].on("/left", Reply(chunks=[b"{", release, b"}"]))
    host, port = plane.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET /left HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.recv(1)
    plane.wait_for(lambda me: me.summary().dropped.get("client-disconnected") == 1)
    release.set()
    assert sides[1].seen["/left"] == []


def test_X44_a_large_upload_arrives_whole_and_a_large_answer_is_partial(plane, sides):
    upload = os.urandom(BODY_LIMIT * 3 + 1)
    plane.get("/upload", "POST", content=upload)
    assert sides[0].seen["/upload"][0].body == upload
    download = os.urandom(BODY_LIMIT + 1)
    for backend in sides:
        backend.on("/download", Reply(body=download, headers={"content-type": "application/octet-stream"}))
    assert plane.get("/download").content == download
    assert plane.wait_for_counts("GET /download", 1)[0] == {"partial": 1}
    assert plane.get("/with-body", content=b"q").status_code == 200
    plane.wait_for(lambda me: refused(me, "request-body") == 1)


def test_X46_the_first_event_arrives_before_the_stream_ends(plane, sides):
    release = threading.Event()
    sides[0].on("/events", Reply(headers={"content-type": "text/event-stream"}, chunks=[b"data: 1\n\n", release]))
    with plane.client.stream("GET", "/events") as answer:
        assert next(answer.iter_raw()) == b"data: 1\n\n"
        release.set()
    plane.wait_for(lambda me: refused(me, "event-stream") == 1)
    assert sides[1].seen["/events"] == []


def test_X48_a_shadow_is_marked_and_never_shadowed_again(plane, sides):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    plane.get("/traced", headers={"traceparent": trace})
    plane.wait_for_counts("GET /traced", 1)
    (at_control,), (at_candidate,) = (backend.seen["/traced"] for backend in sides)
    assert at_control.all("x-shadow") == [] and at_control.all("traceparent") == [trace]
    assert at_candidate.all("x-shadow") == ["1"]
    (span,) = at_candidate.all("traceparent")
    assert span[:36] == trace[:36] and span[36:52] != trace[36:52]
    plane.get("/looped", headers={"x-shadow": "1"})
    plane.wait_for(lambda me: refused(me, "already-shadow") == 1)
    assert sides[1].seen["/looped"] == []


def test_X49_the_host_header_is_the_clients_on_both_sides(plane, sides):
    plane.get("/host", headers={"host": "shop.example"})
    plane.wait_for_counts("GET /host", 1)
    for backend in sides:
        assert backend.seen["/host"][0].all("host") == ["shop.example"]


def test_X50_stored_samples_hold_no_credentials(plane, sides):
    secret = "s3cr3t-value"
    sides[0].on("/private", reply({"token": secret, "email": "a@b.example", "v": 1}))
    sides[1].on("/private", reply({"token": secret, "email": "a@b.example", "v": 2, "session": {"id": secret}}))
    headers = {"authorization": f"Bearer {secret}", "cookie": f"sid={secret}"}
    plane.get(f"/private?token={secret}&q=1", headers=headers)
    counts, found = plane.wait_for_counts("GET /private", 1)
    assert counts == {"confirmed": 1}
    assert {item.path for item in found} == {"v", "session"}
    for file in plane.record.iterdir():
        content = file.read_bytes()
        assert secret.encode() not in content and b"a@b.example" not in content


def test_X51_a_shadows_cookies_go_nowhere(plane, sides):
    sides[1].on("/sets-cookie", Reply(headers={"content-type": "application/json", "set-cookie": "theirs=1"}))
    for _ in range(2):
        assert "set-cookie" not in plane.get("/sets-cookie").headers
    plane.wait_for_counts("GET /sets-cookie", 2)
    assert all(seen.all("cookie") == [] for seen in sides[1].seen["/sets-cookie"])


def test_X52_the_kill_switch_holds_from_the_next_request_on(plane, sides, rules):
    write_rules(rules, enabled=False)
    try:
        plane.get("/switched")
        plane.wait_for(lambda me: refused(me, "switched-off") == 1)
    finally:
        write_rules(rules)
    plane.get("/switched")
    assert plane.wait_for_counts("GET /switched", 1)[0] == {"matched": 1}
    assert len(sides[1].seen["/switched"]) == 1


def test_X52_a_bad_rule_file_changes_nothing(plane, rules):
    rules.write_text("shadow: {enabled: maybe")
    try:
        assert plane.get("/still").status_code == 200
        assert plane.wait_for_counts("GET /still", 1)[0] == {"matched": 1}
    finally:
        write_rules(rules)


def test_X53_a_write_between_the_two_reads_is_a_race(plane, sides):
    sides[0].on("/raced", lambda n: reply({"v": "old" if n == 0 else "new"}))
    sides[1].on("/raced", reply({"v": "new"}))
    assert plane.get("/raced").json() == {"v": "old"}
    counts, found = plane.wait_for_counts("GET /raced", 1)
    assert counts == {"raced": 1}
    assert [(item.path, item.classification) for item in found] == [("v", "raced")]


def test_X53_a_stream_that_lags_is_a_race_too(plane, sides):
    sides[0].on("/lagging", reply({"v": "new"}))
    sides[1].on("/lagging", lambda n: reply({"v": "old" if n < 3 else "new"}))
    plane.get("/lagging")
    assert plane.wait_for_counts("GET /lagging", 1)[0] == {"raced": 1}
