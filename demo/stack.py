"""The reference store with the toolkit around it: two database servers, both applications, proxy, gate, worker."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from commands.context import Context
from commands.programs import toolkit_programs
from sandbox.apps import uvicorn_program
from sandbox.kafka import KafkaCluster
from sandbox.postgres import create_database, postgres_program
from sandbox.supervision import Stack
from sandbox.tansu import start_any_broker
from strangler.errors import Unreachable
from strangler.redaction import redact

PLAN = Path(__file__).resolve().parent.parent / "migration_plans" / "catalog.yaml"

_SETTINGS = """\
[legacy]
database = "{legacy_database}"
url = "http://127.0.0.1:{legacy_port}"

[services.catalog]
database = "{service_database}"
url = "http://127.0.0.1:{service_port}"
plan = "{plan}"

[router]
listen = "127.0.0.1:{listen_port}"
admin = "127.0.0.1:{admin_port}"
gate = "127.0.0.1:{gate_port}"
inspect = "127.0.0.1:{inspect_port}"
"""

_KAFKA_SETTINGS = """
[stream]
log = "kafka"

[stream.kafka]
bootstrap = "{bootstrap}"
topic_prefix = "demo"
"""


@dataclass(frozen=True, kw_only=True)
class Store:
    """A running store: where its parts are."""

    stack: Stack
    config: Path
    legacy_database: str
    service_database: str
    front_url: str
    broker: KafkaCluster | None = None

    @property
    def folder(self) -> Path:
        return self.stack.folder

    @property
    def context(self) -> Context:
        return Context(config_path=self.config)


def start_store(
    stack: Stack,
    *,
    scale: float,
    seed: int,
    say: Callable[[str], None],
    plan: Path = PLAN,
    log: Literal["local", "kafka"] = "local",
) -> Store:
    """Start and seed everything inside `stack`. `log`: what lies between capture and apply."""
    ports = stack.reserve_ports(8)
    legacy_pg, service_pg, legacy_port, service_port, listen_port, admin_port, gate_port, inspect_port = ports
    say("starting two PostgreSQL servers")
    for name, port in (("legacy-db", legacy_pg), ("service-db", service_pg)):
        stack.run(postgres_program(stack.folder, port=port, name=name))
    legacy_database = create_database(f"postgresql://postgres@127.0.0.1:{legacy_pg}/postgres", "store")
    service_database = create_database(f"postgresql://postgres@127.0.0.1:{service_pg}/postgres", "catalog")
    broker = None
    if log == "kafka":
        say("starting a Kafka broker")
        broker = start_any_broker(stack)
        say(f"{broker.version} answers at {broker.bootstrap}")
    say(f"migrating and seeding the store, scale {scale:g}, seed {seed}")
    _python("legacy_monolith.migrate", database=legacy_database)
    _python("legacy_monolith.seed", "--scale", str(scale), "--seed", str(seed), database=legacy_database)
    _python("extracted.catalog.migrate", database=service_database)
    say("starting the monolith and the catalog service")
    stack.run(
        uvicorn_program("legacy-app", "legacy_monolith.asgi:app", legacy_port, env={"DATABASE_URL": legacy_database})
    )
    stack.run(
        uvicorn_program("catalog", "extracted.catalog.app:app", service_port, env={"DATABASE_URL": service_database})
    )
    config = stack.folder / "strangler.toml"
    config.write_text(
        _SETTINGS.format(
            legacy_database=legacy_database,
            service_database=service_database,
            plan=plan,
            legacy_port=legacy_port,
            service_port=service_port,
            listen_port=listen_port,
            admin_port=admin_port,
            gate_port=gate_port,
            inspect_port=inspect_port,
        )
        + ("" if broker is None else _KAFKA_SETTINGS.format(bootstrap=broker.bootstrap))
    )
    say("starting Envoy, the write gate, the inspection plane and the stream worker")
    for program in toolkit_programs(Context(config_path=config), "catalog"):
        stack.run(program)
    return Store(
        stack=stack,
        config=config,
        legacy_database=legacy_database,
        service_database=service_database,
        front_url=f"http://127.0.0.1:{listen_port}",
        broker=broker,
    )


def _python(module: str, *arguments: str, database: str) -> None:
    """Run a module of the store to its end, as its own team would."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "DATABASE_URL": database},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Unreachable(
            thing=f"python -m {module}",
            reason=redact((done.stderr or done.stdout).strip()[-800:]),
            mend="see the message; the demo needs the reference store's own commands to work",
        )
