"""Seeded writes of every kind that a stream finds hard, next to pgbench, through any number of lost connections."""

import random
import subprocess
import threading
from collections.abc import Callable, Mapping
from typing import Final

import psycopg

from benchmarks.crash.clusters import die_with_parent
from sandbox.postgres import postgres_bin

DDL: Final = """
CREATE TABLE doc (
    id bigint PRIMARY KEY, slot text UNIQUE, title text NOT NULL, body text, facts jsonb,
    amount numeric NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE doc ALTER body SET STORAGE EXTERNAL;
CREATE TABLE line (
    doc_id bigint NOT NULL REFERENCES doc ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE, no int NOT NULL,
    qty numeric NOT NULL, note text, PRIMARY KEY (doc_id, no)
);
CREATE TABLE entry (id bigint PRIMARY KEY, doc_id bigint NOT NULL, delta bigint NOT NULL, txid xid8 NOT NULL);
"""

TABLES: Final[Mapping[str, str]] = {
    "doc": "id slot title body facts amount at",
    "line": "doc_id no qty note",
    "entry": "id doc_id delta txid",
    "pgbench_branches": "bid bbalance filler",
    "pgbench_tellers": "tid bid tbalance filler",
    "pgbench_accounts": "aid bid abalance filler",
}
"""Every moved table and its columns. pgbench's history has no key: it stays, and its writes are foreign traffic."""

_SEED: Final = """
INSERT INTO doc SELECT g, 'slot' || g, 't' || g, repeat(md5(g::text), 200), jsonb_build_object('n', g), g / 7.0
  FROM generate_series(1, 1500) g;
INSERT INTO line SELECT g % 1500 + 1, g / 1500, g, 'n' || g FROM generate_series(1, 4499) g;
"""

_DOCS: Final = 2000


def prepare(source_url: str, target_url: str, *, accounts: int) -> None:
    """Tables on both sides, rows on the source's. `accounts`: up to 100,000 of pgbench's."""
    pgbench = str(postgres_bin() / "pgbench")
    for url, steps in ((source_url, "dtgp"), (target_url, "dtp")):
        subprocess.run([pgbench, "-i", "-q", "-I", steps, "-s", "1", url], check=True, capture_output=True)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP TABLE pgbench_history" if url == target_url else "SELECT 1")
            connection.execute(DDL.encode())
    with psycopg.connect(source_url) as connection:
        connection.execute(_SEED.encode())
        connection.execute("DELETE FROM pgbench_accounts WHERE aid > %s", (accounts,))


