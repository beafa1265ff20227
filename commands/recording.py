"""Running a recorder until its time is over, or somebody ends it."""

import asyncio
import re
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

import httpx

from commands.output import stderr
from migration_plans.gather.marks import open_marks
from router.inspection.errors import ListenerNotOpened
from router.learning.envoy_config import FLUSH_MS, STAT_PREFIX, render_recorder
from router.learning.errors import RecordNotWritable, UpstreamSilent
from router.learning.settings import RecordSettings
from sandbox.envoy import envoy_program
from sandbox.supervision import ProgramSpec, Stack
from strangler.clock import SystemClock
from strangler.durable_files import replace_file
from strangler.errors import StranglerError

_POLL_S = 0.1
_DRAIN_S = 10.0
_CONNECT_S = 5.0
_SETTLE_S = 5.0


def resolved(listen: str) -> str:
    """With an address in the place of a name: a proxy listens on one. What is no HOST:PORT stays."""
    host, _, port = listen.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), port or None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return listen
    # IPv4 first: who writes localhost means what its clients will try.
    address = sorted(found, key=lambda one: one[0] != socket.AF_INET)[0][4][0]
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def check_addresses(settings: RecordSettings) -> None:
    """Somebody answers there, and nobody listens here. Raises `UpstreamSilent` and `ListenerNotOpened`."""
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


def check_logging(source: str) -> None:
    """Statements are logged there, so that it is worth while to record. Raises `LogUnreadable`, `SourceUnreadable`."""
    with open_marks(source, _SETTLE_S):
        pass


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def record_with_envoy(settings: RecordSettings, for_s: float | None) -> None:
    """Until `for_s` seconds are over, or somebody ends it. Raises `RecordNotWritable` when lines are missing."""
    with _interrupted_by_signals(), Stack() as stack:
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


def record_with_mitmproxy(
    settings: RecordSettings, for_s: float | None, *, bodies: bool, one_at_a_time: bool, source: str | None
) -> None:
    """The same through mitmproxy, which sees bodies and can hold requests until their turn."""
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
