"""A table as the binlog describes it: its relation, and how its rows are read. Pure.

Needs `binlog_row_metadata = FULL`: without it the binlog names no column and tells no character set.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cdc.errors import SourceUnfit, ValueRefused
from cdc.events import Column, Relation, Row
from cdc.mysql import values
from cdc.mysql.binlog import Rows
from cdc.mysql.charsets import BINARY, SUPPORTED, text_decoder
from cdc.mysql.json_binary import json_text
from cdc.mysql.table_description import (
    BIT,
    CHARACTER,
    DATE,
    DATETIME,
    DECIMAL,
    DOUBLE,
    ENUM,
    FLOAT,
    GEOMETRY,
    INTEGERS,
    JSON,
    NEWDATE,
    SET,
    STRING,
    TIME,
    TIMESTAMP,
    VAR_STRING,
    VARCHAR,
    YEAR,
    TableDescription,
    column_types,
    describe,
)
from cdc.mysql.values import Decoder, Unrepresentable, ZeroDates
from cdc.mysql.wire import length_encoded, malformed, table_name

_UNSUPPORTED: Final = {
    7: ("timestamp of the format before 5.6", "ALTER TABLE … FORCE rewrites it"),
    11: ("time of the format before 5.6", "ALTER TABLE … FORCE rewrites it"),
    12: ("datetime of the format before 5.6", "ALTER TABLE … FORCE rewrites it"),
    0: ("decimal of the format before 5.0", "ALTER TABLE … FORCE rewrites it"),
    140: ("compressed column", "ALTER TABLE … MODIFY it without COMPRESSED"),
    141: ("compressed column", "ALTER TABLE … MODIFY it without COMPRESSED"),
    242: ("vector", "leave the table out of the move"),
    GEOMETRY: ("geometry", "leave the table out of the move, or keep the value as text beside it"),
}

_OID_BOOL_BIT, _OID_BYTEA, _OID_TEXT, _OID_VARCHAR, _OID_JSON = 1560, 17, 25, 1043, 114
_OID_DATE, _OID_TIMESTAMP, _OID_TIMESTAMPTZ, _OID_INTERVAL, _OID_NUMERIC = 1082, 1114, 1184, 1186, 1700


@dataclass(frozen=True, kw_only=True, slots=True)
class Charsets:
    """Collation number → name of its character set, as the server lists them."""

    of_collation: Mapping[int, str]


class TableReader:
    """Reads the rows of one table. `relation`'s columns are in table order; its key columns are the primary key."""

    def __init__(self, relation: Relation, decoders: Sequence[Decoder]) -> None:
        self.relation = relation
        self._decoders = tuple(decoders)
        self._full_bitmap = (1 << len(decoders)) - 1
        self._null_bytes = (len(decoders) + 7) // 8

    def images(self, rows: Rows) -> list[Row]:
        """Every image in the event: for an update old and new alternate.

        Raises `ValueRefused`, `SourceUnfit` when images lack columns, `DecodeError`.
        """
        if rows.column_count != len(self._decoders):
            raise malformed(f"{rows.column_count} columns of {self._name}, which was described with another number")
        for bitmap in (rows.old_present, rows.new_present):
            # MySQL sets the bits behind the last column, too.
            if int.from_bytes(bitmap, "little") & self._full_bitmap != self._full_bitmap:
                raise SourceUnfit(
                    thing=f"row of {self._name}",
                    reason="the binlog holds only some of its columns",
                    mend="SET GLOBAL binlog_row_image = FULL, reconnect the application, then copy the table anew",
                )
        images, at, data = [], 0, rows.data
        try:
            while at < len(data):
                image, at = self._image(data, at)
                images.append(image)
        except (IndexError, struct.error) as error:
            raise malformed(f"a row of {self._name} is cut short or damaged ({error})") from None
        return images

    def whole_rows(self, op: str, data: bytes) -> Rows:
        """A row event with all columns, of which only the data was kept."""
        bitmap = self._full_bitmap.to_bytes(self._null_bytes, "little")
        return Rows(
            op=op,
            table_id=0,
            column_count=len(self._decoders),
            old_present=bitmap,
            new_present=bitmap,
            data=data,
        )

    def _image(self, data: bytes, at: int) -> tuple[Row, int]:
        nulls = int.from_bytes(data[at : at + self._null_bytes], "little")
        at += self._null_bytes
        image: list[str | None] = []
        append = image.append
        number = 0
        try:
            for number, decode in enumerate(self._decoders):
                if nulls >> number & 1:
                    append(None)
                else:
                    value, at = decode(data, at)
                    append(value)
        except Unrepresentable as error:
            raise self._refused(number, str(error)) from None
        return tuple(image), at

    def _refused(self, number: int, reason: str) -> ValueRefused:
        return ValueRefused(
            thing=f"column {self.relation.columns[number].name} of {self._name}",
            reason=f"a value {reason}, so PostgreSQL cannot hold it as it is",
            mend="mend the row in the source and copy the table anew; for dates, zero_dates=null in the source's URL "
            "makes them NULL",
        )

    @property
    def _name(self) -> str:
        return f"{self.relation.schema}.{self.relation.name}"


