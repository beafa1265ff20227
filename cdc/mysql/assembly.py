"""Binlog events → whole transactions. Pure.

A group begins with a GTID event (or BEGIN where GTIDs are off) and ends with XID, COMMIT or ROLLBACK, or is one
statement. Rows of tables that are not captured are passed over without being decoded. What a transaction rolled back is
normally not in the binlog at all; where it is, because a table without transactions took part, it is taken out here.

Rows written to our own tables have a meaning: `strangler.message` carries barriers and heartbeats (they become
`Message`s), and a change of a stream's position marks a transaction as written by our own applier, which is left out so
that two streams between the same databases never loop.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from cdc.events import Message, Relation, TableName, Truncate
from cdc.lsn import ZERO, Lsn
from cdc.mysql import binlog, refusals
from cdc.mysql.binlog import Event, Header
from cdc.mysql.captured import CapturedTables
from cdc.mysql.changes import ChangeBuffer, Spill
from cdc.mysql.positions import FIRST_OFFSET, boundary, position_of
from cdc.mysql.statements import Statement, read_statement
from cdc.mysql.table_map import Charsets, TableReader, read_table
from cdc.mysql.transactions import BinlogTransaction, OpenTransaction, Place
from cdc.mysql.values import ZeroDates
from cdc.mysql.wire import malformed

OWN_SCHEMA: Final = "strangler"
MESSAGE_TABLE: Final = "message"
OUR_MARKS: Final = frozenset({"strangler_stream_position", "strangler_copy_progress"})
"""Tables that our applier and copier write to in the same transactions as the rows."""
_OUR_PLAIN_MARKS: Final = frozenset(name.removeprefix("strangler_") for name in OUR_MARKS)
DEFAULT_TRANSACTION_BYTES: Final = 64 << 30
DEFAULT_MEMORY_BYTES: Final = 32 << 20
"""Bytes of row events beyond which a transaction's changes go to disk."""
_MOST_DESCRIPTIONS: Final = 1024


