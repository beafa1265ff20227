"""Tombstones whose delete is not there: what compaction leaves of a row that was deleted. Pure.

A connector writes a delete and its tombstone next to each other. Compaction removes the delete, because the tombstone
is the newer record of its key, and nothing else says that a row is gone that the target still has.
"""

from cdc.changelog.debezium_topics.options import Place


class DeletesSeen:
    """Tell it every record of the tables' topics, partition by partition in the order of their offsets."""

    def __init__(self) -> None:
        self._goes_on_at: dict[Place, int] = {}
        self._deleted: dict[Place, bytes | None] = {}

    def begin(self, place: Place, offset: int) -> None:
        """A partition that goes on at `offset`: what lies before was read by another. One that begins needs no call."""
        self._goes_on_at[place] = offset

    def saw(self, place: Place, key: bytes | None, *, is_delete: bool) -> None:
        """Any record that is no tombstone."""
        self._deleted[place] = key if is_delete else None

    def is_orphan(self, place: Place, offset: int, key: bytes) -> bool:
        """Whether the tombstone at `offset` follows something else than the delete of its key."""
        if place in self._deleted:
            return self._deleted[place] != key
        return offset > self._goes_on_at.get(place, offset)
