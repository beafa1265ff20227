"""A domain event, ready to be delivered. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from cdc.lsn import Lsn


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainEvent:
    """`id`: for the consumer to recognise what it has seen. `key`: events with the same one keep their order.

    `value`: the message as it travels, None for a tombstone; `is_json`: it is a JSON document. `headers`: `id` first,
    then the placed columns, in text form or null. `timestamp_us`: since the Unix epoch. `commit_lsn`, `index`: the
    event's place in the source's log, the same in every delivery.
    """

    id: str
    topic: str
    key: str | None
    value: bytes | None
    is_json: bool = False
    headers: Mapping[str, str | None] = field(default_factory=dict)
    timestamp_us: int
    partition: int | None = None
    commit_lsn: Lsn
    index: int

    def as_json(self) -> str:
        """One line: {"topic", "key", "id", "headers", "timestamp_us", "value"}. A JSON value stands as it is, digit for
        digit; bytes that are not UTF-8 stand as {"base16"}."""
        head = json.dumps(
            {
                "topic": self.topic,
                "key": self.key,
                "id": self.id,
                "headers": dict(self.headers),
                "timestamp_us": self.timestamp_us,
            },
            ensure_ascii=False,
        )
        return f'{head[:-1]}, "value": {self._value()}}}'

    def _value(self) -> str:
        if self.value is None:
            return "null"
        try:
            text = self.value.decode()
        except UnicodeDecodeError:
            return json.dumps({"base16": self.value.hex()})
        # A line break between the tokens of a document would end the line.
        return text.replace("\n", " ").replace("\r", " ") if self.is_json else json.dumps(text, ensure_ascii=False)