class BinlogAssembler:
    """One connection's worth of events, fed in order.

    `tables`: what is captured, `schema` being the database. `through`: transactions whose position is not above it are
    passed over (they were taken before). `describe`: a table's relation when a TRUNCATE arrives before any row.
    """

    def __init__(
        self,
        tables: Iterable[TableName],
        *,
        charsets: Charsets,
        describe: Callable[[TableName], Relation],
        through: Lsn,
        zero_dates: ZeroDates = "refuse",
        transaction_bytes: int = DEFAULT_TRANSACTION_BYTES,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        new_spill: Callable[[], Spill],
        keep_places: bool = False,
        outlives_tables: bool = False,
        lower_case_names: bool = False,
    ) -> None:
        self._tables = CapturedTables(tables, lower_case=lower_case_names)
        self._outlives_tables = outlives_tables
        self._charsets, self._describe, self._zero_dates = charsets, describe, zero_dates
        self._through, self._transaction_bytes, self._keep_places = through, transaction_bytes, keep_places
        self._memory_bytes, self._new_spill = memory_bytes, new_spill
        self._checksummed = False
        self._file = ""
        self._open: OpenTransaction | None = None
        self._readers: dict[int, TableReader | None] = {}
        self._known: dict[bytes, TableReader] = {}
        self._relations: dict[tuple[str, str], Relation] = {}
        self._boundary = Lsn(through + 1)
        self._last_end = ZERO
        self._at_us = 0
        self.gtids_seen: list[tuple[Lsn, str]] = []
        self.own_transactions_dropped = 0
        self.opened_s: dict[str, int] = {}
        self.reached_end = False

    @property
    def file(self) -> str:
        """The binlog file that is being read; empty before the first event."""
        return self._file

    @property
    def through(self) -> Lsn:
        """Ledger position: everything before the last boundary between groups was fed."""
        return Lsn(self._boundary - 1)

    @property
    def source_time_us(self) -> int:
        """The source's clock at the last event, microseconds since the Unix epoch; 0 before the first."""
        return self._at_us

    @property
    def in_transaction(self) -> bool:
        return self._open is not None

    def start(self, *, checksummed: bool) -> None:
        """What the server was told before it sent its first event."""
        self._checksummed = checksummed

    def feed(self, data: bytes) -> BinlogTransaction | None:
        """Take one event; return the transaction that it completes, if any with captured changes.

        Raises `DecodeError`, `SourceUnfit`, `ValueRefused`, `SchemaChanged`, `SlotMismatch`, `TransactionTooLarge`.
        """
        header = binlog.decode_header(data)
        event = binlog.decode_event(data, header, checksummed=self._checksummed)
        if header.at_s and header.kind != binlog.FORMAT:
            self._at_us = header.at_s * 1_000_000
        if isinstance(event, binlog.Rows):
            self._rows(event, header)
        elif isinstance(event, binlog.TableMap):
            self._table_map(event)
        elif isinstance(event, binlog.Xid):
            return self._commit(header, event.xid)
        elif isinstance(event, binlog.Prepared):
            return self._prepared(event, header)
        elif isinstance(event, binlog.Gtid):
            self._begin(header, event)
        elif isinstance(event, binlog.Query):
            return self._query(event, header)
        elif isinstance(event, binlog.Statement):
            if self._open is not None and self._keep_places:
                self._open.query = event.sql
        else:
            self._feed_rare(event, header)
        if self._open is None and not isinstance(event, binlog.Rotate | binlog.Format | binlog.Heartbeat):
            self._pass(header)
        return None

    def _feed_rare(self, event: Event, header: Header) -> None:
        if isinstance(event, binlog.Rotate):
            self._rotate(event)
        elif isinstance(event, binlog.Format):
            self._checksummed = event.checksummed
            self.opened_s[self._file] = header.at_s
            self._readers.clear()
        elif isinstance(event, binlog.Heartbeat):
            self.reached_end = True
            if self._open is None and event.file == self._file and event.offset:
                self._boundary = max(self._boundary, boundary(event.file, event.offset))

    def _rotate(self, event: binlog.Rotate) -> None:
        """Also sent at the start, where it only names the file. Table numbers do not outlive a file. A transaction that
        the file ends in was being written when the server died: its recovery rolled it back."""
        self._open = None
        self._file = event.file
        self._readers.clear()
        self._boundary = max(self._boundary, boundary(event.file, max(FIRST_OFFSET, event.offset)))

    def _begin(self, header: Header, event: binlog.Gtid) -> None:
        if self._open is not None:
            raise malformed(f"a transaction begins inside another, at {self._at(header)}")
        self._open = OpenTransaction(
            pos=header.end - header.size,
            server_id=header.server_id,
            gtid=event.gtid,
            began=event.began,
            commit_time_us=event.commit_time_us,
            changes=ChangeBuffer(memory_bytes=self._memory_bytes, new_spill=self._new_spill),
        )

    def _query(self, event: binlog.Query, header: Header) -> BinlogTransaction | None:
        statement = read_statement(event.sql, event.schema)
        if statement.kind == "begin":
            if self._open is None:
                self._begin(header, binlog.Gtid(gtid=None))
            assert self._open is not None
            self._open.thread, self._open.began = event.thread, True
            return None
        if statement.kind == "commit":
            return self._commit(header, 0)
        if statement.kind == "rollback":
            self._open = None
            self._pass(header)
            return None
        if self._open is not None and self._savepoint(self._open, statement):
            return None
        return self._statement(event, statement, header)

    def _savepoint(self, open_: OpenTransaction, statement: Statement) -> bool:
        if statement.kind == "savepoint":
            open_.savepoints[statement.names[0][1].lower()] = open_.changes.mark()
        elif statement.kind == "rollback_to":
            open_.changes.rewind(open_.savepoints.get(statement.names[0][1].lower(), (0, 0, 0)))
            del open_.places[len(open_.changes) :]
        return statement.kind in ("savepoint", "rollback_to", "release")

    def _statement(self, event: binlog.Query, statement: Statement, header: Header) -> BinlogTransaction | None:
        """A statement that is a group of its own, unless it stands inside a transaction (temporary tables)."""
        if self._open is None:
            self._begin(header, binlog.Gtid(gtid=None))
        assert self._open is not None
        self._open.thread = event.thread
        if statement.kind == "rows_lost":
            if (changed := self._tables.first_maybe_changed(statement)) is not None:
                raise refusals.logged_as_text(self._at(header), changed)
        elif statement.kind == "gone" and not self._outlives_tables:
            if (gone := self._tables.first_gone(statement)) is not None:
                raise refusals.table_gone(self._at(header), gone)
        elif statement.kind == "truncate":
            self._truncate(self._open, statement, header)
        return None if self._open.began else self._commit(header, 0)

    def _prepared(self, event: binlog.Prepared, header: Header) -> BinlogTransaction | None:
        """The first of two phases; of one phase only, it is a commit."""
        if event.one_phase:
            return self._commit(header, 0)
        if self._open is not None and len(self._open.changes) and not self._open.ours:
            raise refusals.prepared(self._at(header))
        self._open = None
        self._pass(header)
        return None

    def _truncate(self, open_: OpenTransaction, statement: Statement, header: Header) -> None:
        for database, name in statement.names:
            if (table := self._tables.find(database, name)) is not None:
                relation = self._relations.get((table.schema, table.name)) or self._describe(table)
                open_.changes.add(Truncate(relations=(relation,)), 0)
                self._place(open_, header, 1)

    def _table_map(self, event: binlog.TableMap) -> None:
        database, name = event.database, event.table
        table = self._tables.find(database, name)
        if table is None and (database, name) != (OWN_SCHEMA, MESSAGE_TABLE):
            self._readers[event.table_id] = None
            if self._open is not None and (name in OUR_MARKS or (database == OWN_SCHEMA and name in _OUR_PLAIN_MARKS)):
                self._open.ours = True
            return
        body = event.body[6:]
        reader = self._known.get(body)
        if reader is None:
            if len(self._known) >= _MOST_DESCRIPTIONS:
                self._known.clear()
            reader = self._known[body] = read_table(event.body, self._charsets, self._zero_dates)
        self._readers[event.table_id] = reader
        self._relations[database, name] = reader.relation

    def _rows(self, event: binlog.Rows, header: Header) -> None:
        if event.table_id not in self._readers:
            raise malformed(f"rows of table number {event.table_id}, which was not described in {self._file}")
        reader = self._readers[event.table_id]
        if reader is None:
            return
        if self._open is None:
            raise malformed(f"rows outside any transaction, at {self._at(header)}")
        if position_of(self._file, header.end) <= self._through:
            return
        relation = reader.relation
        if relation.schema == OWN_SCHEMA and relation.name == MESSAGE_TABLE:
            self._messages(self._open, reader, event, header)
            return
        count = self._open.changes.add_rows(reader, event, header.size)
        self._place(self._open, header, count)
        self._check_size(self._open)

    def _messages(self, open_: OpenTransaction, reader: TableReader, event: binlog.Rows, header: Header) -> None:
        """Only inserts speak; our own pruning of old messages is silent."""
        if event.op != "c":
            return
        names = [column.name for column in reader.relation.columns]
        for image in reader.images(event):
            values: Mapping[str, object] = dict(zip(names, image, strict=True))
            lsn = position_of(self._file, header.end)
            content = bytes.fromhex(str(values["content"]).removeprefix("\\x"))
            message = Message(prefix=str(values["prefix"]), content=content, transactional=True, lsn=lsn)
            open_.changes.add(message, len(content))
            self._place(open_, header, 1)
        self._check_size(open_)

    def _place(self, open_: OpenTransaction, header: Header, count: int) -> None:
        if self._keep_places:
            pos = header.end - header.size
            open_.places += [Place(pos=pos, row=row, query=open_.query) for row in range(count)]

    def _check_size(self, open_: OpenTransaction) -> None:
        if open_.changes.size > self._transaction_bytes:
            raise refusals.too_large(f"{self._file} {open_.pos}", self._transaction_bytes)

    def _commit(self, header: Header, xid: int) -> BinlogTransaction | None:
        open_, self._open = self._open, None
        lsn = position_of(self._file, header.end)
        self._pass(header)
        if open_ is None:
            if lsn <= self._through:
                return None
            raise malformed(f"a commit that ends no transaction, at {self._at(header)}")
        if open_.gtid is not None:
            self.gtids_seen.append((lsn, open_.gtid))
        if open_.ours:
            self.own_transactions_dropped += 1
            return None
        if lsn <= self._through or not len(open_.changes):
            return None
        return BinlogTransaction(
            xid=xid or lsn,
            commit_lsn=lsn,
            end_lsn=boundary(self._file, header.end),
            commit_time_us=open_.commit_time_us or header.at_s * 1_000_000,
            changes=open_.changes.finish(),
            file=self._file,
            pos=open_.pos,
            server_id=open_.server_id,
            gtid=open_.gtid,
            thread=open_.thread,
            places=tuple(open_.places),
        )

    def _pass(self, header: Header) -> None:
        if header.end:
            reached = boundary(self._file, header.end)
            if reached < self._last_end:
                raise refusals.goes_back(self._file, self._last_end, reached)
            self._last_end = reached
            self._boundary = max(self._boundary, reached)

    def _at(self, header: Header) -> str:
        return f"{self._file} {header.end}"
