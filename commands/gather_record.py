"""`strangler gather record`: stand before a monolith and write down which request ran when."""

import asyncio
import re
import secrets
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

import click
import httpx

from commands.output import json_option, print_facts, print_json, stderr
from migration_plans.gather.marks import open_marks
from migration_plans.gather.paths import Templates
from migration_plans.gather.requests import requests_in
from router.inspection.errors import ListenerNotOpened
from router.learning.envoy_config import FLUSH_MS, STAT_PREFIX, render_recorder
from router.learning.errors import BadRecording, RecordNotWritable, UpstreamSilent
from router.learning.record_file import prepare_record
from router.learning.settings import DEFAULT_CA, RecordSettings
from sandbox.envoy import envoy_program
from sandbox.supervision import ProgramSpec, Stack
from strangler.clock import SystemClock
from strangler.durable_files import replace_file
from strangler.errors import StranglerError

_POLL_S = 0.1
_DRAIN_S = 10.0
_CONNECT_S = 5.0
_SETTLE_S = 5.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _duration(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text.strip())
    if match is None or float(match[1]) == 0:
        raise click.BadParameter(f"{text!r} is no duration: write 90s, 10m or 1h")
    return float(match[1]) * _UNITS[match[2]]


@click.command("record")
@click.option("--upstream", required=True, help="Base URL at which the monolith answers.")
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="HOST:PORT to send the clients to.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The record, JSON lines.")
@click.option("--append", "appends", is_flag=True, help="Go on with a record that was begun before.")
@click.option(
    "--for",
    "for_s",
    type=_duration,
    metavar="DURATION",
    help="End after this time: 90s, 10m, 1h.",
)
@click.option("--trace/--no-trace", default=True, show_default=True, help="Give requests without one a traceparent.")
@click.option(
    "--trusted-ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Certificates that an https monolith is checked against; default: those of the machine.",
)
@click.option("--bodies", is_flag=True, help="Record bodies, too, so that the run can be replayed: personal data!")
@click.option(
    "--one-at-a-time", is_flag=True, help="Let each request wait for the one before: exact, under light load."
)
@click.option("--source", help="With --one-at-a-time: URL of the monolith's database, to mark requests in its log.")
@click.option(
    "--engine",
    type=click.Choice(["envoy", "mitmproxy"]),
    help="Default: envoy, for any load; mitmproxy where bodies or turns are asked for.",
)
@json_option
def record_command(
    upstream: str,
    listen: str,
    out: Path,
    appends: bool,
    for_s: float | None,
    trace: bool,
    trusted_ca: Path | None,
    bodies: bool,
    one_at_a_time: bool,
    source: str | None,
    engine: str | None,
    as_json: bool,
) -> None:
    """Record a monolith's traffic: a proxy passes everything on unchanged and notes each request's endpoint and times.

    Log the database's statements meanwhile (docs/gathering-facts.md); `gather facts` then joins the two.

    \b
    Example: strangler gather record --upstream http://127.0.0.1:8000 --out run.jsonl --for 10m
    """
    settings = RecordSettings(
        upstream=upstream,
        out=out,
        listen=_resolved(listen),
        gives_traces=trace,
        trusted_ca=str((trusted_ca or DEFAULT_CA).resolve()),
    )
    needs = [name for name, given in (("--bodies", bodies), ("--one-at-a-time", one_at_a_time)) if given]
    if engine == "envoy" and needs:
        raise BadRecording(
            thing=needs[0], reason="is nothing that Envoy can do", mend="leave --engine out, or say --engine mitmproxy"
        )
    if source is not None and not one_at_a_time:
        raise BadRecording(
            thing="--source", reason="is used with --one-at-a-time only", mend="add --one-at-a-time, or leave it out"
        )
    engine = engine or ("mitmproxy" if needs else "envoy")
    _check_addresses(settings)
    begin, cut = prepare_record(out, appends=appends)
    if cut:
        stderr.print(f"{out}: {cut} bytes of a last line that was not whole were cut off", markup=False)
    if engine == "envoy":
        with _interrupted_by_signals():
            _record_with_envoy(settings, for_s)
    else:
        _record_with_mitmproxy(settings, for_s, bodies=bodies, one_at_a_time=one_at_a_time, source=source)
    _print_seen(out, begin, can_be_replayed=bodies, as_json=as_json)


