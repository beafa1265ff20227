"""One record of a topic, as the JSON that goes over the wire. Pure."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from cdc.debezium.codec import NULL, quoted

JsonObject = dict[str, Any]

NEW_KEY_HEADER: Final = "__debezium.newkey"
OLD_KEY_HEADER: Final = "__debezium.oldkey"
LOST_HEADER: Final = "__strangler.lost"
"""Ours: `{"column": "kind of loss"}` of a record that holds less than the source sent."""

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class DebeziumRecord(NamedTuple):
    """`value_json` None is a tombstone; `key_json` None means that the table has no key. Headers are JSON texts.

    With `schemas_enable` key, value and Debezium's two headers are `{"schema": …, "payload": …}`.
    """

    topic: str
    key_json: str | None
    value_json: str | None
    headers: Mapping[str, str] = NO_HEADERS

    @property
    def key(self) -> JsonObject | None:
        """`key_json`, parsed."""
        return None if self.key_json is None else json.loads(self.key_json)

    @property
    def value(self) -> JsonObject | None:
        """`value_json`, parsed."""
        return None if self.value_json is None else json.loads(self.value_json)

    def as_line(self) -> str:
        """One line: `{"topic", "key", "value"}`, and `headers` when there are any."""
        headers = ""
        if self.headers:
            headers = ',"headers":{' + ",".join(f"{quoted(name)}:{text}" for name, text in self.headers.items()) + "}"
        return (
            f'{{"topic":{quoted(self.topic)},"key":{self.key_json or NULL},"value":{self.value_json or NULL}{headers}}}'
        )
