"""`strangler.toml`, read once into a frozen value.

`${NAME}` inside any string is replaced from the environment, so that no password need stand in the file.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from strangler.errors import BadInput

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class OutboxSettings(_Frozen):
    """`[legacy.outbox]` or `[services.NAME.outbox]`: the table whose rows become domain events, and what its columns
    mean. Names and defaults of Debezium's outbox event router."""

    table: str = "outbox"
    id: str = "id"
    key: str = "aggregateid"
    route_by: str = "aggregatetype"
    payload: str = "payload"
    timestamp: str | None = None
    topic_regex: str = "(?P<routedByValue>.*)"
    topic: str = "outbox.event.${routedByValue}"
    expand_json: bool = False
    """The payload stands in the message as JSON, not as a string."""
    tombstone_on_empty: bool = False
    place: tuple[str, ...] = ()
    """Further columns: `column:header`, `column:envelope` or `column:partition`, with `:name` after it."""
    invalid_operation: Literal["warn", "error", "fatal"] = "warn"
    """What an update of an outbox row is; deletes are how the table is kept small."""


class SideSettings(_Frozen):
    """One side: its database (libpq URL) and the base URL its application answers on."""

    database: str = Field(repr=False)
    url: str
    outbox: OutboxSettings | None = None


class ServiceSettings(SideSettings):
    """A service to extract, and its plan file (relative to `strangler.toml`)."""

    plan: Path
    rules: Path | None = None
    """What may differ in the parallel run: a rule file (docs/parallel-run-rules.md), relative to `strangler.toml`."""


class RouterSettings(_Frozen):
    """Where the data plane listens (`host:port` each) and the secret that authenticates a forced side."""

    listen: str = "127.0.0.1:8080"
    admin: str = "127.0.0.1:9901"
    gate: str = "127.0.0.1:9902"
    inspect: str = "127.0.0.1:9903"
    force_token: str = Field(default="", repr=False)
    envoy_concurrency: int = Field(default=1, ge=1, le=64)
    access_log: Path | None = None
    """Gets a line for each request, with the version of the table that routed it; `gather facts --requests` reads it.
    Rotating it is left to you: Envoy opens it anew on POST /reopen_logs to `admin`."""


class KafkaSettings(_Frozen):
    """`[stream.kafka]`: the cluster that carries the change log when `stream.log` is `kafka`."""

    bootstrap: str = "127.0.0.1:9092"
    """`host:port` of brokers, several separated by commas."""
    topic_prefix: str = Field(default="strangler", pattern=r"^[A-Za-z0-9._-]{1,80}$")
    """Topics are called `<topic_prefix>_<move>_<direction>.<schema>.<table>`: one prefix for each installation."""
    partitions: int = Field(default=1, ge=1, le=1000)
    """Of each table's topic; order is kept per primary key."""
    replication_factor: int | None = Field(default=None, ge=1, le=32)
    """Empty: the cluster's default. With 3 or more two replicas have to hold a change before it counts."""
    form: Literal["lossless", "debezium"] = "lossless"
    """`debezium`: JSON with schema, as Debezium reads it. The stream stops at a value that it cannot hold."""
    forms: dict[str, Literal["lossless", "debezium"]] = {}
    """The form of single tables: `"public.product" = "debezium"`."""
    cluster_id: str | None = None
    """When given, any other cluster is refused."""
    client: Literal["kafka-python", "confluent"] = "kafka-python"
    """`confluent` (extra `kafka-fast`): the appender takes an eighth of the CPU for each row."""
    compression: Literal["gzip", "zstd"] | None = None
    security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: str | None = Field(default=None, repr=False)
    cafile: Path | None = None
    certfile: Path | None = None
    keyfile: Path | None = None
    timeout_s: float = Field(default=20.0, ge=2, le=600)
    """How long an unreachable broker is waited for before the stream says `retrying` and backs off."""


class StreamSettings(_Frozen):
    """The stream worker. Bounds on everything that queues."""

    log: Literal["local", "kafka"] = "local"
    """What lies between capture and apply: files in the state folder, or topics of `[stream.kafka]`."""
    kafka: KafkaSettings = KafkaSettings()
    batch_events: int = Field(default=2000, ge=1, le=100_000)
    copy_chunk_rows: int = Field(default=5000, ge=1, le=1_000_000)
    log_retention_bytes: int = Field(default=1 << 30, ge=1 << 20)
    sequence_headroom: int = Field(default=1000, ge=1)
    failover_slots: bool = False
    """Make slots that standbys with `sync_replication_slots` keep (PostgreSQL 17 on): a stream outlives a failover."""
    on_bad_row: Literal["park", "stop"] = "park"
    """A row that a target refuses: park it with all that depends on it, or stop the stream just before it."""
    on_schema_change: dict[str, Literal["follow", "ignore", "stop"]] = {}
    """What differs from the defaults, by kind of change: `added_nullable = "stop"`; `strangler cdc schema --help` lists
    the kinds."""
    metrics: str = Field(default="", pattern=r"^$|^[^\s/]*:\d{1,5}$")
    """Where the worker serves Prometheus metrics, `host:port`; empty: nowhere. Without a password: keep it on loopback
    or a private network."""
    alert_wal_bytes: int = Field(default=8 << 30, ge=0)
    """Log retained at a source for a stream, above which `cdc lag` and the metrics alert. 0: never."""
    alert_lag_seconds: float = Field(default=300.0, ge=0)
    """Age of the oldest change that is not applied, above which they alert. 0: never."""


class Settings(_Frozen):
    """Everything a command needs to know about one monolith and its services."""

    root: Path
    """The folder of `strangler.toml`; relative paths start here."""
    state_dir: Path = Path(".strangler")
    legacy: SideSettings
    services: dict[str, ServiceSettings] = {}
    router: RouterSettings = RouterSettings()
    stream: StreamSettings = StreamSettings()

    def service(self, name: str) -> ServiceSettings:
        """The named service, or a `BadInput` that lists those that exist."""
        if name not in self.services:
            raise BadInput(
                thing=f"service {name!r}",
                reason="not in strangler.toml",
                mend=f"use one of: {', '.join(sorted(self.services)) or '(none)'}, "
                f"or add [services.{name}] with database, url and plan",
            )
        return self.services[name]

    def plan_path(self, name: str) -> Path:
        return self.root / self.service(name).plan

    def state_path(self, *parts: str) -> Path:
        return (self.root / self.state_dir).joinpath(*parts)


def load_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read and validate `strangler.toml`. Raises `BadInput` naming the key that is wrong."""
    env = os.environ if environment is None else environment
    try:
        raw = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise BadInput(
            thing=str(path),
            reason="no such file",
            mend="run in the folder of your strangler.toml, or pass --config; README.md shows a minimal one",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(thing=str(path), reason=f"not valid TOML: {error}", mend="fix the syntax") from None
    try:
        return Settings(root=path.resolve().parent, **_expand(raw, env, str(path)))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BadInput(
            thing=f"{path}: {key}", reason=first["msg"], mend="correct this key; README.md shows each one"
        ) from None


def _expand(value: Any, env: Mapping[str, str], where: str) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, env, where) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, env, where) for item in value]
    if not isinstance(value, str):
        return value

    def substitute(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in env:
            raise BadInput(
                thing=f"{where}: ${{{name}}}",
                reason="environment variable is not set",
                mend=f"export {name}=… and run again",
            )
        return env[name]

    return _VARIABLE.sub(substitute, value)
