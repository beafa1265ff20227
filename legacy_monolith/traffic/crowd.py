"""The users of a run, and who of them is ready. Single-threaded; time is passed in."""

import heapq
from collections.abc import Sequence
from random import Random

from legacy_monolith.traffic.actions import OwnedProduct, User


class Crowd:
    """Hands out users that have thought long enough; when none is left, a new one comes in from the street."""

    def __init__(self, *, size: int, customers: Sequence[int], owned: Sequence[OwnedProduct], random: Random) -> None:
        self._customers = list(customers) or [0]
        random.shuffle(self._customers)
        self._ready: list[tuple[float, int, User]] = []
        self._count = 0
        users = [self._newcomer() for _ in range(size)]
        for number, product in enumerate(owned):
            users[number % size].products.append(product)
        for user in users:
            self.give_back(user, ready_at=0.0)

    def take(self, now: float) -> User:
        """A user who has no request in flight and has thought long enough."""
        if self._ready and self._ready[0][0] <= now:
            return heapq.heappop(self._ready)[2]
        return self._newcomer()

    def give_back(self, user: User, *, ready_at: float) -> None:
        """The user's request has finished; the next one may start at that moment."""
        heapq.heappush(self._ready, (ready_at, user.number, user))

    def _newcomer(self) -> User:
        self._count += 1
        return User(number=self._count, customer_id=self._customers[self._count % len(self._customers)])
