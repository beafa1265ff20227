"""Rows of the change table → transactions. Pure."""

import json
import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final, Literal, cast

from cdc.errors import DecodeError
from cdc.events import Change, Column, Message, Relation, Row, RowChange, Transaction, Truncate
from cdc.lsn import Lsn

_FIELD: Final = re.compile(
    r"""
    "(?P<quoted> (?: [^"\\]+ | "" | \\. )* )" | (?P<plain> [^,"]* )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED: Final = re.compile(r'""|\\.', re.DOTALL)


class ChangeReader:
    """Makes transactions, and one `Relation` object for all rows that describe their table alike."""

    def __init__(self) -> None:
        self._relations: dict[tuple[int, str], tuple[Relation, frozenset[int]]] = {}

    def transactions(self, rows: Iterable[Mapping[str, Any]]) -> list[Transaction]:
        """`rows` in order of position and sequence number. Raises `DecodeError` when one is not what we write."""
        return [self._transaction(position, list(group)) for position, group in groupby(rows, lambda r: r["position"])]

    def _transaction(self, position: int, rows: list[Mapping[str, Any]]) -> Transaction:
        lsn = Lsn(position)
        changes: list[Change] = []
        for row in rows:
            change = self._change(row, lsn)
            last = changes[-1] if changes else None
            if isinstance(change, Truncate) and isinstance(last, Truncate):
                changes[-1] = Truncate(relations=(*last.relations, *change.relations))
            else:
                changes.append(change)
        return Transaction(
            xid=int(rows[0]["xid"]),
            commit_lsn=lsn,
            end_lsn=Lsn(position + 1),
            commit_time_us=max(int(row["at_us"]) for row in rows),
            changes=tuple(changes),
        )

    def _change(self, row: Mapping[str, Any], lsn: Lsn) -> Change:
        op = row["op"]
        if op == "m":
            return Message(prefix=row["prefix"], content=bytes(row["content"]), transactional=True, lsn=lsn)
        relation, generated = self._relation(row)
        if op == "t":
            return Truncate(relations=(relation,))
        old, new = (_image(row[image], relation, generated) for image in ("old", "new"))
        if op not in ("c", "u", "d") or (new is None) is not (op == "d") or (old is None) is not (op == "c"):
            raise _damaged(f"operation {op!r} at position {lsn} does not have its images")
        return RowChange(relation=relation, op=cast(Literal["c", "u", "d"], op), new=new, old=old)

    def _relation(self, row: Mapping[str, Any]) -> tuple[Relation, frozenset[int]]:
        """With the places of its generated columns, which are left out."""
        columns = row["columns"]
        key = (int(row["relation"]), json.dumps(columns))
        known = self._relations.get(key)
        if known is None:
            relation = Relation(
                oid=key[0],
                schema=row["table_schema"],
                name=row["table_name"],
                columns=tuple(
                    Column(name=name, type_oid=type_oid, type_modifier=modifier, in_key=in_key)
                    for name, type_oid, modifier, in_key, is_generated in columns
                    if not is_generated
                ),
            )
            known = self._relations[key] = relation, frozenset(n for n, column in enumerate(columns) if column[4])
        return known


def read_record(text: str) -> list[str | None]:
    """The fields of a row's text form: nothing is NULL, quotes and backslashes are doubled. Raises `DecodeError`."""
    fields: list[str | None] = []
    at, end = 1, len(text) - 1
    if end < 1 or text[0] != "(" or text[end] != ")":
        raise _damaged("a row's text has no parentheses")
    while True:
        match = _FIELD.match(text, at, end)
        assert match is not None
        quoted, plain = match["quoted"], match["plain"]
        if quoted is not None:
            fields.append(_ESCAPED.sub(lambda found: found[0][1], quoted))
        else:
            fields.append(plain or None)
        at = match.end()
        if at == end:
            return fields
        if text[at] != ",":
            raise _damaged(f"a row's text has {text[at]!r} where a comma belongs")
        at += 1


def _image(text: str | None, relation: Relation, generated: frozenset[int]) -> Row | None:
    if text is None:
        return None
    values = [value for number, value in enumerate(read_record(text)) if number not in generated]
    if len(values) != len(relation.columns):
        raise _damaged(f"{len(values)} values for {len(relation.columns)} columns of {relation.name}")
    return tuple(values)


def _damaged(reason: str) -> DecodeError:
    return DecodeError(
        thing="strangler.captured_change",
        reason=reason,
        mend="somebody else wrote to it: uninstall the stream's triggers, install them and copy the tables anew",
    )
