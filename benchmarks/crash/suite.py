"""One suite: two servers, the real stream worker, load, and kills of any of them from one seed.

Every round draws everything from `(seed, number of the round)`, so a round is repeated by naming both. The moments at
which processes meet are the machine's own: a seed repeats what was done, not the interleaving.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg

from benchmarks.crash.clusters import Cluster, die_with_parent
from benchmarks.crash.compare import compare, row_count
from benchmarks.crash.errors import NotCaughtUp
from benchmarks.crash.load import TABLES, Load, prepare
from cdc.copy_requests import copy_progress, request_copy
from cdc.events import TableName
from cdc.link import stream_name
from cdc.positions import emit_barrier, start_ledger, wait_applied
from cdc.provision import provision_source, provision_target
from sandbox.kafka import KafkaCluster, start_kafka
from sandbox.ports import free_port
from sandbox.supervision import Stack
from strangler import failpoints
from strangler.errors import StranglerError

MOVE: Final = "crash"
FORWARD: Final = stream_name(MOVE, "forward")
REVERSE: Final = stream_name(MOVE, "reverse")

FAILPOINTS: Final = (
    "cdc.copy.chunk_read",
    "cdc.apply.before_commit",
    "cdc.apply.after_commit",
    "cdc.capture.after_append",
)
_ROUNDS_WHILE_COPYING: Final = 6
"""Kills that do not wait for the copy; every later one does, and is followed by a comparison."""
_FAILPOINT_S: Final = 5.0
_CAUGHT_UP_S: Final = 120.0
_LOG_LINES: Final = 20

_CHOICES: Final = {
    "worker": 34,
    "worker at a failpoint": 16,
    "target server": 12,
    "source server": 12,
    "target server, immediate": 5,
    "source server, immediate": 5,
    "walsender": 6,
    "apply session": 5,
    "worker and target server": 3,
    "worker and source server": 2,
}
_BROKER_CHOICES: Final = {**_CHOICES, "broker": 20, "worker and broker": 5, "target server and broker": 5}


@dataclass(kw_only=True, slots=True)
class CrashCounts:
    """What a run did. `seconds`: wall time."""

    kills: Counter[str] = field(default_factory=Counter)
    catch_up_s: list[float] = field(default_factory=list)
    transactions: int = 0
    connections_lost: int = 0
    worker_exits: int = 0
    while_copying: int = 0
    """Kills after whose catch-up the copy still ran: nothing to compare yet."""
    rows: int = 0
    seconds: float = 0.0

    @property
    def total(self) -> int:
        return self.kills.total()


class CrashSuite:
    """Use as a context manager; everything it starts ends with it. `folder` must be reachable for the server's user.

    `kafka`: the change log is on an Apache Kafka broker, which is one of the victims. `accounts`: rows of the largest
    table; with many, most of the first kills fall into its copy.
    """

    def __init__(
        self, folder: Path, seed: int, say: Callable[[str], None], *, kafka: bool = False, accounts: int = 100_000
    ) -> None:
        self._folder, self._seed, self._say = folder, seed, say
        self._accounts = accounts
        self._choices = _BROKER_CHOICES if kafka else _CHOICES
        self._failpoints = (*FAILPOINTS, "cdc.kafka.before_end") if kafka else FAILPOINTS
        self._stack = Stack() if kafka else None
        self._broker: KafkaCluster | None = None
        self._source, self._target = (Cluster(folder, name, free_port()) for name in ("source", "target"))
        self._log = folder / "worker.log"
        self._config = folder / "strangler.toml"
        self._worker: subprocess.Popen[bytes] | None = None
        self._next_id = 1_000_000
        self._rounds = 0
        self.counts = CrashCounts()

    def __enter__(self) -> "CrashSuite":
        try:
            for cluster in (self._source, self._target):
                cluster.start()
            if self._stack is not None:
                self._broker = start_kafka(self._stack.open())
            prepare(self._source.url, self._target.url, accounts=self._accounts)
            self._write_settings()
            self._provision()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        self._kill_worker()
        for cluster in (self._source, self._target):
            cluster.quit()
        if self._stack is not None:
            self._stack.close()

    def _write_settings(self) -> None:
        tables = "".join(
            f"  {table}: {{targets: {{{table}: {{{', '.join(f'{name}: {name}' for name in columns.split())}}}}}}}\n"
            for table, columns in TABLES.items()
        )
        (self._folder / "plan.yaml").write_text(
            f"move: {MOVE}\nservice: crash\nwhy: to be killed\ntables:\n{tables}"
            "routes:\n  - {id: none, kind: read, methods: [GET], path: /none}\nsticky: {header: x-id}\n"
        )
        self._config.write_text(
            f'[legacy]\ndatabase = "{self._source.url}"\nurl = "http://127.0.0.1:1"\n'
            f'[services.crash]\ndatabase = "{self._target.url}"\nurl = "http://127.0.0.1:2"\nplan = "plan.yaml"\n'
            f"[stream]\ncopy_chunk_rows = 1000\nbatch_events = 200\n{self._log_settings()}"
        )

    def _log_settings(self) -> str:
        if self._broker is None:
            return ""
        return f'log = "kafka"\n[stream.kafka]\nbootstrap = "{self._broker.bootstrap}"\ntimeout_s = 6\n'

    def _provision(self) -> None:
        tables = [TableName(name=name) for name in TABLES]
        for stream, source, target in (
            (FORWARD, self._source, self._target),
            (REVERSE, self._target, self._source),
        ):
            provision_target(target.url, stream)
            start_ledger(target.url, stream, provision_source(source.url, stream, tables))
        request_copy(self._target.url, FORWARD, tables)

    def round(self, number: int, victim: str | None = None) -> None:
        """Load, a kill, recovery, and the comparison. Raises what `benchmarks.crash.errors` has."""
        chance = random.Random(f"{self._seed}:{number}")
        victim_drawn = chance.choices(list(self._choices), weights=list(self._choices.values()))[0]
        victim = victim or victim_drawn
        where = f"seed {self._seed} round {number} ({victim})"
        point = chance.choice(self._failpoints if self._copying() else self._failpoints[1:])
        self._keep_worker(point if victim == "worker at a failpoint" else "")
        with Load(self._source.url, chance.randrange(2**31), first_id=self._next_id) as load:
            time.sleep(chance.uniform(0.05, 1.0))
            self._kill(victim)
            load.revive()
            time.sleep(chance.uniform(0.0, 0.4))
            self._keep_worker("")
        self._next_id = load.next_id
        self.counts.transactions += load.committed
        self.counts.connections_lost += load.lost
        self._wait_for_writers()
        self._rounds += 1
        waited_s = self._catch_up(where, copied=self._rounds > _ROUNDS_WHILE_COPYING)
        still_copying = self._copying()
        if still_copying:
            self.counts.while_copying += 1
        else:
            compare(self._source.url, self._target.url, where=where)
        self.counts.kills[victim if victim != "worker at a failpoint" else f"worker at {point}"] += 1
        self.counts.catch_up_s.append(waited_s)
        outcome = "copy goes on" if still_copying else "equal"
        self._say(f"{where}: {load.committed} transactions, caught up in {waited_s:.2f} s, {outcome}")

    def finish(self) -> None:
        """The copy has ended and nothing is left over."""
        self._catch_up(f"seed {self._seed} at the end", copied=True)
        compare(self._source.url, self._target.url, where=f"seed {self._seed} at the end")
        self.counts.rows = row_count(self._target.url)

    def _kill(self, victim: str) -> None:
        if "worker at" in victim:
            self._await_failpoint()
        elif "worker" in victim:
            self._kill_worker()
        cluster = self._source if "source" in victim else self._target if "target" in victim else None
        if cluster is not None:
            cluster.quit() if "immediate" in victim else cluster.kill()
            cluster.start()
        if "broker" in victim:
            self._restart_broker()
        if victim == "walsender":
            self._source.kill_backend("backend_type = 'walsender'")
            self._source.start()
        if victim == "apply session":
            self._target.kill_backend(f"application_name = '{FORWARD} apply'")
            self._target.start()

    def _restart_broker(self) -> None:
        assert self._stack is not None
        assert self._broker is not None
        (name,) = self._broker.programs
        self._stack.kill(name)
        self._stack.start(name, timeout_s=90)

    def _await_failpoint(self) -> None:
        """The worker kills itself when it gets there; one that does not in time is killed from outside."""
        assert self._worker is not None
        try:
            self._worker.wait(_FAILPOINT_S)
        except subprocess.TimeoutExpired:
            self._kill_worker()

    def _keep_worker(self, failpoint: str) -> None:
        """A running worker; one with a failpoint is a new process."""
        if failpoint:
            self._kill_worker()
        running = self._worker is not None and self._worker.poll() is None
        if running:
            return
        if self._worker is not None and self._worker.returncode not in (None, -signal.SIGKILL):
            self.counts.worker_exits += 1
            self._say(f"the worker ended by itself with {self._worker.returncode}")
        with self._log.open("ab") as log:
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "cli", "--config", str(self._config), "cdc", "stream", "crash"],
                env={**os.environ, failpoints.VARIABLE: failpoint},
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call
            )

    def _kill_worker(self) -> None:
        if self._worker is not None and self._worker.poll() is None:
            self._worker.kill()
            self._worker.wait()

    def _wait_for_writers(self) -> None:
        """A backend whose client is gone may still be in its last transaction; what it commits must count."""
        deadline = time.monotonic() + 30
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            " AND (application_name = 'pgbench' OR application_name = '')"
        )
        while time.monotonic() < deadline:
            try:
                with psycopg.connect(self._source.url, autocommit=True) as connection:
                    row = connection.execute(query.encode()).fetchone()
                    if row == (0,):
                        return
            except psycopg.OperationalError:
                self._source.start()
            time.sleep(0.02)

    def _last_words(self) -> str:
        """Our own lines: a client library's are many and say less."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in lines if " cdc." in line or "Error" in line][-_LOG_LINES:])

    def _copying(self) -> bool:
        return any(table.state != "done" for table in copy_progress(self._target.url, FORWARD))

    def _catch_up(self, where: str, *, copied: bool = False) -> float:
        """Until the copies are done and a barrier emitted now is applied; the seconds it took."""
        started = time.monotonic()
        problem = "no attempt"
        while time.monotonic() - started < _CAUGHT_UP_S:
            self._keep_worker("")
            try:
                wait_applied(self._target.url, FORWARD, emit_barrier(self._source.url, FORWARD, where), 5.0)
                if not copied or not self._copying():
                    return time.monotonic() - started
                problem = "a copy is not done"
            except StranglerError as error:
                problem = str(error)
            except psycopg.Error as error:
                problem = str(error)
            time.sleep(0.05)
        raise NotCaughtUp(
            thing=f"stream {FORWARD}",
            reason=f"{where}: {problem} after {_CAUGHT_UP_S:.0f} s; worker: {self._last_words()}",
            mend="repeat it with the seed and the round",
        )
