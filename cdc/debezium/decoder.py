"""Debezium's records, ours or another writer's, back into events. Pure.

What a record does not carry is not guessed: `inspect` returns the event with its doubts, column by column, and `decode`
refuses a record whose doubts the caller has not accepted by name.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cdc.debezium.catalog import ResolvedType, TypeCatalog
from cdc.debezium.codec import JsonSchema, Loss
from cdc.debezium.decoded import DecodedRecord, DecoderOptions, Doubt, TransactionMark
from cdc.debezium.defaults import ANY_VALUE, null_likeness
from cdc.debezium.forms import is_ambiguous, may_be_of, widens_to
from cdc.debezium.read_values import ValueReader, type_oid_of
from cdc.debezium.record import LOST_HEADER
from cdc.debezium.types import codec_for
from cdc.errors import DecodeError, UntrustedValues
from cdc.events import Change, Column, Message, Relation, Row, RowChange, TableName, Truncate
from cdc.lsn import Lsn

__all__ = ["DebeziumDecoder", "DecodedRecord", "DecoderOptions", "Doubt", "TransactionMark"]

Json = str | bytes | Mapping[str, Any] | None
Fields = Mapping[str, Any]


@dataclass(kw_only=True, slots=True)
class _TableReader:
    """The compiled reader of one table in one shape."""

    relation: Relation
    readers: Mapping[str, ValueReader]
    null_likes: dict[str, Any] = field(default_factory=dict)
    """Column → what a null may have been written as."""
    doubts: dict[str, Loss] = field(default_factory=dict)

    def row(self, image: Fields) -> Row:
        for name, likeness in self.null_likes.items():
            if image.get(name) is not None and (likeness is ANY_VALUE or image[name] == likeness):
                self.doubts[name] = Loss.NULL_DEFAULT
        return tuple(self.readers[column.name].read(image.get(column.name)) for column in self.relation.columns)

    def key_row(self, key: Fields) -> Row:
        """The key alone, as the server sends it under replica identity default."""
        return tuple(
            self.readers[column.name].read(key[column.name]) if column.name in key else None
            for column in self.relation.columns
        )

    def take_doubts(self) -> dict[str, Loss]:
        taken, self.doubts = self.doubts, {}
        return taken


class DebeziumDecoder:
    """Reads any number of topics. Records without schema need their table in the catalog. Not thread-safe."""

    def __init__(self, options: DecoderOptions, catalog: TypeCatalog | None = None) -> None:
        self.options: Final = options
        self._catalog = catalog or TypeCatalog()
        self._tables: dict[tuple[Any, ...], _TableReader] = {}

    def decode(
        self, topic: str, key: Json, value: Json, headers: Mapping[str, str | bytes] | None = None
    ) -> DecodedRecord:
        """The record. Raises `UntrustedValues` for a doubt that is not accepted, `DecodeError` for no record at all."""
        record = self.inspect(topic, key, value, headers)
        refused = [doubt for doubt in record.doubts if not self.accepts(record.table, doubt)]
        if refused:
            named = ", ".join(f"{doubt.column} ({doubt.loss.value})" for doubt in refused)
            raise UntrustedValues(
                thing=f"record of topic {topic}",
                reason=f"these columns do not certainly hold the source's values: {named}",
                mend="read the source itself or its lossless log, or accept the column or the kind of loss by name",
            )
        return record

    def inspect(
        self, topic: str, key: Json, value: Json, headers: Mapping[str, str | bytes] | None = None
    ) -> DecodedRecord:
        """The record with its doubts, whatever they are. Raises `DecodeError`."""
        try:
            return self._inspect(key, value, headers or {})
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise DecodeError(
                thing=f"record of topic {topic}",
                reason=f"it is not a Debezium record that is known: {type(error).__name__}: {error}",
                mend="read only Debezium's topics; records without schema need the writer's modes and a catalog",
            ) from None

    def accepts(self, table: TableName | None, doubt: Doubt) -> bool:
        """Whether the options say that this doubt may pass."""
        names = {doubt.column}
        if table is not None:
            names |= {f"{table.name}.{doubt.column}", f"{table.schema}.{table.name}.{doubt.column}"}
        return doubt.loss in self.options.accept_losses or not names.isdisjoint(self.options.accept_columns)

    def _inspect(self, key: Json, value: Json, headers: Mapping[str, str | bytes]) -> DecodedRecord:
        schema, payload = _opened(_parsed(value))
        if payload is None:
            return DecodedRecord()
        if "status" in payload:
            return DecodedRecord(mark=_mark(payload), transaction_id=payload["id"])
        if "op" not in payload:
            return DecodedRecord(source_time_us=payload["ts_ms"] * 1000)
        _, key_payload = _opened(_parsed(key))
        source = payload["source"]
        if payload["op"] == "m":
            return _placed(self._message(payload), None, source, payload, ())
        table = TableName(schema=source["schema"], name=source["table"])
        key_columns = tuple(key_payload or (self._catalog.shape(table).primary_key if payload["op"] == "t" else ()))
        reader = self._reader(table, schema, payload, key_columns)
        change = _change(reader, payload, key_payload)
        doubts = {**reader.take_doubts(), **_marked_losses(headers)}
        return _placed(change, table, source, payload, [Doubt(column=name, loss=doubts[name]) for name in doubts])

    def _message(self, payload: Fields) -> Message:
        reader = ValueReader(
            {"type": "bytes" if self.options.written.binary_handling_mode == "bytes" else "string"},
            self._catalog.resolve(17),
            catalog=self._catalog,
            options=self.options.written,
            lose=lambda loss: None,
            marked=True,
        )
        content = reader.read(payload["message"]["content"])
        source = payload["source"]
        return Message(
            prefix=payload["message"]["prefix"],
            content=bytes.fromhex(content[2:]) if isinstance(content, str) else b"",
            transactional=source.get("txId") is not None,
            lsn=Lsn(source["lsn"]),
        )

    def _reader(
        self, table: TableName, schema: JsonSchema | None, payload: Fields, key: tuple[str, ...]
    ) -> _TableReader:
        if schema is not None:
            fields = next(each for each in schema["fields"] if each["field"] == "after")["fields"]
            shape = json.dumps(fields)
        else:
            fields, shape = None, ",".join(payload.get("after") or payload.get("before") or ())
        found = self._tables.get((table, key, shape))
        if found is None:
            forms = self._forms(table, payload) if fields is None else {each["field"]: each for each in fields}
            found = self._tables[table, key, shape] = self._compile(table, forms, key, has_schema=fields is not None)
        return found

    def _forms(self, table: TableName, payload: Fields) -> dict[str, JsonSchema]:
        """Without schema: what the writer's modes make of the catalog's columns."""
        columns = self._catalog.shape(table).columns if self.options.types_are_the_sources else {}
        if not columns:
            raise ValueError(f"it has no schema, and the catalog does not know the table {table}")
        shape = self._catalog.shape(table)
        present = payload.get("after") or payload.get("before") or columns
        if unknown := [name for name in present if name not in columns]:
            raise ValueError(f"the catalog's table {table} has no column {unknown[0]!r}")
        forms = {}
        for name in present:
            codec = codec_for(*columns[name], self._catalog, self.options.written, lambda loss: None)
            if codec is not None:
                forms[name] = codec.schema
                if name in shape.defaults and name not in shape.not_null:
                    likeness = null_likeness(shape.defaults[name], *columns[name], self._catalog, self.options.written)
                    forms[name] = codec.schema if likeness is None else {**codec.schema, "default": likeness}
        return forms

    def _null_likes(self, table: TableName, forms: Mapping[str, JsonSchema]) -> dict[str, Any]:
        if self.options.losses_marked or self.options.nulls_are_kept:
            return {}
        never = self._catalog.shape(table).not_null if self.options.types_are_the_sources else frozenset()
        return {
            name: form["default"]
            for name, form in forms.items()
            if "default" in form and form.get("optional", True) and name not in never
        }

    def _compile(
        self, table: TableName, forms: Mapping[str, JsonSchema], key: Sequence[str], *, has_schema: bool
    ) -> _TableReader:
        shape = self._catalog.shape(table).columns
        columns: list[Column] = []
        readers: dict[str, ValueReader] = {}
        result = _TableReader(
            relation=Relation(oid=0, schema=table.schema, name=table.name, columns=()),
            readers=readers,
            null_likes=self._null_likes(table, forms),
        )
        for name, form in forms.items():
            type_oid, modifier = shape.get(name, (type_oid_of(form), -1))
            known: ResolvedType | None = self._catalog.resolve(type_oid, modifier) if name in shape else None
            foreign = not (has_schema or self.options.losses_marked) and is_ambiguous(type_oid, modifier, self._catalog)
            if known and not (self.options.types_are_the_sources or may_be_of(form, type_oid, modifier, self._catalog)):
                foreign = not widens_to(form, type_oid, self._catalog)
                type_oid, modifier, known = 0, -1, None
            columns.append(Column(name=name, type_oid=type_oid, type_modifier=modifier, in_key=not key or name in key))
            readers[name] = ValueReader(
                form,
                known,
                catalog=self._catalog,
                options=self.options.written,
                lose=_noting(result, name),
                marked=self.options.losses_marked,
                trusts_placeholder=self.options.trusts_placeholder,
                foreign=foreign,
            )
        result.relation = Relation(
            oid=0,
            schema=table.schema,
            name=table.name,
            columns=tuple(columns),
            replica_identity="d" if key else "f",
        )
        return result


def _noting(reader: _TableReader, column: str) -> Any:
    def lose(loss: Loss) -> None:
        reader.doubts[column] = loss

    return lose


def _change(reader: _TableReader, payload: Fields, key: Fields | None) -> RowChange | Truncate:
    op, before, after = payload["op"], payload["before"], payload["after"]
    relation = reader.relation
    if op == "t":
        return Truncate(relations=(relation,))
    if op not in ("c", "u", "d", "r"):
        raise ValueError(f"operation {op!r}")
    new = None if op == "d" else reader.row(after)
    if op == "d" and key:
        return RowChange(relation=relation, op="d", new=None, old=reader.key_row(key), old_is_key=True)
    old = None if key or before is None else reader.row(before)
    return RowChange(relation=relation, op=op, new=new, old=old)


def _placed(
    change: Change, table: TableName | None, source: Fields, payload: Fields, doubts: Iterable[Doubt]
) -> DecodedRecord:
    block = payload.get("transaction") or {}
    return DecodedRecord(
        change=change,
        table=table,
        doubts=tuple(doubts),
        lsn=Lsn(source.get("lsn") or 0),
        xid=source.get("txId"),
        source_time_us=source.get("ts_us") or source["ts_ms"] * 1000,
        transaction_id=block.get("id"),
        total_order=block.get("total_order"),
        previous=_previous(source.get("sequence")),
        connector=source.get("connector"),
    )


def _previous(sequence: str | None) -> Lsn | None:
    """`["previous commit","event"]`, a JSON text."""
    first = json.loads(sequence)[0] if sequence else None
    return None if first is None else Lsn(int(first))


def _mark(payload: Fields) -> TransactionMark:
    status = payload["status"]
    if status not in ("BEGIN", "END"):
        raise ValueError(f"transaction status {status!r}")
    counts = {each["data_collection"]: each["event_count"] for each in payload.get("data_collections") or ()}
    return TransactionMark(
        status=status,
        id=payload["id"],
        event_count=payload["event_count"],
        counts=counts,
        time_us=payload.get("ts_ms", 0) * 1000,
    )


def _marked_losses(headers: Mapping[str, str | bytes]) -> dict[str, Loss]:
    marked = headers.get(LOST_HEADER)
    return {} if marked is None else {column: Loss(kind) for column, kind in json.loads(marked).items()}


def _parsed(given: Json) -> Fields | None:
    if given is None or isinstance(given, Mapping):
        return given
    parsed = json.loads(given)
    if parsed is not None and not isinstance(parsed, dict):
        raise ValueError("not a JSON object")
    return parsed


def _opened(given: Fields | None) -> tuple[JsonSchema | None, Fields | None]:
    """`{"schema", "payload"}`, or the payload alone."""
    if given is not None and given.keys() == {"schema", "payload"}:
        return given["schema"], given["payload"]
    return None, given
