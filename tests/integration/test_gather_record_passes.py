"""The recorder changes nothing, loses nothing, and leaves a record that can be read however it ends."""

import gzip
import os
import signal
import socket
import time

import httpx
import pytest
from click.testing import CliRunner
from websockets.sync.client import connect

from cli import strangler
from migration_plans.gather.requests import requests_of
from sandbox.ports import free_port
from strangler.errors import StranglerError
from tests.integration.recorded_upstreams import Upstream, capturing, certificate, serving
from tests.integration.recording import recording

pytestmark = pytest.mark.integration

ENGINES = ("envoy", "mitmproxy")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
RETRY = [
    b"X-Envoy-Retry-On: retriable-status-codes",
    b"X-Envoy-Retriable-Status-Codes: 299",
    b"X-Envoy-Max-Retries: 3",
]


def exchanged(url, head):
    """Raw bytes there, raw bytes back."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 30) as connection:
        connection.sendall(head)
        answer = b""
        while not answer.endswith(b"\r\n\r\nok"):
            piece = connection.recv(65536)
            assert piece, answer
            answer += piece
    return answer


@pytest.mark.parametrize("engine", ENGINES)
def test_requests_and_answers_pass_unchanged(tmp_path, engine):
    lines = [
        b"GET /a/%2e%2e/b//c%2Fd/%e4?x=1&token=s3cr3t-s3cr3t&&y HTTP/1.1",
        b"Host: shop.example",
        b"X-CaSe: y",
        b"X-Forwarded-For: 192.0.2.1",
        b"Cookie: a=1; b=2",
        b"User-Agent: odd",
    ]
    out = tmp_path / "run.jsonl"
    named = ("--engine", engine, "--listen", f"localhost:{free_port()}")
    with (
        capturing() as (upstream, asked),
        recording(upstream.replace("127.0.0.1", "localhost"), out, *named) as running,
    ):
        answer = exchanged(running.url, b"\r\n".join([*lines, b"Traceparent: " + TRACE.encode(), b"", b""]))
        exchanged(running.url, b"\r\n".join([*lines, b"", b""]))
        exchanged(running.url, b"\r\n".join([*lines, b"Traceparent: " + TRACE.upper().encode(), b"", b""]))
        # No client can have its request sent twice.
        exchanged(running.url, b"\r\n".join([*lines, *RETRY, b"", b""]))
        running.end()
    kept, given, restarted, _ = (one.split(b"\r\n\r\n")[0].split(b"\r\n") for one in asked)
    assert kept[0] == lines[0]
    assert sorted(kept) == sorted([*lines, b"Traceparent: " + TRACE.encode()])
    for more in (given, restarted):
        assert sorted(line for line in more if not line.lower().startswith(b"traceparent")) == sorted(lines)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 299 Quite Fine", b"ok")
    assert {b"X-OdD: 1", b"Server: odd/1", b"Set-Cookie: a=1; Path=/", b"Set-Cookie: b=2"} <= set(head.split(b"\r\n"))
    # Its own trace was kept, the two others are new and different; no secret of the query is in the record.
    traces = [one.trace for one in requests_of(running.out.read_text().splitlines(True), thing="run")]
    assert traces[0] == TRACE.split("-")[1]
    assert len(set(traces)) == 4 and None not in traces
    assert "s3cr3t" not in running.out.read_text()
    assert running.out.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("options", [(), ("--one-at-a-time", "--bodies")])
def test_sockets_streams_and_large_bodies_pass(tmp_path, options):
    with serving(Upstream()) as upstream, recording(upstream, tmp_path / "run.jsonl", *options) as running:
        with connect(running.url.replace("http", "ws", 1) + "/ws", open_timeout=60) as client:
            client.send("hallo")
            assert client.recv(60) == "hallo"
        with httpx.Client(base_url=running.url, timeout=60, trust_env=False) as client:
            size = 5_000_000
            assert client.post("/upload", content=b"x" * size).text == str(size)
            assert client.post("/upload", content=iter([b"x" * 100_000] * 10)).text == "1000000"
            assert streamed(client, upstream) == b"first 0"
            with client.stream("GET", "/zipped") as answer:
                raw = b"".join(answer.iter_raw())
            assert (answer.headers["content-encoding"], gzip.decompress(raw)[:9]) == ("gzip", b'{"id": 7,')
        seen = running.end()
    lines = running.lines()
    assert sorted((line["method"], line["path"], line["status"]) for line in lines) == [
        ("GET", "/stream", 200),
        ("GET", "/ws", 101),
        ("GET", "/zipped", 200),
        ("POST", "/upload", 200),
        ("POST", "/upload", 200),
    ]
    # What happens on a socket is of no request.
    assert seen["requests"] == 4
    # Bodies of no known kind are not recorded, and what is hidden is found in compressed ones, too.
    assert "xxxx" not in running.out.read_text() and "geheim" not in running.out.read_text()
    (zipped,) = (line for line in lines if line["path"] == "/zipped")
    assert zipped.get("answer", {"json": {"id": 7}})["json"]["id"] == 7


@pytest.mark.parametrize("engine", ENGINES)
def test_requests_under_way_are_answered_and_recorded_when_it_is_ended(tmp_path, engine):
    with serving(Upstream()) as upstream, recording(upstream, tmp_path / "run.jsonl", "--engine", engine) as running:
        with httpx.Client(base_url=running.url, timeout=60, trust_env=False) as client:
            assert streamed(client, upstream, meanwhile=lambda: begun_to_end(running)) == b"first 0"
            running.process.wait(60)
        assert running.end()["requests"] == 1


def streamed(client, upstream, meanwhile=lambda: None):
    """What `/stream` sends, whose second piece is made only when its first one has come."""
    with client.stream("GET", "/stream") as answer:
        pieces = answer.iter_bytes()
        first = next(pieces)
        meanwhile()
        httpx.get(f"{upstream}/go", timeout=60, trust_env=False)
        return first + b"".join(pieces)


def begun_to_end(running):
    running.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 60
    while "ending:" not in running.said.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_killed_recorder_leaves_a_record_that_can_be_gone_on_with(tmp_path, engine):
    out = tmp_path / "run.jsonl"
    with serving(Upstream()) as upstream:
        with recording(upstream, out, "--engine", engine) as running:
            for number in range(3):
                httpx.get(f"{running.url}/a/{number}", timeout=60, trust_env=False)
            deadline = time.monotonic() + 60
            while len(out.read_text().splitlines()) < 3:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            os.kill(running.process.pid, signal.SIGKILL)
            running.process.wait(30)
        assert [one.path for one in requests_of(out.read_text().splitlines(True), thing="run")] == [
            "/a/0",
            "/a/1",
            "/a/2",
        ]
        # As a full disk or a lost machine may leave it.
        with out.open("a") as file:
            file.write('{"type":"request","met')
        torn = []
        assert len(requests_of(out.read_text().splitlines(True), thing="run", torn=torn.append)) == 3
        assert "line 4" in torn[0]
        code, why = refusal("--upstream", upstream, "--out", str(out), "--listen", f"127.0.0.1:{free_port()}")
        assert code == 3 and "--append" in why
        with recording(upstream, out, "--engine", engine, "--append") as running:
            httpx.get(f"{running.url}/b", timeout=60, trust_env=False)
    assert running.seen["requests"] == 1
    assert "22 bytes" in running.said.read_text()
    assert [one.path for one in requests_of(out.read_text().splitlines(True), thing="run")] == [
        "/a/0",
        "/a/1",
        "/a/2",
        "/b",
    ]


def test_who_leaves_while_waiting_for_its_turn_holds_nobody_up(tmp_path):
    out = tmp_path / "run.jsonl"
    with serving(Upstream()) as upstream, recording(upstream, out, "--one-at-a-time") as running:

        def impatient():
            host, _, port = running.url.removeprefix("http://").partition(":")
            with socket.create_connection((host, int(port)), 30) as connection:
                connection.sendall(b"GET /left HTTP/1.1\r\nHost: x\r\n\r\n")

        with httpx.Client(base_url=running.url, timeout=60, trust_env=False) as client:
            assert streamed(client, upstream, meanwhile=impatient) == b"first 0"
            assert client.get("/after").text == "0"
            seen = running.end()
    paths = [line["path"] for line in running.lines()]
    assert set(paths) - {"/left"} == {"/stream", "/after"} and seen["requests"] == len(paths)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_https_monolith_is_checked_against_the_certificates_given(tmp_path, engine):
    trusted, key = certificate(tmp_path)
    tls = {"ssl_certfile": str(trusted), "ssl_keyfile": str(key)}
    out = tmp_path / "run.jsonl"
    with serving(Upstream(), **tls) as upstream:
        with recording(upstream, out, "--engine", engine, "--trusted-ca", str(trusted)) as running:
            assert httpx.get(f"{running.url}/a", timeout=60, trust_env=False).status_code == 200
        with recording(upstream, out, "--engine", engine, "--append") as running:
            assert httpx.get(f"{running.url}/b", timeout=60, trust_env=False).status_code in (502, 503)
    first, _ = requests_of(out.read_text().splitlines(True), thing="run")
    assert (first.path, first.status) == ("/a", 200)


def refusal(*options):
    """Why it does not begin."""
    done = CliRunner().invoke(strangler, ["gather", "record", *options])
    if isinstance(done.exception, StranglerError):
        return done.exception.exit_code, str(done.exception)
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--upstream", "nonsense"], 2, "http://"),
        (["--upstream", "http://127.0.0.1:1"], 4, "start it"),
        (["--upstream", "http://127.0.0.1:8080"], 2, "is the address of the monolith itself"),
        (["--upstream", "http://127.0.0.1:1", "--listen", "8080"], 2, "HOST:PORT"),
        (["--upstream", "http://127.0.0.1:1", "--for", "soon"], 2, "no duration"),
        (["--upstream", "http://127.0.0.1:1", "--engine", "envoy", "--bodies"], 2, "--engine mitmproxy"),
        (["--upstream", "http://127.0.0.1:1", "--source", "postgresql://u:geheim@127.0.0.1:1/y"], 4, "runs"),
    ],
)
def test_bad_options_are_refused_before_anything_is_touched(tmp_path, options, code, says):
    refused, why = refusal(*options, "--out", str(tmp_path / "run.jsonl"))
    assert refused == code
    assert says in why
    assert "geheim" not in why
    assert not (tmp_path / "run.jsonl").exists()


def test_a_taken_port_and_a_file_that_cannot_be_written_are_named(tmp_path):
    with capturing() as (upstream, _), socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, why = refusal("--upstream", upstream, "--listen", f"127.0.0.1:{port}", "--out", str(tmp_path / "a"))
        assert code == 4 and str(port) in why
        listen = f"127.0.0.1:{free_port()}"
        code, why = refusal("--upstream", upstream, "--listen", listen, "--out", str(tmp_path / "no" / "a"))
        assert code == 4 and "No such file" in why
