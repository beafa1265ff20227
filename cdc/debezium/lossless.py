"""Transactions as JSON lines that lose nothing: our own form. Pure.

A `relation` line comes before the first event that names its number; then each transaction is a `begin` line, its
events, and a `commit` line. Values are PostgreSQL text forms or null; a column that was not sent because it is an
unchanged TOASTed value is named in `unchanged` and absent from the row.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from cdc.debezium.codec import dump
from cdc.errors import DecodeError
from cdc.events import UNCHANGED, Change, Column, Message, Relation, Row, RowChange, Transaction, Truncate
from cdc.lsn import Lsn

_Fields = Mapping[str, Any]


class LosslessWriter:
    """Lines of one reader's output, in order: relations are numbered as they come."""

    def __init__(self) -> None:
        self._numbers: dict[Relation, int] = {}

    def lines(self, transaction: Transaction) -> Iterator[str]:
        """Without line ends."""
        yield dump(
            {
                "kind": "begin",
                "xid": transaction.xid,
                "commit_lsn": transaction.commit_lsn,
                "end_lsn": transaction.end_lsn,
                "commit_time_us": transaction.commit_time_us,
                "origin": transaction.origin,
            }
        )
        for change in transaction.changes:
            yield from self._change(change)
        yield dump({"kind": "commit", "commit_lsn": transaction.commit_lsn})

    def _change(self, change: Change) -> Iterator[str]:
        if isinstance(change, Message):
            content = base64.b64encode(change.content).decode()
            fields = {"kind": "message", "prefix": change.prefix, "content": content, "lsn": change.lsn}
            yield dump({**fields, "transactional": change.transactional})
            return
        relations = change.relations if isinstance(change, Truncate) else (change.relation,)
        for relation in relations:
            if relation not in self._numbers:
                yield self._relation(relation)
        numbers = [self._numbers[relation] for relation in relations]
        if isinstance(change, Truncate):
            flags = {"cascade": change.cascade, "restart_identity": change.restart_identity}
            yield dump({"kind": "truncate", "relations": numbers, **flags})
            return
        head = {"kind": "row", "relation": numbers[0], "table": f"{change.relation.schema}.{change.relation.name}"}
        old = {} if change.old is None else {"old": _row(change.relation, change.old), "old_is_key": change.old_is_key}
        new = {} if change.new is None else {"new": _row(change.relation, change.new)}
        yield dump({**head, "op": change.op, **old, **new})

    def _relation(self, relation: Relation) -> str:
        number = self._numbers[relation] = len(self._numbers)
        columns = [[each.name, each.type_oid, each.type_modifier, each.in_key] for each in relation.columns]
        head = {"kind": "relation", "number": number, "oid": relation.oid, "schema": relation.schema}
        return dump({**head, "name": relation.name, "replica_identity": relation.replica_identity, "columns": columns})


class LosslessReader:
    """The inverse: `feed` every line, in order. Raises `DecodeError` for a line that is not of this form."""

    def __init__(self) -> None:
        self._relations: dict[int, Relation] = {}
        self._begin: _Fields | None = None
        self._changes: list[Change] = []

    def feed(self, line: str) -> Transaction | None:
        """The transaction that this line ends."""
        try:
            return self._take(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DecodeError(
                thing="a line of the lossless form",
                reason=f"{type(error).__name__}: {error}",
                mend="feed all lines of one output, from its first, in order",
            ) from None

    def _take(self, fields: _Fields) -> Transaction | None:
        kind = fields["kind"]
        if kind == "relation":
            self._relations[fields["number"]] = _read_relation(fields)
        elif kind == "begin":
            self._begin, self._changes = fields, []
        elif kind == "commit":
            return self._end()
        elif self._begin is None:
            raise ValueError("an event outside of a transaction")
        else:
            self._changes.append(self._read_change(kind, fields))
        return None

    def _end(self) -> Transaction:
        if self._begin is None:
            raise ValueError("a commit without a begin")
        begin, self._begin = self._begin, None
        return Transaction(
            xid=begin["xid"],
            commit_lsn=Lsn(begin["commit_lsn"]),
            end_lsn=Lsn(begin["end_lsn"]),
            commit_time_us=begin["commit_time_us"],
            origin=begin["origin"],
            changes=tuple(self._changes),
        )

    def _read_change(self, kind: str, fields: _Fields) -> Change:
        if kind == "message":
            return Message(
                prefix=fields["prefix"],
                content=base64.b64decode(fields["content"]),
                transactional=fields["transactional"],
                lsn=Lsn(fields["lsn"]),
            )
        if kind == "truncate":
            relations = tuple(self._relations[number] for number in fields["relations"])
            return Truncate(relations=relations, cascade=fields["cascade"], restart_identity=fields["restart_identity"])
        if kind != "row":
            raise ValueError(f"an event of kind {kind!r}")
        relation = self._relations[fields["relation"]]
        return RowChange(
            relation=relation,
            op=fields["op"],
            new=_read_row(relation, fields.get("new")),
            old=_read_row(relation, fields.get("old")),
            old_is_key=fields.get("old_is_key", False),
        )


def _row(relation: Relation, row: Row) -> dict[str, Any]:
    named = {column.name: value for column, value in zip(relation.columns, row, strict=True)}
    unchanged = [name for name, value in named.items() if value is UNCHANGED]
    values = {name: value for name, value in named.items() if value is not UNCHANGED}
    return {"values": values, "unchanged": unchanged} if unchanged else {"values": values}


def _read_row(relation: Relation, fields: _Fields | None) -> Row | None:
    if fields is None:
        return None
    values, unchanged = fields["values"], fields.get("unchanged", ())
    return tuple(UNCHANGED if column.name in unchanged else values[column.name] for column in relation.columns)


def _read_relation(fields: _Fields) -> Relation:
    return Relation(
        oid=fields["oid"],
        schema=fields["schema"],
        name=fields["name"],
        replica_identity=fields["replica_identity"],
        columns=tuple(
            Column(name=name, type_oid=type_oid, type_modifier=modifier, in_key=in_key)
            for name, type_oid, modifier, in_key in fields["columns"]
        ),
    )
