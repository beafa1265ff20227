"""Which tokens the parked events have left. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping

from cdc.events import TableName
from cdc.parking.footprint import Token, tables_of


class ParkedIndex:
    """Remembers for each token the earliest event that left it; made anew from the store when some are gone.

    Events are numbered in stream order, so that one may be found refused after a later one was parked.
    """

    def __init__(self) -> None:
        self._left: dict[Token, int] = {}
        self._tables: Counter[TableName] = Counter()
        self.events = 0
        self.refused = 0

    @property
    def tables(self) -> Mapping[TableName, int]:
        """Target tables that parked events have to do with."""
        return self._tables

    def add(self, number: int, leaves: Iterable[Token], *, refused: bool) -> None:
        """Event `number` is parked."""
        self.leave(number, leaves)
        self.events += 1
        self.refused += refused

    def leave(self, number: int, leaves: Iterable[Token]) -> None:
        """What is known of it besides."""
        tokens = [*leaves]
        for token in tokens:
            self._left[token] = min(number, self._left.get(token, number))
        self._tables.update(tables_of(tokens))

    def holds(self, number: int, asks: Iterable[Token]) -> bool:
        """Whether an event before `number` left any of `asks`."""
        left = self._left
        return any(token in left and left[token] < number for token in asks)
