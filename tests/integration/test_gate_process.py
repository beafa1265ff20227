"""The gate as a process and the application inside: holding, releasing, refusing, never defaulting."""

import asyncio
import json
import threading

import httpx
import pytest

from router.errors import BadTable, GateSilent
from router.gate import IDLE_AFTER_S, IDLE_POLL_S, POLL_S, Gate
from router.gate_control import GateClient, GateFile
from router.gate_moves import GateLimits
from strangler.clock import ManualClock


class Asked:
    """One question to the gate, put to the ASGI application directly."""

    def __init__(self, gate, path):
        self.sent = []
        self.gone = asyncio.Event()
        self.task = asyncio.ensure_future(gate(self._scope(path), self._receive, self._send))

    @staticmethod
    def _scope(path):
        return {"type": "http", "method": "POST", "path": path, "headers": []}

    async def _receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        self.sent.append(message)

    @property
    def answer(self):
        if not self.sent:
            return None
        return self.sent[0]["status"], dict(self.sent[0]["headers"]).get(b"x-strangler-owner")


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def gate_of(tmp_path, limits=None, clock=None):
    return Gate(tmp_path / "gate.json", limits, clock or ManualClock())


def test_an_open_gate_names_the_owner(tmp_path):
    async def story():
        GateFile(tmp_path / "gate.json").set("catalog", "open", "service")
        asked = Asked(gate_of(tmp_path), "/check/catalog")
        await asked.task
        assert asked.answer == (200, b"service")

    asyncio.run(story())


def test_a_closed_gate_holds_and_opening_releases_all_at_once_to_the_new_owner(tmp_path):
    async def story():
        file, clock = GateFile(tmp_path / "gate.json"), ManualClock()
        file.set("catalog", "closed", "legacy")
        gate = gate_of(tmp_path, clock=clock)
        asked = [Asked(gate, "/check/catalog") for _ in range(50)]
        await settle()
        assert not any(each.answer for each in asked)
        clock.advance(0.4)
        assert gate.status().moves["catalog"].held_now == 50
        assert gate.status().moves["catalog"].oldest_held_ms == 400
        file.set("catalog", "open", "service")
        gate.refresh()
        await settle()
        assert {each.answer for each in asked} == {(200, b"service")}
        status = gate.status().moves["catalog"]
        assert (status.held_now, status.released, status.admitted, status.refused) == (0, 50, 50, 0)
        assert (status.hold_ms.count, status.hold_ms.p50, status.hold_ms.max) == (50, 400, 400)
        assert [(each.released_to, each.released, each.open_after_ms) for each in status.closures] == [
            ("service", 50, 400)
        ]

    asyncio.run(story())


@pytest.mark.parametrize("content", [None, "", "{", '{"moves": []}', '{"moves": {"catalog": {"state": "open"}}}'])
def test_a_missing_or_damaged_file_holds_never_defaults(tmp_path, content):
    async def story():
        path = tmp_path / "gate.json"
        GateFile(path).set("catalog", "open", "legacy")
        gate = gate_of(tmp_path)
        path.unlink()
        if content is not None:
            path.write_text(content)
        gate.refresh()
        asked = Asked(gate, "/check/catalog")
        await settle()
        assert asked.answer is None
        assert gate.status().file_error
        path.write_text(json.dumps({"moves": {"catalog": {"version": 9, "state": "open", "owner": "service"}}}))
        gate.refresh()
        await settle()
        assert asked.answer == (200, b"service")

    asyncio.run(story())


def test_the_state_file_is_watched_closely_only_while_writes_come_or_wait(tmp_path):
    async def story():
        file, clock = GateFile(tmp_path / "gate.json"), ManualClock()
        file.set("catalog", "open", "legacy")
        gate = gate_of(tmp_path, GateLimits(hold_s=60), clock)
        clock.advance(IDLE_AFTER_S)
        assert gate.pause_s == IDLE_POLL_S
        await Asked(gate, "/check/catalog").task
        assert gate.pause_s == POLL_S
        clock.advance(IDLE_AFTER_S)
        assert gate.pause_s == IDLE_POLL_S
        file.set("catalog", "closed", "legacy")
        gate.refresh()
        held = Asked(gate, "/check/catalog")
        await settle()
        clock.advance(10 * IDLE_AFTER_S)
        assert gate.pause_s == POLL_S
        held.gone.set()
        await held.task
        assert gate.pause_s == IDLE_POLL_S

    asyncio.run(story())


