"""Which topics are read, and what of them is believed. Pure."""

from dataclasses import dataclass
from typing import Literal

from cdc.changelog.kafka.options import KafkaOptions
from cdc.debezium.codec import Loss
from cdc.debezium.decoded import DecoderOptions
from cdc.debezium.options import DebeziumOptions
from cdc.debezium.topic_names import table_topic
from cdc.events import TableName
from strangler.errors import BadInput

Place = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicsOptions:
    """`kafka`: how the cluster is reached; its `prefix` is Debezium's `topic.prefix`. `tables`: of the source.

    `written`: the connector's handling modes, which records without schema need. `accept_columns`, `accept_losses`:
    what is believed in spite of its form (`DecoderOptions`). `idle_s`: without a transaction topic, how long nothing
    more of a transaction has come when it counts as whole. `transactions`: what the transaction topic is for, if there
    is one. `accept_incomplete`: begin although the topics do not begin with their first record. `nulls_are_kept`: as
    `DecoderOptions` has it. `types_known`: the catalog is the source's own, so that records need no schema. Raises
    `BadInput` for tables that would share a topic.
    """

    kafka: KafkaOptions
    tables: tuple[TableName, ...]
    written: DebeziumOptions
    accept_columns: frozenset[str] = frozenset()
    accept_losses: frozenset[Loss] = frozenset()
    idle_s: float = 1.0
    accept_incomplete: bool = False
    transactions: Literal["use", "ignore"] = "use"
    types_known: bool = False
    nulls_are_kept: bool = False

    def __post_init__(self) -> None:
        if len(self.table_topics) < len(set(self.tables)):
            raise BadInput(
                thing="tables " + ", ".join(map(str, self.tables)),
                reason="some of them share a topic: names that differ only in signs that a topic's name cannot have",
                mend="route one of them to another topic, or consume them with two connectors",
            )

    @property
    def prefix(self) -> str:
        return self.kafka.prefix

    @property
    def transaction_topic(self) -> str:
        return f"{self.prefix}.transaction"

    @property
    def heartbeat_topic(self) -> str:
        return f"__debezium-heartbeat.{self.prefix}"

    @property
    def table_topics(self) -> dict[str, TableName]:
        """Topic → the table whose events are in it."""
        return {table_topic(self.prefix, table.schema, table.name): table for table in self.tables}

    @property
    def decoder(self) -> DecoderOptions:
        return DecoderOptions(
            written=self.written,
            trusts_placeholder=True,
            nulls_are_kept=self.nulls_are_kept,
            types_are_the_sources=self.types_known,
            accept_columns=self.accept_columns,
            accept_losses=self.accept_losses,
        )
