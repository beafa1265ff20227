"""Which codec a column's type has. Pure: one table by type name, so that extension types need no oid."""

from collections.abc import Callable
from typing import Final

from cdc.debezium import numbers, structures, temporal
from cdc.debezium.catalog import PgType, TypeCatalog
from cdc.debezium.codec import Codec, Lose, quoted, semantic, text_codec
from cdc.debezium.options import DebeziumOptions

Make = Callable[[int, DebeziumOptions, Lose], Codec]

_TEXTS: Final = (
    "text", "varchar", "bpchar", "name", "char", "inet", "cidr", "macaddr", "macaddr8", "citext",
    "int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange",
)  # fmt: skip
_SEMANTIC_TEXTS: Final = {
    "json": "Json", "jsonb": "Json", "uuid": "Uuid", "xml": "Xml", "ltree": "Ltree", "tsvector": "Tsvector",
}  # fmt: skip

_EXTENSIONS: Final = frozenset({"hstore", "citext", "ltree", "geometry", "geography"})
FIRST_USER_OID: Final = 16_384
"""Below are PostgreSQL's own types; above, a name says nothing but for the extensions that are known."""

_CODECS: Final[dict[str, Make]] = {
    "bool": lambda modifier, options, lose: numbers.bool_codec(),
    "numeric": numbers.numeric_codec,
    "money": lambda modifier, options, lose: numbers.money_codec(options, lose),
    "date": lambda modifier, options, lose: temporal.date_codec(options, lose),
    "time": temporal.time_codec,
    "timetz": lambda modifier, options, lose: temporal.timetz_codec(lose),
    "timestamp": temporal.timestamp_codec,
    "timestamptz": lambda modifier, options, lose: temporal.timestamptz_codec(modifier),
    "interval": lambda modifier, options, lose: temporal.interval_codec(options, lose),
    "bytea": lambda modifier, options, lose: structures.bytea_codec(options),
    "bit": lambda modifier, options, lose: structures.bits_codec("bit", modifier, lose),
    "varbit": lambda modifier, options, lose: structures.bits_codec("varbit", modifier, lose),
    "point": lambda modifier, options, lose: structures.point_codec(),
    "geometry": lambda modifier, options, lose: structures.geometry_codec("geometry"),
    "geography": lambda modifier, options, lose: structures.geometry_codec("geography"),
    "hstore": lambda modifier, options, lose: structures.hstore_codec(options),
}


def codec_for(type_oid: int, modifier: int, catalog: TypeCatalog, options: DebeziumOptions, lose: Lose) -> Codec | None:
    """None: the type has no form and `include_unknown_datatypes` is off, so the column is left out."""
    resolved = catalog.resolve(type_oid, modifier)
    if resolved.type.kind == "array":
        element = codec_for(resolved.type.of, resolved.modifier, catalog, options, lose)
        if element is None:
            return None
        return structures.array_codec(element, options.unavailable_value_placeholder, lose)
    return _base_codec(resolved.type, resolved.modifier, options, lose)


def _base_codec(type_: PgType, modifier: int, options: DebeziumOptions, lose: Lose) -> Codec | None:
    name, placeholder = type_.name, options.unavailable_value_placeholder
    if type_.kind == "enum":
        schema = semantic("string", "io.debezium.data.Enum", parameters={"allowed": ",".join(type_.labels)})
        return Codec(schema=schema, encode=quoted, unavailable=quoted(placeholder))
    if type_.oid < FIRST_USER_OID or name in _EXTENSIONS:
        if name in numbers.INTEGERS:
            return numbers.integer_codec(name)
        if name in ("float4", "float8"):
            return numbers.float_codec(name)
        if name in _TEXTS:
            return text_codec(placeholder)
        if name in _SEMANTIC_TEXTS:
            return text_codec(placeholder, semantic("string", f"io.debezium.data.{_SEMANTIC_TEXTS[name]}"))
        if name in _CODECS:
            return _CODECS[name](modifier, options, lose)
    return structures.opaque_codec(options) if options.include_unknown_datatypes else None
