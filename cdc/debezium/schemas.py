"""The Connect schemas of Debezium's records. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from cdc.debezium.codec import JsonSchema, semantic
from cdc.debezium.options import BinaryHandling, NameAdjustment

Field = dict[str, Any]


def field(name: str, schema: JsonSchema, *, optional: bool) -> Field:
    """A schema as a struct's field; keys stand in `JsonConverter`'s order."""
    head = {"type": schema["type"]}
    shape = {key: schema[key] for key in ("items", "keys", "values", "fields") if key in schema}
    rest = {key: value for key, value in schema.items() if key not in head and key not in shape}
    return {**head, **shape, "optional": optional, **rest, "field": name}


def struct(name: str, fields: Sequence[Field], *, optional: bool = False, version: int | None = None) -> JsonSchema:
    """A struct; a record's own schema when it is not a field."""
    schema: dict[str, Any] = {"type": "struct", "fields": list(fields), "optional": optional, "name": name}
    if version is not None:
        schema["version"] = version
    return schema


def struct_field(name: str, schema: JsonSchema) -> Field:
    return {**schema, "field": name}


def _plain(type_: str, *names: str, optional: bool) -> list[Field]:
    return [field(name, {"type": type_}, optional=optional) for name in names]


_SNAPSHOT: Final = semantic(
    "string",
    "io.debezium.data.Enum",
    parameters={"allowed": "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"},
    default="false",
)

SOURCE: Final = struct(
    "io.debezium.connector.postgresql.Source",
    [
        *_plain("string", "version", "connector", "name", optional=False),
        *_plain("int64", "ts_ms", optional=False),
        field("snapshot", _SNAPSHOT, optional=True),
        *_plain("string", "db", optional=False),
        *_plain("string", "sequence", optional=True),
        *_plain("int64", "ts_us", "ts_ns", optional=True),
        *_plain("string", "schema", "table", optional=False),
        *_plain("int64", "txId", "lsn", "xmin", optional=True),
        *_plain("string", "origin", optional=True),
        *_plain("int64", "origin_lsn", optional=True),
    ],
    version=1,
)

TRANSACTION_BLOCK: Final = struct(
    "event.block",
    [
        *_plain("string", "id", optional=False),
        *_plain("int64", "total_order", "data_collection_order", optional=False),
    ],
    optional=True,
    version=1,
)

TRANSACTION_KEY: Final = struct(
    "io.debezium.connector.common.TransactionMetadataKey", _plain("string", "id", optional=False), version=1
)

_COLLECTION: Final = struct(
    "event.collection",
    [*_plain("string", "data_collection", optional=False), *_plain("int64", "event_count", optional=False)],
    optional=True,
    version=1,
)

TRANSACTION_VALUE: Final = struct(
    "io.debezium.connector.common.TransactionMetadataValue",
    [
        *_plain("string", "status", "id", optional=False),
        *_plain("int64", "event_count", optional=True),
        field("data_collections", {"type": "array", "items": _COLLECTION}, optional=True),
        *_plain("int64", "ts_ms", optional=False),
    ],
    version=1,
)

MESSAGE_KEY: Final = struct(
    "io.debezium.connector.postgresql.MessageKey", _plain("string", "prefix", optional=True), version=1
)


def message_value(mode: BinaryHandling) -> JsonSchema:
    """Of a logical message; its content follows the binary mode."""
    content = field("content", {"type": "bytes" if mode == "bytes" else "string"}, optional=True)
    message = struct(
        "io.debezium.connector.postgresql.Message", [*_plain("string", "prefix", optional=True), content], version=1
    )
    return struct(
        "io.debezium.connector.postgresql.MessageValue",
        [
            *_plain("string", "op", optional=False),
            *_plain("int64", "ts_ms", optional=True),
            struct_field("source", SOURCE),
            struct_field("transaction", TRANSACTION_BLOCK),
            struct_field("message", message),
        ],
        version=1,
    )


HEARTBEAT_KEY: Final = struct(
    "io.debezium.connector.common.ServerNameKey", _plain("string", "serverName", optional=False), version=1
)
HEARTBEAT_VALUE: Final = struct(
    "io.debezium.connector.common.Heartbeat", _plain("int64", "ts_ms", optional=False), version=1
)


def key_schema(name: str, columns: Sequence[tuple[str, JsonSchema]]) -> JsonSchema:
    """Of a table's key. `name`: `prefix.schema.table`."""
    return struct(f"{name}.Key", [field(column, schema, optional=False) for column, schema in columns])


def envelope_schema(name: str, columns: Sequence[tuple[str, JsonSchema]], key: Sequence[str]) -> JsonSchema:
    """Of a table's records. What is not in the key is optional: a delete may carry the key alone."""
    row = struct(
        f"{name}.Value",
        [field(column, schema, optional=column not in key) for column, schema in columns],
        optional=True,
    )
    return struct(
        f"{name}.Envelope",
        [
            struct_field("before", row),
            struct_field("after", row),
            struct_field("source", SOURCE),
            struct_field("transaction", TRANSACTION_BLOCK),
            *_plain("string", "op", optional=False),
            *_plain("int64", "ts_ms", "ts_us", "ts_ns", optional=True),
        ],
        version=2,
    )


def adjusted(name: str, mode: NameAdjustment) -> str:
    """A schema's name as Avro allows it: each part a letter or `_`, then letters, digits and `_`."""
    if mode == "none":
        return name
    return ".".join(_avro_part(part, mode) for part in name.split("."))


def _avro_part(part: str, mode: NameAdjustment) -> str:
    def replace(character: str) -> str:
        if mode == "avro_unicode":
            return f"_u{ord(character):04x}"
        return "_"

    out = [
        character if character.isascii() and (character.isalnum() or character == "_") else replace(character)
        for character in part
    ]
    if out and out[0].isdigit():
        out[0] = replace(out[0])
    return "".join(out)
