"""Rows of `strangler.message` read as the logical messages that they stand for, on the wire. Pure.

What comes behind this sees a message as a newer server sends it, so nothing else knows that there are two ways.
"""

import struct
from collections.abc import Sequence
from typing import Final

from cdc.errors import DecodeError
from cdc.events import TableName
from cdc.pgoutput import decode
from cdc.pgoutput_messages import Insert, RelationMessage, Update

MESSAGE_TABLE: Final = TableName(schema="strangler", name="message")
"""Its one row is the newest marker, where a marker cannot be a logical message. See `cdc.markers`."""
_OID: Final = struct.Struct(">I")
_HEAD: Final = struct.Struct(">BQ")
_LENGTH: Final = struct.Struct(">I")
_RELATION, _STREAM_START, _STREAM_STOP = b"RSE"
_ROW_TAGS: Final = frozenset(b"IU")
_TRANSACTIONAL: Final = 1
_UNKNOWN_LSN: Final = 0
"""Where in the log a row lies is not sent; the position of its transaction is."""


class MarkerRows:
    """Of one connection. `is_known`: the table was described, which happens when its first row is sent; before that,
    messages that begin, commit or change rows may pass by unseen."""

    def __init__(self) -> None:
        self._columns: dict[bytes, Sequence[str]] = {}
        self._streamed = False

    @property
    def is_known(self) -> bool:
        return bool(self._columns)

    def read(self, payload: bytes | memoryview) -> bytes | memoryview:
        """The payload itself, or the logical message that it stands for. Raises `DecodeError`."""
        tag = payload[0] if payload else 0
        if tag in _ROW_TAGS:
            at = 5 if self._streamed else 1
            columns = self._columns.get(bytes(payload[at : at + 4])) if self._columns else None
            return payload if columns is None else self._message(bytes(payload), columns)
        if tag == _RELATION:
            self._describe(bytes(payload))
        elif tag in (_STREAM_START, _STREAM_STOP):
            self._streamed = tag == _STREAM_START
        return payload

    def read_all(self, payloads: Sequence[bytes]) -> Sequence[bytes]:
        """The same for each of many."""
        return [bytes(self.read(payload)) for payload in payloads] if self._columns else payloads

    def _describe(self, payload: bytes) -> None:
        described = decode(payload, streamed=self._streamed)
        assert isinstance(described, RelationMessage)
        relation = described.relation
        key = _OID.pack(relation.oid)
        self._columns.pop(key, None)
        if relation.table == MESSAGE_TABLE:
            self._columns[key] = [column.name for column in relation.columns]

    def _message(self, payload: bytes, columns: Sequence[str]) -> bytes:
        change = decode(payload, streamed=self._streamed)
        assert isinstance(change, Insert | Update)
        row = dict(zip(columns, change.new, strict=False))
        prefix, content = (_text(row.get(name)) for name in ("prefix", "content"))
        head = b"M" + (payload[1:5] if self._streamed else b"") + _HEAD.pack(_TRANSACTIONAL, _UNKNOWN_LSN)
        return head + prefix + b"\0" + _LENGTH.pack(len(content)) + content


def _text(value: object) -> bytes:
    if not isinstance(value, str) or "\0" in value:
        raise DecodeError(
            thing=f"row of {MESSAGE_TABLE}",
            reason="does not hold a marker: it was written or altered by somebody else",
            mend=f"leave {MESSAGE_TABLE} alone; provision the stream again, which makes it anew once it was dropped",
        )
    return value.encode()
