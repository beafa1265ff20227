"""Every form that Debezium may give a type, whatever the connector's modes are. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, get_args

from cdc.debezium import options as modes
from cdc.debezium.catalog import TypeCatalog
from cdc.debezium.codec import JsonSchema
from cdc.debezium.numbers import precision_and_scale
from cdc.debezium.options import DebeziumOptions
from cdc.debezium.types import codec_for

_MODES: Final = {
    "decimal_handling_mode": modes.DecimalHandling,
    "time_precision_mode": modes.TimePrecision,
    "interval_handling_mode": modes.IntervalHandling,
    "binary_handling_mode": modes.BinaryHandling,
    "hstore_handling_mode": modes.HstoreHandling,
}


_WIDER: Final = {
    **dict.fromkeys(("int16", "int32", "int64"), frozenset({"int2", "int4", "int8", "numeric", "text", "varchar"})),
    "string": frozenset({"text", "varchar", "bpchar", "citext"}),
    "float": frozenset({"float8"}),
}
"""Plain forms, and types of other columns that take their values as they are or refuse them."""


def widens_to(form: JsonSchema, type_oid: int, catalog: TypeCatalog) -> bool:
    """Whether a form of another type reads the same in a column of this type."""
    return "name" not in form and catalog.resolve(type_oid).type.name in _WIDER.get(form["type"], ())


def is_ambiguous(type_oid: int, modifier: int, catalog: TypeCatalog) -> bool:
    """Whether values of this type cannot be read without their schema: Debezium writes elements of domains as bytes,
    and takes a negative scale for 2048 less it."""
    found = catalog.resolve(type_oid, modifier)
    if found.type.kind == "array":
        return catalog.type(found.type.of).kind == "domain" or is_ambiguous(found.type.of, found.modifier, catalog)
    return found.type.name == "numeric" and found.modifier != -1 and precision_and_scale(found.modifier)[1] < 0


def may_be_of(form: JsonSchema, type_oid: int, modifier: int, catalog: TypeCatalog) -> bool:
    """Whether a column of this type may look like this."""
    found = catalog.resolve(type_oid, modifier).type
    if found.kind == "array" and form["type"] == "array" and catalog.type(found.of).kind == "domain":
        return True  # elements of a domain are bytes of their text, in the words of the binary mode
    return any(_same(form, each) for each in _forms(type_oid, modifier, catalog))


def _forms(type_oid: int, modifier: int, catalog: TypeCatalog) -> Iterator[JsonSchema]:
    plain = DebeziumOptions(topic_prefix="any")
    for name, values in _MODES.items():
        for value in get_args(values):
            codec = codec_for(type_oid, modifier, catalog, replace(plain, **{name: value}), lambda loss: None)
            if codec is not None:
                yield codec.schema


def _same(one: JsonSchema, other: JsonSchema) -> bool:
    if (one["type"], one.get("name")) != (other["type"], other.get("name")):
        return False
    if "items" in one and "items" in other:
        return _same(one["items"], other["items"])
    return True
