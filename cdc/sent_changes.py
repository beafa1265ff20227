"""The changes of a small transaction, kept as the server sent them. Pure.

Most transactions change a row or a few. To decode them where they are only passed on costs more than everything else
that is done to them, so their messages travel as bytes through the change log and are decoded when somebody looks.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from cdc.events import Change, Iterated, Relation, RowChange
from cdc.insert_run import SHORTEST_RUN
from cdc.pgoutput import decode, decode_insert, decode_update
from cdc.pgoutput_messages import Delete

MOST_SENT_CHANGES: Final = SHORTEST_RUN - 1
"""More inserts than these are worth a run."""
MOST_SENT_BYTES: Final = 64 << 10

INSERT_TAG, UPDATE_TAG = ord("I"), ord("U")


class SentChanges(Iterated[Change]):
    """`messages`: inserts, updates and deletes, each a whole protocol message that was not streamed. `relations`: the
    table of each, as it was then.

    Iterating decodes them, again and again, and raises `DecodeError` for bytes that are no such message.
    """

    __slots__ = ("messages", "relations")

    def __init__(self, messages: Sequence[bytes], relations: Sequence[Relation]) -> None:
        self.messages, self.relations = messages, relations

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> Iterator[RowChange]:
        return map(decoded_change, self.messages, self.relations)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SentChanges | tuple) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"SentChanges({', '.join(map(repr, self))})"


def decoded_change(message: bytes, relation: Relation) -> RowChange:
    """One message. Raises `DecodeError`."""
    tag = message[0]
    if tag == INSERT_TAG:
        return RowChange(relation=relation, op="c", new=decode_insert(message)[1])
    if tag == UPDATE_TAG:
        _, new, old, old_is_key = decode_update(message)
        return RowChange(relation=relation, op="u", new=new, old=old, old_is_key=old_is_key)
    deleted = decode(message)
    assert isinstance(deleted, Delete), "nothing else is kept as it was sent"
    return RowChange(relation=relation, op="d", new=None, old=deleted.old, old_is_key=deleted.old_is_key)