@pytest.mark.parametrize("path", ["/check/catalog", "/status"])
def test_a_question_that_ends_a_pause_is_answered_by_the_file_as_it_is(tmp_path, path):
    async def story():
        file, clock = GateFile(tmp_path / "gate.json"), ManualClock()
        file.set("catalog", "open", "legacy")
        gate = gate_of(tmp_path, clock=clock)
        clock.advance(IDLE_AFTER_S)
        version = file.set("catalog", "closed", "legacy")
        asked = Asked(gate, path)
        await settle()
        assert (asked.answer is None) == (path != "/status"), "held"
        assert gate.status().moves["catalog"].version == version
        asked.gone.set()
        await asked.task

    asyncio.run(story())


def test_an_unknown_move_is_held_until_somebody_names_it(tmp_path):
    async def story():
        GateFile(tmp_path / "gate.json").set("catalog", "open", "legacy")
        gate = gate_of(tmp_path)
        asked = Asked(gate, "/check/billing")
        await settle()
        assert asked.answer is None
        GateFile(tmp_path / "gate.json").set("billing", "open", "legacy")
        gate.refresh()
        await settle()
        assert asked.answer == (200, b"legacy")

    asyncio.run(story())


def test_beyond_the_bounds_a_write_is_refused_and_counted(tmp_path):
    async def story():
        GateFile(tmp_path / "gate.json").set("catalog", "closed", "legacy")
        gate = gate_of(tmp_path, GateLimits(max_held=2, hold_s=0.05))
        asked = [Asked(gate, "/check/catalog") for _ in range(3)]
        await settle()
        assert asked[2].answer == (503, None)
        assert dict(asked[2].sent[0]["headers"])[b"retry-after"] == b"1"
        await asyncio.gather(*(each.task for each in asked))
        assert [each.answer for each in asked] == [(503, None)] * 3
        status = gate.status().moves["catalog"]
        assert (status.held_now, status.refused, status.held_total) == (0, 3, 2)

    asyncio.run(story())


def test_a_client_that_leaves_is_no_longer_held(tmp_path):
    async def story():
        GateFile(tmp_path / "gate.json").set("catalog", "closed", "legacy")
        gate = gate_of(tmp_path)
        asked = Asked(gate, "/check/catalog")
        await settle()
        asked.gone.set()
        await asked.task
        status = gate.status().moves["catalog"]
        assert (status.held_now, status.left, status.released) == (0, 1, 0)

    asyncio.run(story())


def test_saying_it_twice_changes_nothing_and_each_change_is_a_version(tmp_path):
    file = GateFile(tmp_path / "gate.json")
    assert [file.set("catalog", *each) for each in [("open", "legacy")] * 2 + [("closed", "legacy")] * 2] == [
        1,
        1,
        2,
        2,
    ]
    assert file.set("billing", "open", "legacy") == 1
    file.remove("catalog")
    assert set(file.read().moves) == {"billing"}


def test_changes_by_several_processes_are_all_kept(tmp_path):
    file = GateFile(tmp_path / "gate.json")

    def flip(move):
        for _ in range(5):
            GateFile(file.path).set(move, "closed", "legacy")
            GateFile(file.path).set(move, "open", "legacy")

    threads = [threading.Thread(target=flip, args=(f"move{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: state.version for name, state in file.read().moves.items()} == dict.fromkeys(
        ["move0", "move1", "move2", "move3"], 10
    )


def test_a_damaged_file_is_not_overwritten(tmp_path):
    path = tmp_path / "gate.json"
    path.write_text("{")
    with pytest.raises(BadTable):
        GateFile(path).set("catalog", "open", "legacy")
    assert path.read_text() == "{"


def test_a_gate_that_nobody_runs_is_silent():
    with pytest.raises(GateSilent) as silent:
        GateClient("http://127.0.0.1:9", ManualClock()).wait_for("catalog", 1, timeout_s=0.01)
    assert "start it" in silent.value.mend


def test_a_gate_that_does_not_take_note_is_reported():
    def answer(request):
        return httpx.Response(200, json={"pid": 1, "file_error": None, "moves": {}})

    client = GateClient("http://gate", ManualClock())
    client._http = httpx.Client(transport=httpx.MockTransport(answer))
    with pytest.raises(GateSilent, match="did not take note of version 3"):
        client.wait_for("catalog", 3, timeout_s=1)