def read_table(body: bytes, charsets: Charsets, zero_dates: ZeroDates) -> TableReader:
    """Raises `SourceUnfit` for a column that cannot be captured exactly, or when the description lacks the names."""
    try:
        return _read_table(body, charsets, zero_dates)
    except (IndexError, struct.error, ValueError, StopIteration) as error:
        raise malformed(f"a table description is cut short or damaged ({error})") from None


def _read_table(body: bytes, charsets: Charsets, zero_dates: ZeroDates) -> TableReader:
    database, name = table_name(body)
    at = 8 + len(database.encode()) + len(name.encode()) + 4
    count, at = length_encoded(body, at)
    kinds, at = body[at : at + count], at + count
    size, at = length_encoded(body, at)
    types = column_types(kinds, body[at : at + size])
    at += size + (count + 7) // 8
    description = describe(body[at:], [kind for kind, _ in types])
    table = f"{database}.{name}"
    if len(description.names) != count:
        raise SourceUnfit(
            thing=f"binlog of {table}",
            reason="does not name its columns",
            mend="SET GLOBAL binlog_row_metadata = FULL (MySQL 8.0.1, MariaDB 10.5 on), then copy the table anew",
        )
    maker = _DecoderMaker(table, description, charsets, zero_dates)
    columns, decoders = [], []
    for number, (kind, metadata) in enumerate(types):
        column = description.names[number]
        decoder, oid, modifier = maker.make(column, number, kind, metadata)
        in_key = number in description.primary_key
        columns.append(Column(name=column, type_oid=oid, type_modifier=modifier, in_key=in_key))
        decoders.append(decoder)
    relation = Relation(oid=table_oid(database, name), schema=database, name=name, columns=tuple(columns))
    return TableReader(relation, decoders)


def table_oid(database: str, name: str) -> int:
    """A number for the table that survives restarts, unlike the server's own."""
    return int.from_bytes(hashlib.blake2b(f"{database}\0{name}".encode(), digest_size=7).digest(), "big")


