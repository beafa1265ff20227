"""The thin store with the toolkit around it: two servers, both applications, Envoy, gate, inspection, stream worker."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.errors import WrongResult
from benchmarks.thin_store import schema
from commands.context import Context
from commands.programs import toolkit_programs
from commands.streams import MoveStreams
from sandbox.apps import python_program, uvicorn_program
from sandbox.postgres import create_database, start_postgres
from sandbox.supervision import Stack
from strangler.clock import SystemClock

SERVICE = "items"
_ROOT = Path(__file__).resolve().parents[2]
_CATCH_UP_S = 60.0
_SETTINGS = """\
[legacy]
database = "{legacy_database}"
url = "http://127.0.0.1:{legacy_port}"

[services.items]
database = "{service_database}"
url = "http://127.0.0.1:{service_port}"
plan = "plan.yaml"

[router]
listen = "127.0.0.1:{listen_port}"
admin = "127.0.0.1:{admin_port}"
gate = "127.0.0.1:{gate_port}"
inspect = "127.0.0.1:{inspect_port}"
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ThinStore:
    """A running thin store."""

    stack: Stack
    context: Context
    databases: dict[str, str]
    listen_port: int

    def start_load(self, *, writes_per_s: float, reads_per_s: float) -> None:
        """Clients at the front door, in a process of their own, until `stop_load`."""
        arguments = [
            *("--port", str(self.listen_port)),
            *("--writes-per-s", str(writes_per_s)),
            *("--reads-per-s", str(reads_per_s)),
            *("--report", str(self._report)),
        ]
        self.stack.add(python_program("load", "benchmarks.thin_store.load", arguments, cwd=_ROOT, autorestart=False))
        self.stack.launch("load")

    def stop_load(self) -> dict[str, Any]:
        """What the clients saw: a `benchmarks.thin_store.load.LoadReport`."""
        self.stack.stop("load")
        if not self._report.exists():
            raise WrongResult(thing="clients", reason=f"ended early: {self.stack.log_tail('load')}", mend="see why")
        report: dict[str, Any] = json.loads(self._report.read_text())
        return report

    def counts(self) -> dict[str, tuple[int, int, int]]:
        """`schema.COUNT` of both sides, after both streams have carried everything."""
        with MoveStreams(self.context.settings, self.context.plan(SERVICE), SystemClock()) as streams:
            for direction in ("forward", "reverse"):
                streams.wait_applied(direction, streams.emit_barrier(direction), _CATCH_UP_S)
        return {side: _count(self.databases[side], schema.COUNT[side]) for side in ("legacy", "service")}

    @property
    def _report(self) -> Path:
        return self.stack.folder / "load.json"


def start_thin_store(stack: Stack) -> ThinStore:
    """Start everything inside `stack`; nothing is moved yet."""
    names = ("legacy_port", "service_port", "listen_port", "admin_port", "gate_port", "inspect_port")
    ports = dict(zip(names, stack.reserve_ports(len(names)), strict=True))
    databases = {}
    for side, ddl in (("legacy", schema.LEGACY_DDL), ("service", schema.SERVICE_DDL)):
        databases[side] = create_database(start_postgres(stack, f"{side}-db"), side)
        with psycopg.connect(databases[side], autocommit=True) as connection:
            connection.execute(ddl.encode())
        environment = {"DATABASE_URL": databases[side], "STRANGLER_BENCH_SIDE": side}
        app = "benchmarks.thin_store.app:make_app"
        stack.run(uvicorn_program(side, app, ports[f"{side}_port"], env=environment, cwd=_ROOT, is_factory=True))
    (stack.folder / "plan.yaml").write_text(schema.PLAN)
    config = stack.folder / "strangler.toml"
    urls = {f"{side}_database": dsn for side, dsn in databases.items()}
    config.write_text(_SETTINGS.format(**urls, **ports))
    context = Context(config_path=config)
    for program in toolkit_programs(context, SERVICE):
        stack.run(program)
    return ThinStore(stack=stack, context=context, databases=databases, listen_port=ports["listen_port"])


def _count(dsn: str, query: str) -> tuple[int, int, int]:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2])