class Load:
    """Writers of one round, as a context manager: a thread of ours and a pgbench, both from the round's seed."""

    def __init__(self, url: str, seed: int, *, first_id: int) -> None:
        self._url, self._random = url, random.Random(seed)
        self._next_id, self._seed = first_id, seed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._pgbench: subprocess.Popen[bytes] | None = None
        self.committed = 0
        self.lost = 0

    def __enter__(self) -> "Load":
        self._start_pgbench()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._pgbench is not None:
            self._pgbench.kill()
            self._pgbench.wait()

    @property
    def next_id(self) -> int:
        return self._next_id

    def revive(self) -> None:
        """pgbench gives up when its server goes; the next one begins from another seed of the same round."""
        if self._pgbench is not None and self._pgbench.poll() is not None:
            self._seed += 1
            self._start_pgbench()

    def _start_pgbench(self) -> None:
        self._pgbench = subprocess.Popen(
            [
                *(str(postgres_bin() / "pgbench"), "-n", "-c", "2", "-R", "150", "-T", "600"),
                *("--random-seed", str(self._seed % 2**31), self._url),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call
        )

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, connect_timeout=2) as connection:
                    while not self._stop.is_set():
                        self._transaction(connection)
                        self.committed += 1
                        self._stop.wait(0.002)
            except psycopg.Error as error:
                self.lost += 1
                if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | psycopg.IntegrityError):
                    raise
                self._stop.wait(0.05)

    def _transaction(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        acts = self._random.choices(_ACTS, weights=_WEIGHTS, k=self._random.randint(1, 4))
        with connection.transaction():
            for act in acts:
                if self._random.random() < 0.15:
                    with connection.transaction(force_rollback=self._random.random() < 0.7):
                        act(self, connection)
                else:
                    act(self, connection)

    def _any(self) -> int:
        return self._random.randint(1, _DOCS)

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def insert(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        slot = self._new_id()
        connection.execute(
            "WITH made AS (INSERT INTO doc VALUES (%(id)s, 'slot' || %(slot)s, %(title)s,"
            " repeat(md5(%(title)s), %(size)s), '{}', 1.50) ON CONFLICT DO NOTHING RETURNING id)"
            " INSERT INTO line SELECT id, no, qty, '' FROM made, (VALUES (1, 1.000), (2, 'NaN')) AS v (no, qty)",
            {
                "id": self._any() if self._random.random() < 0.7 else slot,
                "slot": slot,
                "title": f"it's \\ \t ü {slot}",
                "size": self._random.choice((0, 1, 300)),
            },
        )

    def update(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        """Leaves `body` alone: unchanged TOAST."""
        connection.execute(
            "UPDATE doc SET title = %s, amount = amount + 1, at = clock_timestamp() WHERE id = %s",
            (f"u{self._random.random()}", self._any()),
        )

    def rewrite(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        connection.execute(
            "UPDATE doc SET body = repeat(md5(%s), 250) WHERE id = %s", (f"{self._random.random()}", self._any())
        )

    def move_key(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        """A new primary key with an unchanged TOASTed body; the lines follow by cascade."""
        old, new = self._any(), self._any()
        connection.execute(
            "UPDATE doc SET id = %(new)s WHERE id = %(old)s AND NOT EXISTS (SELECT FROM doc WHERE id = %(new)s)",
            {"old": old, "new": new},
        )

    def swap_slots(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        """A unique value goes to another row in the same transaction."""
        one, other = self._any(), self._any()
        row = connection.execute("SELECT slot FROM doc WHERE id = %s FOR UPDATE", (one,)).fetchone()
        if row is not None and one != other:
            connection.execute("UPDATE doc SET slot = NULL WHERE id = %s", (one,))
            connection.execute("UPDATE doc SET slot = %s WHERE id = %s", (row[0], other))

    def delete(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        connection.execute("DELETE FROM doc WHERE id = %s", (self._any(),))

    def lines(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        number = self._any()
        connection.execute(
            "INSERT INTO line SELECT id, 10, 1, 'x' FROM doc WHERE id = %s"
            " ON CONFLICT (doc_id, no) DO UPDATE SET qty = line.qty + 1",
            (number,),
        )
        connection.execute("UPDATE line SET no = no + 1 WHERE doc_id = %s AND no > 2 AND no < 5", (number + 1,))

    def bulk(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        begin = self._any()
        connection.execute("UPDATE line SET qty = qty + 1 WHERE doc_id BETWEEN %s AND %s", (begin, begin + 80))

    def enter(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        connection.execute(
            "INSERT INTO entry VALUES (%s, %s, %s, pg_current_xact_id())",
            (self._new_id(), self._any(), self._random.randint(-9, 9)),
        )

    def empty(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        connection.execute("TRUNCATE entry")


_Act = Callable[[Load, psycopg.Connection[tuple[object, ...]]], None]

_CHOICES: Final[Mapping[_Act, int]] = {
    Load.insert: 12,
    Load.update: 25,
    Load.rewrite: 8,
    Load.move_key: 10,
    Load.swap_slots: 8,
    Load.delete: 5,
    Load.lines: 12,
    Load.bulk: 4,
    Load.enter: 25,
    Load.empty: 1,
}
_ACTS: Final = list(_CHOICES)
_WEIGHTS: Final = list(_CHOICES.values())