class _DecoderMaker:
    """Chooses a decoder and a PostgreSQL type for each column, in table order."""

    def __init__(self, table: str, description: TableDescription, charsets: Charsets, zero_dates: ZeroDates) -> None:
        self._table, self._description, self._zero_dates = table, description, zero_dates
        self._of_collation = charsets.of_collation
        self._charsets = iter(description.charsets)
        self._label_charsets = iter(description.label_charsets)
        self._enums, self._sets = iter(description.enums), iter(description.sets)

    def make(self, column: str, number: int, kind: int, metadata: bytes) -> tuple[Decoder, int, int]:
        """(decoder, type oid, type modifier). Raises `SourceUnfit`."""
        if kind in INTEGERS:
            size, signed_oid, unsigned_oid = INTEGERS[kind]
            unsigned = bool(self._description.unsigned) and self._description.unsigned[number]
            return values.integer(size, unsigned=unsigned), unsigned_oid if unsigned else signed_oid, -1
        if kind in CHARACTER and kind not in _UNSUPPORTED:
            return self._character(column, kind, metadata)
        if kind in (ENUM, SET):
            return self._labels(column, kind, metadata[1]), _OID_TEXT, -1
        made = self._plain(kind, metadata)
        if made is None:
            kind_name, mend = _UNSUPPORTED.get(kind, (f"type {kind}", "leave the table out of the move"))
            raise self._unfit(column, f"is a {kind_name}, which cannot be captured exactly", mend)
        return made

    def _plain(self, kind: int, metadata: bytes) -> tuple[Decoder, int, int] | None:
        if kind in (FLOAT, DOUBLE):
            return values.real(4 if kind == FLOAT else 8), 700 if kind == FLOAT else 701, -1
        if kind == DECIMAL:
            precision, scale = metadata
            return values.decimal(precision, scale), _OID_NUMERIC, (precision << 16 | scale) + 4
        if kind == BIT:
            count = metadata[1] * 8 + metadata[0]
            return values.bits(count), _OID_BOOL_BIT, count
        if kind == YEAR:
            return values.year, 21, -1
        if kind in (DATE, NEWDATE):
            return values.date(self._zero_dates), _OID_DATE, -1
        if kind == DATETIME:
            return values.datetime(metadata[0], self._zero_dates), _OID_TIMESTAMP, metadata[0]
        if kind == TIMESTAMP:
            return values.timestamp(metadata[0], self._zero_dates), _OID_TIMESTAMPTZ, metadata[0]
        if kind == TIME:
            return values.time(metadata[0]), _OID_INTERVAL, -1
        if kind == JSON:
            return values.json_text(metadata[0], json_text), _OID_JSON, -1
        return None

    def _character(self, column: str, kind: int, metadata: bytes) -> tuple[Decoder, int, int]:
        charset = self._charset(column, self._charsets)
        if kind in (VARCHAR, VAR_STRING):
            longest = int.from_bytes(metadata, "little")
            length_bytes = 2 if longest > 255 else 1
        elif kind == STRING:
            longest = metadata[1] | ((metadata[0] & 0x30) ^ 0x30) << 4
            length_bytes = 2 if longest > 255 else 1
        else:
            longest, length_bytes = 0, metadata[0]
        if charset == BINARY:
            return values.binary(length_bytes, padded_to=longest if kind == STRING else 0), _OID_BYTEA, -1
        oid = _OID_VARCHAR if longest else _OID_TEXT
        return values.text(length_bytes, self._text_decoder(column, charset)), oid, -1

    def _labels(self, column: str, kind: int, size: int) -> Decoder:
        charset = self._charset(column, self._label_charsets)
        decode = self._text_decoder(column, charset) if charset != BINARY else bytes.decode
        labels = [decode(label) for label in next(self._enums if kind == ENUM else self._sets, ())]
        return values.enum(size, labels) if kind == ENUM else values.label_set(size, labels)

    def _charset(self, column: str, numbers: Iterator[int]) -> str:
        number = next(numbers, -1)
        charset = self._of_collation.get(number)
        if charset is None:
            raise self._unfit(column, f"has collation {number}, which the server does not list", "upgrade the server")
        return charset

    def _text_decoder(self, column: str, charset: str) -> Callable[[bytes], str]:
        decode = text_decoder(charset)
        if decode is None:
            raise self._unfit(
                column,
                f"has the character set {charset}, whose conversion to Unicode is not known to be exact here",
                f"convert the column to utf8mb4 (known are {', '.join(sorted(SUPPORTED))})",
            )
        return decode

    def _unfit(self, column: str, reason: str, mend: str) -> SourceUnfit:
        return SourceUnfit(thing=f"column {column} of {self._table}", reason=reason, mend=mend)
