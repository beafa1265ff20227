"""How records are written: Debezium 3.6's own options, under its own words. Pure."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from strangler.errors import BadInput

DecimalHandling = Literal["precise", "double", "string"]
TimePrecision = Literal["adaptive", "adaptive_time_microseconds", "connect", "isostring", "microseconds", "nanoseconds"]
IntervalHandling = Literal["numeric", "string"]
BinaryHandling = Literal["bytes", "base64", "base64-url-safe", "hex"]
HstoreHandling = Literal["json", "map"]
NameAdjustment = Literal["none", "avro", "avro_unicode"]
Operation = Literal["c", "u", "d", "t"]

PLACEHOLDER: Final = "__debezium_unavailable_value"
"""What Debezium writes, unless told otherwise, for a TOASTed value that an update did not touch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DebeziumOptions:
    """Options of one set of topics; each field is Debezium's property of the same name.

    Ours differ from Debezium's defaults in two: no operation is skipped (it skips truncates), and columns of types that
    Debezium has no form for are included (as bytes of their text) instead of left out. Raises `BadInput` for a value
    that is none of the modes.
    """

    topic_prefix: str
    database: str = ""
    decimal_handling_mode: DecimalHandling = "precise"
    time_precision_mode: TimePrecision = "adaptive"
    interval_handling_mode: IntervalHandling = "numeric"
    binary_handling_mode: BinaryHandling = "bytes"
    hstore_handling_mode: HstoreHandling = "json"
    include_unknown_datatypes: bool = True
    schemas_enable: bool = False
    schema_name_adjustment_mode: NameAdjustment = "none"
    tombstones_on_delete: bool = True
    provide_transaction_metadata: bool = False
    skipped_operations: frozenset[Operation] = frozenset()
    unavailable_value_placeholder: str = PLACEHOLDER

    def __post_init__(self) -> None:
        for name, modes in _MODES.items():
            _check(name, getattr(self, name), get_args(modes))
        for operation in self.skipped_operations:
            _check("skipped_operations", operation, get_args(Operation))
        if not self.topic_prefix:
            raise BadInput(thing="topic.prefix", reason="it is empty", mend="name the source, for instance store")


_MODES: Final = {
    "decimal_handling_mode": DecimalHandling,
    "time_precision_mode": TimePrecision,
    "interval_handling_mode": IntervalHandling,
    "binary_handling_mode": BinaryHandling,
    "hstore_handling_mode": HstoreHandling,
    "schema_name_adjustment_mode": NameAdjustment,
}


def _check(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise BadInput(
            thing=name.replace("_", "."), reason=f"{value!r} is no mode of it", mend=f"use one of: {', '.join(allowed)}"
        )
