"""Small transactions that came one after the other → the rows of all of them, in order. Pure.

What an event means depends on where its transaction ends only while tables are copied, or where several source tables
fill one target row. Everywhere else the events of many small transactions are mapped like those of one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from cdc.events import Relation, RowChange, Transaction
from cdc.insert_run import MOST_RUN_BYTES, InsertRun
from cdc.sent_changes import INSERT_TAG, SentChanges, decoded_change

FEWEST_TOGETHER: Final = 32
"""Inserts of one table, of so many transactions, that are worth a run."""


class SentPiece(NamedTuple):
    """Messages and the table of each. `xids`: the transactions that end in it."""

    messages: list[bytes]
    relations: list[Relation]
    xids: list[int]


def in_stretches(transactions: Iterable[Transaction]) -> Iterator[tuple[bool, Sequence[Transaction]]]:
    """Neighbours that are alike: whether all have `SentChanges`, and they."""
    for is_sent, stretch in groupby(transactions, lambda one: type(one.changes) is SentChanges):
        yield is_sent, list(stretch)


def sent_pieces(transactions: Iterable[Transaction], most_events: int) -> Iterator[SentPiece]:
    """Whole transactions, each with `SentChanges`, up to the one that reaches `most_events`."""
    piece = SentPiece([], [], [])
    for one in transactions:
        changes = one.changes
        assert isinstance(changes, SentChanges)
        piece.messages.extend(changes.messages)
        piece.relations.extend(changes.relations)
        piece.xids.append(one.xid)
        if len(piece.messages) >= most_events:
            yield piece
            piece = SentPiece([], [], [])
    if piece.messages:
        yield piece


def may_be_run(transactions: Iterable[Transaction]) -> bool:
    """Whether there are as many inserts as a run needs, of whatever tables."""
    inserts = 0
    for one in transactions:
        if type(one.changes) is SentChanges:
            inserts += sum([message[0] == INSERT_TAG for message in one.changes.messages])
            if inserts >= FEWEST_TOGETHER:
                return True
    return False


def without_runs(piece: SentPiece, takes: Callable[[Relation], bool]) -> tuple[list[InsertRun], list[RowChange]]:
    """Runs of the tables of which nothing but inserts came, enough of them, and which `takes`; all other changes."""
    tables = {id(each): each for each in piece.relations}
    # The same table may have had another form a moment ago: its rows must stay in order.
    forms = Counter(each.oid for each in tables.values())
    found = Counter(map(id, piece.relations))
    messages = zip(piece.messages, piece.relations, strict=True)
    spoilt = {id(each) for message, each in messages if message[0] != INSERT_TAG}
    runs: dict[int, tuple[Relation, list[bytes]]] = {
        key: (each, [])
        for key, each in tables.items()
        if found[key] >= FEWEST_TOGETHER and key not in spoilt and forms[each.oid] == 1 and takes(each)
    }
    if not runs:
        return [], list(map(decoded_change, piece.messages, piece.relations))
    rest = []
    for message, relation in zip(piece.messages, piece.relations, strict=True):
        if (run := runs.get(id(relation))) is not None:
            run[1].append(message)
        else:
            rest.append(decoded_change(message, relation))
    return [InsertRun.of(relation, part) for relation, messages in runs.values() for part in _parts(messages)], rest


def _parts(messages: list[bytes]) -> Iterator[list[bytes]]:
    part, size = list[bytes](), 0
    for message in messages:
        part.append(message)
        size += len(message)
        if size >= MOST_RUN_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part
