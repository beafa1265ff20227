"""Names of topics, as Debezium makes them of names of tables. Pure."""

import re
from typing import Final

_NOT_IN_A_TOPIC: Final = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST: Final = 249


def table_topic(prefix: str, schema: str, name: str) -> str:
    """`prefix.schema.name`, each sign that Kafka does not allow as `_` (one of two UTF-16 units as two), cut at 249."""
    plain = f"{prefix}.{schema}.{name}"
    return _NOT_IN_A_TOPIC.sub(lambda sign: "__" if ord(sign[0]) > 0xFFFF else "_", plain)[:_LONGEST]
