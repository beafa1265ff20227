"""The shop as it is found: a PostgreSQL server, its data, and the application behind gunicorn."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from sandbox.postgres import create_database, start_postgres
from sandbox.probes import http_probe
from sandbox.programs import APP_PRIORITY, ProgramSpec
from sandbox.supervision import Stack
from strangler.errors import PromiseBroken

HERE = Path(__file__).resolve().parent
SHOP_PYTHON = HERE / ".venv" / "bin" / "python"
_LISTENS_S = 60.0
_LOG_ALL = {"log_statement": "all", "log_destination": "jsonlog"}
_COLLECTED = {"logging_collector": "on", "log_filename": "shop.log", "log_rotation_size": "0", "log_rotation_age": "0"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Shop:
    """A running shop."""

    stack: Stack
    server: str
    database: str
    url: str
    log: Path
    """Where the server logs statements, as JSON, while told to."""

    apps: Mapping[str, str]
    """Table → the app that it is of: nothing that the toolkit is told."""

    def log_statements(self, *, on: bool) -> None:
        """What docs/gathering-facts.md tells to do before and after the recording."""
        with psycopg.connect(self.server, autocommit=True) as connection:
            for name, value in _LOG_ALL.items():
                change = sql.SQL("ALTER SYSTEM SET {} = {}" if on else "ALTER SYSTEM RESET {}")
                given = (sql.Identifier(name), sql.Literal(value)) if on else (sql.Identifier(name),)
                connection.execute(change.format(*given))
            connection.execute("SELECT pg_reload_conf()")

    def start_clients(self, name: str, url: str, record: Path, **options: str | int | float) -> None:
        """People who use the shop at `url`, until `stop_clients`."""
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        self.stack.add(_shop_program(name, ["shop.clients", "--url", url, "--record", str(record), *words], {}))
        self.stack.launch(name)

    def visit(self, url: str, record: Path, **options: str | int) -> None:
        """People go on their errands as often as `rounds` says; raises when a request failed."""
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        run_in_shop(["shop.clients", "--url", url, "--record", str(record), *words], self.database)


def start_shop(stack: Stack, *, products: int, seed: int, say: Callable[[str], None]) -> Shop:
    """Start, migrate, rename, fill and serve it."""
    if not SHOP_PYTHON.exists():
        raise PromiseBroken(
            thing=str(SHOP_PYTHON),
            reason="the shop's own environment is missing",
            mend="make -C examples/django_oscar environment",
        )
    server = start_postgres(stack, "shop-db", settings=_COLLECTED)
    database = create_database(server, "shop")
    say("Django migrates the shop's database; then every table loses the name of its app")
    apps = json.loads(run_in_shop(["shop.set_up"], database))
    say(f"filling it: {products} kinds of goods, seed {seed}")
    run_in_shop(["shop.seed", "--products", str(products), "--seed", str(seed)], database)
    (port,) = stack.reserve_ports(1)
    url = f"http://127.0.0.1:{port}"
    media = stack.folder / "media"
    media.mkdir()
    options = ["--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "16", "--worker-class", "gthread"]
    options += ["--keep-alive", "75", "--no-control-socket", "--log-level", "warning"]
    arguments = ["gunicorn", *options, "shop.wsgi"]
    environment = {"DATABASE_URL": database, "SHOP_MEDIA": str(media)}
    stack.run(_shop_program("shop", arguments, environment, ready=f"{url}/healthz"))
    log = stack.folder / "shop-db" / "data" / "log" / "shop.json"
    return Shop(stack=stack, server=server, database=database, url=url, log=log, apps=apps)


def wait_for_port(port: int) -> None:
    """Until something listens there."""
    until = time.monotonic() + _LISTENS_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def run_in_shop(arguments: list[str], database: str) -> str:
    """A module of the shop, to its end, with the shop's own Python; what it printed."""
    done = subprocess.run(
        [SHOP_PYTHON, "-m", *arguments],
        cwd=HERE,
        env={**os.environ, "DATABASE_URL": database, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    if done.returncode != 0:
        raise PromiseBroken(
            thing=f"python -m {' '.join(arguments)}", reason=done.stderr.strip()[-1500:], mend="see the message"
        )
    return done.stdout


def _shop_program(
    name: str, arguments: list[str], environment: Mapping[str, str], *, ready: str | None = None
) -> ProgramSpec:
    return ProgramSpec(
        name=name,
        argv=(str(SHOP_PYTHON), "-m", *arguments),
        env={"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore", **environment},
        cwd=HERE,
        stop_seconds=30,
        priority=APP_PRIORITY,
        ready=None if ready is None else http_probe(ready),
    )
