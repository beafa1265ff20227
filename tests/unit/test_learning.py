"""The recorder's parts that need no proxy: turns, secrets, traces, operations, the file."""

import asyncio
import json

import pytest

from router.learning.envoy_config import render_recorder
from router.learning.errors import BadRecording, RecordExists
from router.learning.operations import operation_of
from router.learning.record_file import RecordFile, prepare_record
from router.learning.secrets_hidden import Hidden, answer_shown, text_body
from router.learning.settings import RecordSettings
from router.learning.traces import is_valid, traceparent_of
from router.learning.turns import TurnLimits, Turnstile
from strangler.errors import Unreachable

JSON = "application/json; charset=utf-8"


class MarksSeen:
    """What was marked, in order; `fails` raises instead, `restless` never becomes quiet."""

    def __init__(self, fails=(), restless=()):
        self.seen = []
        self._fails = fails
        self._restless = restless

    def begin(self, marker):
        self._note("begin", marker)

    def end(self, marker):
        self._note("end", marker)
        return marker not in self._restless

    def _note(self, word, marker):
        if (word, marker) in self._fails:
            raise Unreachable(thing="the database", reason="is gone", mend="start it")
        self.seen.append((word, marker))


def test_requests_pass_one_at_a_time_in_the_order_in_which_they_came():
    async def run():
        marks = MarksSeen()
        turnstile = Turnstile(marks, TurnLimits())
        under_way = 0

        async def request(name):
            nonlocal under_way
            turn = await turnstile.enter(name)
            under_way += 1
            assert under_way == 1
            await asyncio.sleep(0)
            under_way -= 1
            return await turnstile.leave(turn)

        assert await asyncio.gather(*map(request, "abcde")) == [True] * 5
        assert marks.seen == [(word, name) for name in "abcde" for word in ("begin", "end")]

    asyncio.run(run())


def test_who_waits_too_long_passes_and_nobody_beside_it_counts_as_alone():
    async def run():
        turnstile = Turnstile(MarksSeen(), TurnLimits(wait_s=0.01, keep_s=60))
        first = await turnstile.enter("a")
        second = await turnstile.enter("b")
        assert not first.has_lock or not second.has_lock
        assert [await turnstile.leave(second), await turnstile.leave(first)] == [False, False]
        third = await turnstile.enter("c")
        assert await turnstile.leave(third)
        assert turnstile.crowded == 2

    asyncio.run(run())


def test_a_stream_gives_its_turn_up_and_what_runs_beside_it_is_not_alone():
    async def run():
        turnstile = Turnstile(MarksSeen(), TurnLimits(wait_s=60, keep_s=0.01))
        stream = await turnstile.enter("stream")
        beside = await turnstile.enter("beside")
        assert not await turnstile.leave(beside)
        assert not await turnstile.leave(stream)
        alone = await turnstile.enter("alone")
        assert await turnstile.leave(alone)

    asyncio.run(run())


def test_nothing_runs_alone_beside_an_open_socket():
    async def run():
        turnstile = Turnstile(MarksSeen(), TurnLimits())
        before = await turnstile.enter("before")
        socket = turnstile.beside()
        assert not await turnstile.leave(before)
        assert not await turnstile.leave(await turnstile.enter("meanwhile"))
        turnstile.ended(socket)
        assert await turnstile.leave(await turnstile.enter("after"))

    asyncio.run(run())


@pytest.mark.parametrize("fails", [("begin", "a"), ("end", "a")])
def test_a_database_that_fails_holds_nobody_up(fails):
    async def run():
        turnstile = Turnstile(MarksSeen(fails=[fails]), TurnLimits())
        assert not await turnstile.leave(await turnstile.enter("a"))
        assert await turnstile.leave(await turnstile.enter("b"))
        assert turnstile.problem.reason == "is gone"

    asyncio.run(run())


def test_what_leaves_the_database_busy_is_not_marked():
    async def run():
        turnstile = Turnstile(MarksSeen(restless=["a"]), TurnLimits())
        assert not await turnstile.leave(await turnstile.enter("a"))
        assert turnstile.restless == 1

    asyncio.run(run())


def test_secrets_are_hidden_everywhere_the_same_for_the_same():
    hidden = Hidden(b"key")
    asked = text_body(b'{"user": {"password": "geheim", "pin": [1]}, "n": 1}', JSON, hidden)
    word = json.loads(asked)["user"]["password"]
    assert word.startswith("hidden-") and json.loads(asked)["user"]["pin"] == [1]
    assert text_body(b"passwort=x&password=geheim", "application/x-www-form-urlencoded", hidden).endswith(word)
    answer = answer_shown(b'{"access_token": "abcdefgh-123", "id": 7}', JSON, hidden)
    token = answer["json"]["access_token"]
    assert answer["json"]["id"] == 7
    headers = hidden.request_headers(
        [
            ("Authorization", "Bearer abcdefgh-123"),
            ("Cookie", "sid=abcdefgh-123; theme="),
            ("X-Echo", "see abcdefgh-123"),
            ("X-CSRF-Token", "geheim"),
            ("Host", "x"),
            ("Referer", "https://u:p@shop.example/reset/abcdefgh-123?token=1"),
        ]
    )
    assert headers == {
        "authorization": f"Bearer {token}",
        "cookie": f"sid={token}; theme=",
        "x-echo": f"see {token}",
        "x-csrf-token": word,
        "referer": f"https://shop.example/reset/{token}",
    }
    assert hidden.target("/a/abcdefgh-123?token=abcdefgh-123&x=1") == f"/a/{token}?token={token}&x=1"
    assert Hidden(b"other").word("geheim") != word


