"""`ChangeLog` over Kafka."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from cdc.changelog.kafka.appender import Appender
from cdc.changelog.kafka.connection import delete_before
from cdc.changelog.kafka.journal import Journal
from cdc.changelog.kafka.names import Topics
from cdc.changelog.kafka.options import KafkaOptions
from cdc.changelog.kafka.session import ReadSession
from cdc.changelog.memory import position_expired
from cdc.changelog.port import ChangeLog
from cdc.debezium.catalog import TypeCatalog
from cdc.errors import LogInUse, LogNotFound
from cdc.events import TableName, Transaction
from cdc.lsn import ZERO, Lsn
from strangler.clock import Clock, SystemClock

_IDLE_SESSIONS: Final = 2


class KafkaChangeLog:
    """See `ChangeLog`. Nothing is opened before the first call.

    `start`, `append`, `trim` and `close` belong to one thread; `read` may be called from any. One appender: the newest
    one that called `start` or `append` has the log, the one before raises `LogInUse` at its next append. `keys`: the
    primary key of each table, which becomes the key of its records; their topics are made at the start. `debezium`:
    the source database's name and types, asked for when a topic is to be written in Debezium's form.

    Besides the port's errors: `BrokerUnreachable` (the next `start` begins anew, nothing is lost), `LogNotFound` for a
    `read_only` log without topics, `BrokerRefused`, `WrongCluster`, `LogUnfit`.
    """

    def __init__(
        self,
        options: KafkaOptions,
        *,
        stream: str,
        keys: Mapping[TableName, Sequence[str]] | None = None,
        read_only: bool = False,
        debezium: Callable[[], tuple[str, TypeCatalog]] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._options, self._stream, self._keys = options, stream, dict(keys or {})
        self._read_only, self._debezium = read_only, debezium
        self._clock = clock or SystemClock()
        self._appender: Appender | None = None
        self._idle: list[ReadSession] = []
        self._lock = threading.Lock()

    def start(self, position: Lsn) -> None:
        with self._appending() as appender:
            appender.start(position)

    def append(self, transactions: Sequence[Transaction]) -> None:
        with self._appending() as appender:
            last, fresh = appender.last_lsn, []
            for transaction in transactions:
                if transaction.commit_lsn > last:
                    fresh.append(transaction)
                    last = transaction.commit_lsn
            if fresh:
                appender.append(fresh)

    def last_lsn(self) -> Lsn:
        appender = self._appender
        if appender is not None:
            return appender.last_lsn
        with self._journal() as journal:
            return ZERO if journal is None else journal.last_lsn()[0]

    def first_lsn(self) -> Lsn:
        with self._journal() as journal:
            return ZERO if journal is None else journal.first_lsn()

    def read(self, after: Lsn) -> Iterator[Transaction]:
        end = None if self._appender is None else self._appender.journal_end
        with self._lock:
            is_following = any(session.last <= after for session in self._idle)
        if not is_following and after < (first_lsn := self.first_lsn()):
            raise position_expired(self._thing, after, first_lsn)
        return self._read(after, end)

    def trim(self, through: Lsn) -> None:
        """Removes exactly what is at or below `through`, but never the newest transaction."""
        self._writable()
        with self._session(through) as session:
            offsets = session.needed_after(through)
        topic = Topics(prefix=self._options.prefix).transaction
        journal = {where: offset for where, offset in offsets.items() if where[0] == topic}
        if journal and delete_before(self._options, journal):
            delete_before(self._options, {where: at for where, at in offsets.items() if where[0] != topic})

    def close(self) -> None:
        if self._appender is not None:
            self._appender.close()
            self._appender = None
        with self._lock:
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()

    @property
    def _thing(self) -> str:
        return f"change log {self._options.prefix} in Kafka"

    def _read(self, after: Lsn, end: int | None) -> Iterator[Transaction]:
        with self._session(after) as session:
            try:
                yield from session.transactions(after, end)
            except LogNotFound:
                if self._read_only:
                    raise

    @contextlib.contextmanager
    def _session(self, after: Lsn) -> Iterator[ReadSession]:
        """One that has come near `after`, or a new one. Closed when it fails, kept when it ends or is given up."""
        with self._lock:
            fitting = [session for session in self._idle if session.last <= after]
            idle = max(fitting, key=lambda each: each.last) if fitting else next(iter(self._idle), None)
            if idle is not None:
                self._idle.remove(idle)
        session = idle or ReadSession(self._options, self._clock)
        if session.last > after:
            session.rewind()
        try:
            yield session
        except GeneratorExit:
            self._give_back(session)
            raise
        except BaseException:
            session.close()
            raise
        self._give_back(session)

    def _give_back(self, session: ReadSession) -> None:
        with self._lock:
            self._idle.append(session)
            given_up = [self._idle.pop(0)] if len(self._idle) > _IDLE_SESSIONS else []
        for each in given_up:
            each.close()

    @contextlib.contextmanager
    def _journal(self) -> Iterator[Journal | None]:
        """A journal to ask; None for our own log that nobody has begun."""
        with self._lock:
            session = self._idle.pop() if self._idle else ReadSession(self._options, self._clock)
        try:
            session.journal.bounds()
        except LogNotFound:
            session.close()
            if self._read_only:
                raise
            yield None
            return
        except BaseException:
            session.close()
            raise
        try:
            yield session.journal
        except BaseException:
            session.close()
            raise
        self._give_back(session)

    @contextlib.contextmanager
    def _appending(self) -> Iterator[Appender]:
        """After any error the session of the appender is over: what is durable shows when the next one begins."""
        self._writable()
        if self._appender is None:
            self._appender = Appender(
                self._options, stream=self._stream, keys=self._keys, clock=self._clock, debezium=self._debezium
            )
        try:
            yield self._appender
        except BaseException:
            appender, self._appender = self._appender, None
            appender.close()
            raise

    def _writable(self) -> None:
        if self._read_only:
            raise LogInUse(
                thing=self._thing,
                reason="it was opened for reading only",
                mend="only the stream worker appends and trims",
            )


_: type[ChangeLog] = KafkaChangeLog
