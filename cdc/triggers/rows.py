"""Rows of the change table → transactions. Pure."""

import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Literal, cast

from cdc.errors import DecodeError
from cdc.events import Change, Column, Message, Relation, Row, RowChange, Transaction, Truncate
from cdc.lsn import Lsn


class ChangeReader:
    """Makes transactions, and one `Relation` object for all rows that describe their table alike."""

    def __init__(self) -> None:
        self._relations: dict[tuple[int, str], Relation] = {}

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
        relation = self._relation(row)
        if op == "t":
            return Truncate(relations=(relation,))
        old, new = _image(row["old"], relation), _image(row["new"], relation)
        if op not in ("c", "u", "d") or (new is None) is not (op == "d") or (old is None) is not (op == "c"):
            raise _damaged(f"operation {op!r} at position {lsn} does not have its images")
        return RowChange(relation=relation, op=cast(Literal["c", "u", "d"], op), new=new, old=old)

    def _relation(self, row: Mapping[str, Any]) -> Relation:
        columns = row["columns"]
        key = (int(row["relation"]), json.dumps(columns))
        known = self._relations.get(key)
        if known is None:
            known = self._relations[key] = Relation(
                oid=key[0],
                schema=row["table_schema"],
                name=row["table_name"],
                columns=tuple(
                    Column(name=name, type_oid=type_oid, type_modifier=modifier, in_key=in_key)
                    for name, type_oid, modifier, in_key in columns
                ),
            )
        return known


def _image(values: list[str | None] | None, relation: Relation) -> Row | None:
    if values is None:
        return None
    if len(values) != len(relation.columns):
        raise _damaged(f"{len(values)} values for {len(relation.columns)} columns of {relation.name}")
    return tuple(values)


def _damaged(reason: str) -> DecodeError:
    return DecodeError(
        thing="strangler.captured_change",
        reason=reason,
        mend="somebody else wrote to it: uninstall the stream's triggers, install them and copy the tables anew",
    )
