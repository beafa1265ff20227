"""Where the brokers are and how topics are made. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from cdc.events import TableName

Security = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
_RETRY_MS: Final = 10
"""Before a client asks again for metadata that it has not got yet: its first answer is on every cold path."""

Form = Literal["lossless", "debezium"]


@dataclass(frozen=True, kw_only=True, slots=True)
class KafkaOptions:
    """One stream's topics on one cluster.

    `bootstrap`: `host:port`, several separated by commas. `prefix`: first part of every topic. `partitions`: of each
    table's topic; order is kept per key. `replication_factor` None: the cluster's default. `form`: of every table's
    topic but those that `forms` names (`schema.table`). `cluster_id`: refuse any other cluster. `timeout_s`: how long
    an unreachable broker is waited for before the loop backs off and tries anew.
    """

    bootstrap: str
    prefix: str
    partitions: int = 1
    replication_factor: int | None = None
    form: Form = "lossless"
    forms: Mapping[str, Form] = field(default_factory=dict)
    cluster_id: str | None = None
    client: Literal["kafka-python", "confluent"] = "kafka-python"
    compression: Literal["gzip", "zstd"] | None = None
    security: Security = "PLAINTEXT"
    sasl_mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    cafile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    timeout_s: float = 20.0

    def form_of(self, table: TableName) -> Form:
        return self.forms.get(f"{table.schema}.{table.name}", self.form)

    @property
    def any_debezium(self) -> bool:
        return "debezium" in (self.form, *self.forms.values())

    @property
    def servers(self) -> list[str]:
        return [server.strip() for server in self.bootstrap.split(",") if server.strip()]

    def client_config(self) -> dict[str, Any]:
        """What every client of kafka-python is given."""
        found: dict[str, Any] = {
            "bootstrap_servers": self.servers,
            "bootstrap_timeout_ms": int(self.timeout_s * 1000),
            "request_timeout_ms": max(1000, int(self.timeout_s * 500)),
            "reconnect_backoff_max_ms": 1000,
            "retry_backoff_ms": _RETRY_MS,
            "security_protocol": self.security,
        }
        secrets = {
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
            "ssl_cafile": self.cafile,
            "ssl_certfile": self.certfile,
            "ssl_keyfile": self.keyfile,
        }
        return found | {key: value for key, value in secrets.items() if value is not None}
