"""Numbers and decimals. Pure."""

from typing import Final

from cdc.debezium.codec import NULL, Codec, Encode, JsonSchema, Lose, Loss, base64_text, dump, quoted, semantic
from cdc.debezium.options import DebeziumOptions

SPECIAL: Final = frozenset({"NaN", "Infinity", "-Infinity"})
INTEGERS: Final = {"int2": "int16", "int4": "int32", "int8": "int64", "oid": "int64"}
DECIMAL: Final = "org.apache.kafka.connect.data.Decimal"
VARIABLE_SCALE: Final = "io.debezium.data.VariableScaleDecimal"
MONEY_SCALE: Final = 2


def integer_codec(name: str) -> Codec:
    return Codec(schema={"type": INTEGERS[name]}, encode=None)


def bool_codec() -> Codec:
    return Codec(schema={"type": "boolean"}, encode=lambda text: "true" if text == "t" else "false")


def float_codec(name: str) -> Codec:
    return Codec(schema={"type": "float" if name == "float4" else "double"}, encode=float_json)


def float_json(text: str) -> str:
    """The same digits, with a point, so that no reader takes them for a whole number; NaN and infinities quoted."""
    if text in SPECIAL:
        return f'"{text}"'
    return text if "." in text or "e" in text else f"{text}.0"


def numeric_codec(modifier: int, options: DebeziumOptions, lose: Lose) -> Codec:
    """`modifier`: -1 for a numeric of any precision and scale."""
    mode = options.decimal_handling_mode
    if mode == "string":
        return Codec(
            schema={"type": "string"}, encode=quoted, unavailable=quoted(options.unavailable_value_placeholder)
        )
    if mode == "double":
        return Codec(schema={"type": "double"}, encode=_as_double)
    if modifier == -1:
        return Codec(schema=VARIABLE_SCALE_SCHEMA, encode=_variable_scale(lose))
    precision, scale = precision_and_scale(modifier)
    return Codec(schema=decimal_schema(scale, precision), encode=_fixed_scale(scale, lose))


def precision_and_scale(modifier: int) -> tuple[int, int]:
    """Of a numeric's type modifier; the scale may be negative."""
    packed = modifier - 4
    return packed >> 16 & 0xFFFF, ((packed & 0x7FF) ^ 1024) - 1024


def decimal_schema(scale: int, precision: int | None = None) -> JsonSchema:
    parameters = {"scale": str(scale)}
    if precision is not None:
        parameters["connect.decimal.precision"] = str(precision)
    return semantic("bytes", DECIMAL, parameters=parameters)


VARIABLE_SCALE_SCHEMA: Final = {
    "type": "struct",
    "fields": [
        {"type": "int32", "optional": False, "field": "scale"},
        {"type": "bytes", "optional": False, "field": "value"},
    ],
    "name": VARIABLE_SCALE,
    "version": 1,
    "doc": "Variable scaled decimal",
}


def money_codec(options: DebeziumOptions, lose: Lose) -> Codec:
    """`money` in the C locale: `-$1,234.56`."""

    def plain(text: str) -> str:
        return text.replace("$", "").replace(",", "")

    mode = options.decimal_handling_mode
    if mode == "string":
        return Codec(schema={"type": "string"}, encode=lambda text: f'"{plain(text)}"')
    if mode == "double":
        return Codec(schema={"type": "double"}, encode=lambda text: _as_double(plain(text)))
    fixed = _fixed_scale(MONEY_SCALE, lose)
    return Codec(schema=decimal_schema(MONEY_SCALE), encode=lambda text: fixed(plain(text)))


def unscaled_json(unscaled: int) -> str:
    """A whole number as Java's BigInteger has it: the fewest bytes in two's complement, big end first."""
    magnitude = unscaled if unscaled >= 0 else ~unscaled
    return base64_text(unscaled.to_bytes((magnitude.bit_length() >> 3) + 1, "big", signed=True))


def _fixed_scale(scale: int, lose: Lose) -> Encode:
    def encode(text: str) -> str:
        whole, _, fraction = text.partition(".")
        if len(fraction) == scale and text not in SPECIAL:
            return unscaled_json(int(whole + fraction))
        if text in SPECIAL:
            lose(Loss.NOT_A_NUMBER)
            return NULL
        if scale < 0:
            return unscaled_json(int(whole) // 10**-scale)
        if len(fraction) > scale:
            raise ValueError(f"{text[:40]!r} has more than {scale} digits after the point")
        return unscaled_json(int(whole + fraction.ljust(scale, "0")))

    return encode


def _variable_scale(lose: Lose) -> Encode:
    """Keeps trailing zeros, which Debezium drops: the same number, and the source's scale."""

    def encode(text: str) -> str:
        if text in SPECIAL:
            lose(Loss.NOT_A_NUMBER)
            return NULL
        whole, _, fraction = text.partition(".")
        return f'{{"scale":{len(fraction)},"value":{unscaled_json(int(whole + fraction))}}}'

    return encode


def _as_double(text: str) -> str:
    number = float(text)
    return f'"{text}"' if text in SPECIAL else (dump(number) if abs(number) != float("inf") else '"Infinity"')