def test_what_hides_nothing_stays_as_it_was_sent():
    hidden = Hidden(b"key")
    body = b'{"price":1.10, "n": 1e2}'
    assert text_body(body, JSON, hidden) == body.decode()
    assert hidden.form("a=b%20c&&d&e=%2F") == "a=b%20c&&d&e=%2F"
    # A secret that is a word of our own paths hides none of them.
    hidden.word("checkout")
    assert hidden.target("/checkout/7") == "/checkout/7"


def test_what_an_answer_sets_and_where_it_leads():
    hidden = Hidden(b"key")
    shown = hidden.answer_headers(
        [("Set-Cookie", "sid=geheim1; Path=/; HttpOnly"), ("Location", "/orders/7?token=geheim1"), ("Server", "x")]
    )
    word = hidden.word("geheim1")
    assert shown == {"cookies": {"sid": word}, "location": f"/orders/7?token={word}"}
    page = b'<input type="hidden" name="csrf" value="abc&amp;def"><input name="q" value="1"><input type=hidden name=e>'
    assert answer_shown(page, "text/html", hidden) == {"inputs": {"csrf": hidden.word("abc&def")}}


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"\xff", JSON), (b"{", JSON), (b"a", "text/plain"), (b"[" * 100_000, JSON), (b"--x", "multipart/form-data")],
)
def test_bodies_in_which_secrets_cannot_be_found_are_left_out(body, kind):
    assert text_body(body, kind, Hidden(b"key")) is None
    assert answer_shown(body, kind, Hidden(b"key")) == {}


def test_what_lies_too_deep_is_hidden_as_a_whole():
    tree = {"a": {}}
    for _ in range(300):
        tree = {"a": tree}
    assert "hidden-" in text_body(json.dumps(tree).encode(), JSON, Hidden(b"key"))


def test_X68_traces_that_are_valid_are_kept():
    trace = "0af7651916cd43dd8448eb211c80319c"
    assert is_valid(f"00-{trace}-b7ad6b7169203331-01")
    assert is_valid(traceparent_of(trace))
    assert is_valid(f"01-{trace}-b7ad6b7169203331-01-later")
    for bad in (f"00-{trace}-b7ad6b7169203331-01-later", f"ff-{trace}-b7ad6b7169203331-01", trace, ""):
        assert not is_valid(bad)


@pytest.mark.parametrize(
    ("headers", "body", "operation"),
    [
        ({}, '{"query": "query Q {a}", "operationName": "Q"}', "Q"),
        ({}, '{"query": "{a}"}', None),
        ({}, '[{"query": "{a}", "operationName": "Q"}]', None),
        ({}, '{"jsonrpc": "2.0", "method": "orders.place", "id": 1}', "orders.place"),
        ({}, '{"method": "PayPal"}', None),
        ({"soapaction": '"http://shop.example/Orders/Place"'}, None, "Place"),
        ({}, '{"query": "x", "operationName": "a b\\n"}', None),
        ({}, "{", None),
        ({}, None, None),
    ],
)
def test_operations_of_one_path_are_told_apart(headers, body, operation):
    assert operation_of(headers, body) == operation


def test_a_record_is_private_whole_and_never_overwritten(tmp_path):
    path = tmp_path / "run.jsonl"
    assert prepare_record(path, appends=False) == (0, 0)
    assert path.stat().st_mode & 0o777 == 0o600
    file = RecordFile(path)
    file.write({"a": "ü"})
    file.close()
    with pytest.raises(RecordExists):
        prepare_record(path, appends=False)
    whole = path.stat().st_size
    with path.open("ab") as torn:
        torn.write(b"x" * 200_000)
    assert prepare_record(path, appends=True) == (whole, 200_000)
    assert json.loads(path.read_text()) == {"a": "ü"}
    path.write_text("never a line")
    assert prepare_record(path, appends=True) == (0, 12)


@pytest.mark.parametrize("listen", ["8080", "x:", "127.0.0.1:0", "127.0.0.1:70000", ":80"])
def test_addresses_are_checked(tmp_path, listen):
    with pytest.raises(BadRecording):
        RecordSettings(upstream="http://127.0.0.1:1", out=tmp_path / "a", listen=listen)


def test_an_https_monolith_is_checked_against_the_certificates(tmp_path):
    settings = RecordSettings(upstream="https://shop.example", out=tmp_path / "a", listen="[::1]:8080")
    config = json.loads(render_recorder(settings, admin="127.0.0.1:9"))
    (cluster,) = config["static_resources"]["clusters"]
    assert cluster["transport_socket"]["typed_config"]["sni"] == "shop.example"
    (listener,) = config["static_resources"]["listeners"]
    assert listener["address"]["socket_address"] == {"address": "::1", "port_value": 8080}
