"""A real Apache Kafka in KRaft mode, supervised, on loopback ports: one broker, or three for a change of leader.

A small heap, no fsync (as Kafka runs everywhere: durability is replication), data in the stack's folder.
"""

import contextlib
import logging
import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.errors import PartMissing, ProgramFailed
from sandbox.leftovers import MARK
from sandbox.maven import java_binary, resolve_jars
from sandbox.programs import DATABASE_PRIORITY, Probe, ProgramSpec
from sandbox.supervision import Stack

VARIABLE = "STRANGLER_KAFKA_LIBS"
VERSION: Final = "4.1.0"

_COORDINATES = (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.slf4j:slf4j-simple:1.7.36")
_CLUSTER_ID: Final = "c3RyYW5nbGVyLWNsdXN0cg"
_JAVA = ("-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_LOGGING = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
_START_S: Final = 90.0
_STOP_S: Final = 15


@dataclass(frozen=True, kw_only=True, slots=True)
class KafkaCluster:
    """`bootstrap`: all brokers. `programs`: their names in the stack, broker 1 first. `version`: what runs there."""

    bootstrap: str
    programs: tuple[str, ...]
    version: str


def kafka_libs() -> Path:
    """The folder of Kafka's jars: `STRANGLER_KAFKA_LIBS` (the `libs` of an installation), else the cache."""
    configured = os.environ.get(VARIABLE)
    if not configured:
        return resolve_jars(f"kafka-{VERSION}", _COORDINATES)
    if not list(Path(configured).glob("kafka_*.jar")):
        raise PartMissing(
            thing=f"Kafka in {configured}", reason="holds no kafka_*.jar", mend=f"correct {VARIABLE} or unset it"
        )
    return Path(configured)


def start_kafka(
    stack: Stack, *, brokers: int = 1, name: str = "kafka", settings: Mapping[str, str] | None = None
) -> KafkaCluster:
    """Make and start a new cluster in the stack; returns when all brokers answer.

    `settings` are Kafka's own broker settings; they win over ours. Raises `PartMissing` without Java 17 or the jars.
    """
    java, libs = java_binary(), kafka_libs()
    ports = stack.reserve_ports(2 * brokers)
    clients, controllers = ports[:brokers], ports[brokers:]
    voters = ",".join(f"{number}@127.0.0.1:{port}" for number, port in enumerate(controllers, 1))
    programs = tuple(f"{name}-{number}" for number in range(1, brokers + 1))
    for number, program in enumerate(programs, 1):
        folder = stack.folder / program
        folder.mkdir()
        chosen = _settings(number, brokers, clients[number - 1], controllers[number - 1], voters, folder)
        file = folder / "server.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in (chosen | dict(settings or {})).items()))
        _format(java, libs, file, stack.folder)
        stack.add(_program(program, java, libs, file, clients[number - 1]))
        stack.launch(program)
    for program in programs:
        stack.wait_ready(program, timeout_s=_START_S)
    return KafkaCluster(
        bootstrap=",".join(f"127.0.0.1:{port}" for port in clients),
        programs=programs,
        version=f"Apache Kafka {VERSION}",
    )


def broker_probe(port: int) -> Probe:
    """Whether a broker on loopback `port` answers with itself in its cluster."""

    def answers() -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return _lists_itself(port)
        return False

    return answers


def _lists_itself(port: int) -> bool:
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    logger = logging.getLogger("kafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        client = KafkaAdminClient(
            bootstrap_servers=f"127.0.0.1:{port}", bootstrap_timeout_ms=1500, request_timeout_ms=1500
        )
        with contextlib.closing(client):
            return any(broker["port"] == port for broker in client.describe_cluster()["brokers"])
    except (KafkaError, OSError):
        return False
    finally:
        logger.setLevel(level)


def _program(name: str, java: Path, libs: Path, file: Path, port: int) -> ProgramSpec:
    return ProgramSpec(
        name=name,
        argv=(str(java), *_JAVA, _LOGGING, "-cp", f"{libs}/*", "kafka.Kafka", str(file)),
        cwd=file.parent,
        stop_seconds=_STOP_S,
        priority=DATABASE_PRIORITY,
        ready=broker_probe(port),
    )


def _format(java: Path, libs: Path, file: Path, stack_folder: Path) -> None:
    done = subprocess.run(
        [
            str(java),
            *_JAVA,
            _LOGGING,
            "-cp",
            f"{libs}/*",
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            _CLUSTER_ID,
            "--config",
            str(file),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=_START_S,
        env={**os.environ, MARK: str(stack_folder)},
    )
    if done.returncode != 0:
        raise ProgramFailed(
            thing="Kafka's StorageTool",
            reason=(done.stdout + done.stderr).strip()[-500:],
            mend=f"mend what it names, or set {VARIABLE} to another Kafka",
        )


def _settings(
    number: int, brokers: int, client_port: int, controller_port: int, voters: str, folder: Path
) -> dict[str, str]:
    replicas = str(min(3, brokers))
    return {
        "process.roles": "broker,controller",
        "node.id": str(number),
        "controller.quorum.voters": voters,
        "listeners": f"PLAINTEXT://127.0.0.1:{client_port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{client_port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(folder / "data"),
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "broker.heartbeat.interval.ms": "500",
        "broker.session.timeout.ms": "3000",
        "log.cleaner.dedupe.buffer.size": "2097152",
        "log.segment.delete.delay.ms": "1000",
        "num.network.threads": "2",
        "num.io.threads": "4",
    }
