"""The compiled writer of one relation: rows to JSON, its key, its schemas. Pure."""

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from cdc.debezium.catalog import TypeCatalog
from cdc.debezium.codec import NULL, Codec, JsonSchema, Loss, dump, quoted
from cdc.debezium.defaults import default_of
from cdc.debezium.options import DebeziumOptions
from cdc.debezium.schemas import adjusted, envelope_schema, key_schema
from cdc.debezium.topic_names import table_topic
from cdc.debezium.types import codec_for
from cdc.events import UNCHANGED, Column, Relation, Row

Losses = dict[str, str]
"""Column → kind of loss."""
Columns = Sequence[Sequence[str | None]]
"""Text forms, one sequence a column of the relation, one value a row."""
Render = Callable[[Row], str]


class TableWriter:
    """Everything about a relation that does not change from row to row.

    `losses` collects what the rows since the last `take_losses` could not carry.
    """

    def __init__(self, relation: Relation, options: DebeziumOptions, catalog: TypeCatalog) -> None:
        self.relation = relation
        self.collection: Final = f"{relation.schema}.{relation.name}"
        self.topic: Final = table_topic(options.topic_prefix, relation.schema, relation.name)
        self._placeholder = options.unavailable_value_placeholder
        self._losses: Losses = {}
        codecs = {}
        for index, column in enumerate(relation.columns):
            lose = self._lose_in(column.name)
            codec = codec_for(column.type_oid, column.type_modifier, catalog, options, lose)
            if codec is not None:
                codecs[index] = codec
        self._codecs: dict[int, Codec] = codecs
        self.key_columns = self._choose_key(catalog)
        names = {column.name: index for index, column in enumerate(relation.columns)}
        self._key_indexes = [names[name] for name in self.key_columns]
        self.image: Final = self._compile(list(codecs))
        self._render_key = self._compile(self._key_indexes) if self.key_columns else None
        self.source: Final = f'"schema":{quoted(relation.schema)},"table":{quoted(relation.name)}'
        self.key_head, self.value_head = "", ""
        if options.schemas_enable:
            self._write_schemas(options, catalog)

    def key(self, row: Row | None) -> str | None:
        """The key's JSON without schema; None when there is no row or no key."""
        return None if row is None or self._render_key is None else self._render_key(row)

    def moved(self, old: Row, new: Row) -> bool:
        """The update gave the row another key."""
        return any(old[index] != new[index] for index in self._key_indexes)

    def images(self, columns: Columns, rows: int) -> list[str]:
        """`image` of many whole rows, given by column."""
        return self._columnwise(columns, list(self._codecs), rows)

    def keys(self, columns: Columns, rows: int) -> list[str] | list[None]:
        """`key` of many rows, given by column."""
        return self._columnwise(columns, self._key_indexes, rows) if self.key_columns else [None] * rows

    def _columnwise(self, columns: Columns, indexes: list[int], rows: int) -> list[str]:
        if not indexes:
            return ["{}"] * rows
        template = self._template(indexes)
        written: list[Sequence[str]] = []
        for index in indexes:
            column, encode = columns[index], self._codecs[index].encode
            if None in column:
                write = encode or str
                written.append([NULL if value is None else write(value) for value in column])
            else:
                values = cast("Sequence[str]", column)
                written.append(values if encode is None else list(map(encode, values)))
        return [template % cells for cells in zip(*written, strict=True)]

    @property
    def has_losses(self) -> bool:
        """Something was lost that has not been taken yet."""
        return bool(self._losses)

    def take_losses(self, image: str, row: Row | None) -> Losses:
        """What has been lost since the last call; empty nearly always. `image`: what was written of `row`."""
        if row is not None and self._placeholder in image:
            self._note_look_alikes(row)
        if not self._losses:
            return self._losses
        losses, self._losses = self._losses, {}
        return losses

    def _note_look_alikes(self, row: Row) -> None:
        """A value that is written exactly like the placeholder will be read as one."""
        for index, codec in self._codecs.items():
            value = row[index]
            if isinstance(value, str):
                written = value if codec.encode is None else codec.encode(value)
                if written == codec.unavailable:
                    self._losses[self.relation.columns[index].name] = Loss.UNCHANGED.value

    def _choose_key(self, catalog: TypeCatalog) -> tuple[str, ...]:
        """The primary key if it is known, else the replica identity; never the whole row."""
        known = catalog.shape(self.relation.table).primary_key
        present = {self.relation.columns[index].name for index in self._codecs}
        if known and present.issuperset(known):
            return known
        if self.relation.replica_identity in ("f", "n"):
            return ()
        return tuple(column.name for column in self.relation.columns if column.in_key and column.name in present)

    def _compile(self, indexes: list[int]) -> Render:
        """One expression for a whole row. Its text is made of indexes only; names and codecs are its variables."""
        scope: dict[str, Any] = {"template": self._template(indexes)}
        parts = []
        for index in indexes:
            codec = self._codecs[index]
            scope[f"absent{index}"] = self._absent(index, codec)
            value = f"(v := r[{index}])"
            if codec.encode is None:
                parts.append(f"(v if {value}.__class__ is str else absent{index}(v))")
            else:
                scope[f"encode{index}"] = codec.encode
                parts.append(f"(encode{index}(v) if {value}.__class__ is str else absent{index}(v))")
        render: Render = eval(f"lambda r: template % ({''.join(part + ', ' for part in parts)})", scope)
        return render

    def _template(self, indexes: list[int]) -> str:
        names = [quoted(self.relation.columns[index].name).replace("%", "%%") for index in indexes]
        return "{" + ",".join(f"{name}:%s" for name in names) + "}"

    def _absent(self, index: int, codec: Codec) -> Callable[[object], str]:
        lose = self._lose_in(self.relation.columns[index].name)

        def absent(value: object) -> str:
            if value is not UNCHANGED:
                return NULL
            if codec.unavailable is None:
                lose(Loss.UNCHANGED)
                return NULL
            return codec.unavailable

        return absent

    def _lose_in(self, column: str) -> Callable[[Loss], None]:
        def lose(loss: Loss) -> None:
            self._losses[column] = loss.value

        return lose

    def _write_schemas(self, options: DebeziumOptions, catalog: TypeCatalog) -> None:
        columns = [
            (
                self.relation.columns[index].name,
                self._with_default(self.relation.columns[index], codec, catalog, options),
            )
            for index, codec in self._codecs.items()
        ]
        by_name = dict(columns)
        name = adjusted(self.topic, options.schema_name_adjustment_mode)
        keyed = [(column, by_name[column]) for column in self.key_columns]
        self.key_head = f'{{"schema":{dump(key_schema(name, keyed))},"payload":'
        self.value_head = f'{{"schema":{dump(envelope_schema(name, columns, self.key_columns))},"payload":'

    def _with_default(self, column: Column, codec: Codec, catalog: TypeCatalog, options: DebeziumOptions) -> JsonSchema:
        """The catalog is that of now: it says nothing of a column that had another type then."""
        shape = catalog.shape(self.relation.table)
        expression = shape.defaults.get(column.name)
        if expression is None or shape.columns.get(column.name) != (column.type_oid, column.type_modifier):
            return codec.schema
        default = default_of(expression, column.type_oid, column.type_modifier, catalog, options)
        return codec.schema if default is None else {**codec.schema, "default": default}