def _resolved(listen: str) -> str:
    """With an address in the place of a name: a proxy listens on one. What is no HOST:PORT stays."""
    host, _, port = listen.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), port or None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return listen
    # IPv4 first: who writes localhost means what its clients will try.
    address = sorted(found, key=lambda one: one[0] != socket.AF_INET)[0][4][0]
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


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
            raise ListenerNotOpened(
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
            _say_ready(settings, for_s)
            _wait(for_s)
        except KeyboardInterrupt:
            _say_ending()
        lost = _drain(f"http://{admin}")
    if lost:
        raise RecordNotWritable(
            thing=str(settings.out),
            reason=f"could not be written {lost} times: lines are missing",
            mend="make room on its disk, and go on with --append",
        )


def _record_with_mitmproxy(
    settings: RecordSettings, for_s: float | None, *, bodies: bool, one_at_a_time: bool, source: str | None
) -> None:
    # mitmproxy and its libraries take a second to import, and Envoy needs none of them.
    from router.learning.process import record
    from router.learning.secrets_hidden import Hidden
    from router.learning.turns import TurnLimits, Turnstile

    with ExitStack() as stack:
        marks = None if source is None else stack.enter_context(open_marks(source, _SETTLE_S))
        turnstile = Turnstile(marks, TurnLimits()) if one_at_a_time else None
        asyncio.run(
            record(
                settings,
                clock=SystemClock(),
                run=secrets.token_hex(4),
                fresh_id=lambda: secrets.token_hex(16),
                hidden=Hidden(secrets.token_bytes(32)) if bodies else None,
                turnstile=turnstile,
                for_s=for_s,
                on_ready=lambda: _say_ready(settings, for_s),
                on_ending=_say_ending,
            )
        )
    if turnstile is not None:
        _say_turns(turnstile.crowded, turnstile.restless, turnstile.problem)


def _say_turns(crowded: int, restless: int, problem: StranglerError | None) -> None:
    if problem is not None:
        stderr.print(f"the log could not be marked all the time: {problem}", markup=False)
    if restless:
        stderr.print(f"after {restless} requests the database did not become quiet: switch other clients and jobs off")
    if crowded:
        stderr.print(f"{crowded} requests did not run alone: they are told apart by time")


def _recorder(bootstrap: Path, admin_port: int) -> ProgramSpec:
    program = envoy_program(bootstrap, admin_port=admin_port, name="recorder", autorestart=True)
    return replace(program, argv=(*program.argv, "--file-flush-interval-msec", str(FLUSH_MS)))


def _say_ready(settings: RecordSettings, for_s: float | None) -> None:
    ends = "Ctrl-C ends it" if for_s is None else f"it ends after {for_s:g} s, or with Ctrl-C"
    stderr.print(f"recording: send the clients to {settings.clients_url} instead of {settings.upstream}; {ends}")


def _say_ending() -> None:
    stderr.print("ending: requests under way are waited for")


def _wait(for_s: float | None) -> None:
    deadline = None if for_s is None else time.monotonic() + for_s
    while deadline is None or time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _drain(admin: str) -> int:
    """Take no more connections, and give what is under way its time. Returns how many writes of the record failed."""
    with httpx.Client(base_url=admin, timeout=5.0, trust_env=False) as client:
        try:
            client.post("/drain_listeners")
            deadline = time.monotonic() + _DRAIN_S
            while _counted(client, f"http.{STAT_PREFIX}.downstream_rq_active") and time.monotonic() < deadline:
                time.sleep(_POLL_S)
            # Lines wait in memory for as long.
            time.sleep(2 * FLUSH_MS / 1000)
            return _counted(client, "filesystem.write_failed")
        except httpx.HTTPError as error:
            stderr.print(f"the recorder did not answer at its end: {type(error).__name__}")
            return 0


def _counted(client: httpx.Client, name: str) -> int:
    stats = client.get("/stats", params={"format": "json", "filter": f"^{re.escape(name)}$"})
    return sum(int(one.get("value", 0)) for one in stats.json()["stats"])


def _print_seen(out: Path, begin: int, *, can_be_replayed: bool, as_json: bool) -> None:
    asked: Counter[tuple[str, str]] = Counter()
    operations: set[tuple[str, str]] = set()
    failed = 0
    with out.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        lines.seek(begin)
        for one in requests_in(lines, thing=str(out), torn=lambda text: stderr.print(text, markup=False)):
            asked[one.method, one.path] += 1
            if one.template is not None:
                operations.add((one.method, one.template))
            failed += one.status >= 400
    templates = Templates()
    templates.learn(asked)
    plain = {templates.endpoint(method, path) for method, path in asked}
    named = {templates.endpoint(method, template) for method, template in operations}
    # A path that serves several operations is none of its own.
    seen = {"requests": asked.total(), "endpoints": len(plain - named) + len(operations), "refused": failed}
    if as_json:
        print_json(seen | {"out": str(out)})
        return
    print_facts(seen)
    if not asked:
        stderr.print("nothing was recorded: the clients were not sent here")
        return
    _say_next(f"strangler gather facts --requests {out} --log SERVER_LOG --source URL --out facts.json")
    if can_be_replayed:
        _say_next(
            f"strangler gather replay --requests {out} --url URL_OF_A_COPY --source ITS_DATABASE --out replayed.jsonl"
        )


def _say_next(command: str) -> None:
    stderr.print(f"next: {command}", markup=False, soft_wrap=True)
