"""A thread that writes to a database until told to stop, for tests that kill what follows it."""

import random
import threading

import psycopg


class SeededWriters:
    """Transactions of 1 to `most` calls of `write(connection)` each, `pause_s` apart, chosen by `chance`.

    `count`, the number of writes, is the load that really happened.
    """

    def __init__(self, dsn, seed, *, most, pause_s):
        self.chance, self.count = random.Random(seed), 0
        self._dsn, self._most, self._pause_s = dsn, most, pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self._stop.is_set():
                with connection.transaction():
                    for _ in range(self.chance.randint(1, self._most)):
                        self.write(connection)
                self._stop.wait(self._pause_s)

    def write(self, connection):
        raise NotImplementedError
