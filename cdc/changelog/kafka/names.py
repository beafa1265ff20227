"""Topic names, as Debezium gives them. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cdc.errors import LogUnfit
from cdc.events import TableName

_ILLEGAL: Final = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST: Final = 249


@dataclass(frozen=True, kw_only=True, slots=True)
class Topics:
    """The topics below one prefix."""

    prefix: str

    @property
    def transaction(self) -> str:
        return f"{self.prefix}.transaction"

    @property
    def message(self) -> str:
        return f"{self.prefix}.message"

    @property
    def relations(self) -> str:
        return f"{self.prefix}.relations"

    @property
    def dlq(self) -> str:
        return f"{self.prefix}.dlq"

    def table(self, schema: str, name: str) -> str:
        """A sign that Kafka does not allow becomes `_`. Raises `LogUnfit` when the name is too long for a topic."""
        topic = _ILLEGAL.sub("_", f"{self.prefix}.{schema}.{name}")
        if len(topic) > _LONGEST:
            raise LogUnfit(
                thing=f"topic {topic}",
                reason=f"has {len(topic)} characters, a topic may have {_LONGEST}",
                mend="shorten stream.kafka.topic_prefix",
            )
        return topic

    def tables(self, tables: Iterable[TableName]) -> tuple[str, ...]:
        """Without doubles, sorted."""
        return tuple(sorted({self.table(table.schema, table.name) for table in tables}))
