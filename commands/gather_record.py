"""`strangler gather record`: stand before a monolith and write down which request ran when."""

import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import click
import httpx

from commands.output import json_option, print_facts, print_json, stderr
from migration_plans.gather.paths import Templates
from migration_plans.gather.requests import requests_in
from router.learning.envoy_config import FLUSH_MS, STAT_PREFIX, render_recorder
from router.learning.errors import ListenerTaken, UpstreamSilent
from router.learning.record_file import prepare_record
from router.learning.settings import RecordSettings
from sandbox.envoy import envoy_program
from sandbox.supervision import ProgramSpec, Stack
from strangler.durable_files import replace_file

_POLL_S = 0.1
_DRAIN_S = 10.0
_CONNECT_S = 5.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class _Duration(click.ParamType):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", str(value).strip())
        if match is None or float(match[1]) == 0:
            self.fail(f"{value!r} is no duration: write 90s, 10m or 1h", param, ctx)
        return float(match[1]) * _UNITS[match[2]]


@click.command("record")
@click.option("--upstream", required=True, help="Base URL at which the monolith answers.")
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="HOST:PORT to send the clients to.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The record, JSON lines.")
@click.option("--append", "appends", is_flag=True, help="Go on with a record that was begun before.")
@click.option("--for", "for_s", type=_Duration(), help="End after this time, as 90s, 10m, 1h; else Ctrl-C ends it.")
@click.option("--trace/--no-trace", default=True, show_default=True, help="Give requests without one a traceparent.")
@json_option
def record_command(
    upstream: str, listen: str, out: Path, appends: bool, for_s: float | None, trace: bool, as_json: bool
) -> None:
    """Record a monolith's traffic: a proxy passes everything on unchanged and notes each request's endpoint and times.

    Log the database's statements meanwhile (docs/gathering-facts.md); `gather facts` then joins the two.

    \b
    Example: strangler gather record --upstream http://127.0.0.1:8000 --out run.jsonl --for 10m
    """
    settings = RecordSettings(upstream=upstream, out=out, listen=listen, gives_traces=trace)
    _check_addresses(settings)
    begin, cut = prepare_record(out, appends=appends)
    if cut:
        stderr.print(f"{out}: {cut} bytes of a last line that was not whole were cut off", markup=False)
    with _interrupted_by_signals():
        _record_with_envoy(settings, for_s)
    _print_seen(out, begin, as_json=as_json)


def _check_addresses(settings: RecordSettings) -> None:
    upstream = settings.backend
    try:
        socket.create_connection((upstream.host, upstream.port), _CONNECT_S).close()
    except OSError as error:
        raise UpstreamSilent(
            thing=f"the monolith at {settings.upstream}",
            reason=f"does not answer: {error.strerror or error}",
            mend="start it, or correct --upstream",
        ) from None
    host, port = settings.listen_address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            raise ListenerTaken(
                thing=f"--listen {settings.listen}",
                reason=f"cannot be listened on: {error.strerror or error}",
                mend="stop what uses this port, or choose another",
            ) from None


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _record_with_envoy(settings: RecordSettings, for_s: float | None) -> None:
    with Stack() as stack:
        (admin_port,) = stack.reserve_ports(1)
        admin = f"127.0.0.1:{admin_port}"
        bootstrap = stack.folder / "recorder.json"
        replace_file(bootstrap, render_recorder(settings, admin=admin), mode=0o600)
        stack.run(_recorder(bootstrap, admin_port))
        try:
            _wait(settings, for_s, stack)
        except KeyboardInterrupt:
            stderr.print("ending: requests under way are waited for")
        _drain(f"http://{admin}")


def _recorder(bootstrap: Path, admin_port: int) -> ProgramSpec:
    program = envoy_program(bootstrap, admin_port=admin_port, name="recorder", autorestart=True)
    return replace(program, argv=(*program.argv, "--file-flush-interval-msec", str(FLUSH_MS)))


def _wait(settings: RecordSettings, for_s: float | None, stack: Stack) -> None:
    ends = "Ctrl-C ends it" if for_s is None else f"it ends after {for_s:g} s, or with Ctrl-C"
    stderr.print(f"recording: send the clients to {settings.clients_url} instead of {settings.upstream}; {ends}")
    deadline = None if for_s is None else time.monotonic() + for_s
    while deadline is None or time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _drain(admin: str) -> None:
    """Take no more connections, and give what is under way its time."""
    with httpx.Client(base_url=admin, timeout=5.0, trust_env=False) as client:
        try:
            client.post("/drain_listeners")
            deadline = time.monotonic() + _DRAIN_S
            while _active(client) and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        except httpx.HTTPError as error:
            stderr.print(f"the recorder did not answer at its end: {type(error).__name__}")


def _active(client: httpx.Client) -> int:
    stats = client.get("/stats", params={"format": "json", "filter": rf"^http\.{STAT_PREFIX}\.downstream_rq_active$"})
    return sum(int(one.get("value", 0)) for one in stats.json()["stats"])


def _print_seen(out: Path, begin: int, *, as_json: bool) -> None:
    asked: Counter[tuple[str, str]] = Counter()
    failed = 0
    with out.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        lines.seek(begin)
        for one in requests_in(lines, thing=str(out), torn=lambda text: stderr.print(text, markup=False)):
            asked[one.method, one.path] += 1
            failed += one.status >= 400
    templates = Templates()
    templates.learn(asked)
    endpoints = {templates.endpoint(method, path) for method, path in asked}
    seen = {"requests": asked.total(), "endpoints": len(endpoints), "refused": failed}
    if as_json:
        print_json(seen | {"out": str(out)})
        return
    print_facts(seen)
    if not asked:
        stderr.print("nothing was recorded: the clients were not sent here")
        return
    stderr.print(
        f"next: strangler gather facts --requests {out} --log POSTGRESQL_LOG --source URL --out facts.json",
        markup=False,
        soft_wrap=True,
    )
