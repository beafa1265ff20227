"""What a PostgreSQL server of some major version can do for the stream, and what is done where it cannot. Pure.

The one place that knows version numbers of logical decoding.
"""

from typing import Final

OLDEST: Final = 13
MESSAGES: Final = 14
"""`pgoutput` sends logical messages."""
STREAMING: Final = 14
"""It sends a large transaction while it is open."""
FRESH_PARTITIONS: Final = 15
"""It notices while it runs that a table became a partition, or is none any more."""
ORIGIN_FILTER: Final = 16
"""It leaves out what an applier wrote."""
DECODING_ON_STANDBY: Final = 16
FAILOVER_SLOTS: Final = 17


def decoding_options(major: int, publication: str, *, streaming: bool) -> dict[str, str]:
    """The options of START_REPLICATION that this server takes."""
    options = {"proto_version": "1", "publication_names": f'"{publication}"'}
    if major >= MESSAGES:
        options["messages"] = "true"
    if streaming and major >= STREAMING:
        options |= {"proto_version": "2", "streaming": "on"}
    if major >= ORIGIN_FILTER:
        options["origin"] = "none"
    return options


def degraded(major: int, *, may_emit_messages: bool) -> list[str]:
    """What is done in another way on this server than on the newest, for a person."""
    found: list[str] = []
    if major < MESSAGES or not may_emit_messages:
        why = "pgoutput sends no logical messages" if major < MESSAGES else "this role may not emit logical messages"
        found.append(f"barriers and watermarks are rows of strangler.message ({why})")
    if major < STREAMING:
        found.append("a large transaction arrives only when it has committed (memory is bounded all the same)")
    if major < ORIGIN_FILTER:
        found.append("what the stream itself wrote is sent back and left out here")
    if major < FAILOVER_SLOTS:
        found.append("a failover loses the slot")
    return found
