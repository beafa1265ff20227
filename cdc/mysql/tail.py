"""Watch what commits in a MySQL or MariaDB, without provisioning anything: nothing is written, no position is kept."""

import uuid
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from cdc.errors import SourceUnfit
from cdc.events import TableName, Transaction
from cdc.lsn import Lsn
from cdc.mysql import server
from cdc.mysql.connections import open_mysql, parse_url
from cdc.mysql.debezium import Connector
from cdc.mysql.fitness import judge_server, judge_tables
from cdc.mysql.positions import FIRST_OFFSET, position_of
from cdc.mysql.source import BinlogSource
from strangler.clock import Clock
from strangler.errors import BadInput

_POLL_S = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class MysqlTail:
    """What a tail needs to know of its database before it begins."""

    dsn: str
    tables: tuple[TableName, ...]
    keys: dict[TableName, tuple[str, ...]]
    connector: Connector
    database: str
    start: Lsn
    end: Lsn | None


def plan_tail(dsn: str, tables: Sequence[TableName], *, until_now: bool) -> MysqlTail:
    """Look at the server and the tables. `until_now`: from the oldest binlog it still has, to what it has now;
    otherwise from now on.

    A table named without its database (schema `public`) is of the URL's. Raises `SourceUnfit`, `BadInput`,
    `DatabaseUnreachable`.
    """
    place = parse_url(dsn)
    named = tuple(_qualified(table, place.database) for table in tables)
    with open_mysql(dsn) as connection:
        facts = server.read_server_facts(connection, str(place))
        for finding in judge_server(facts) + judge_tables(named, server.read_table_facts(connection, named)):
            if not finding.ok:
                raise SourceUnfit(thing=finding.thing, reason=finding.reason, mend=finding.mend)
        now = server.end_of_log(connection, facts).position
        oldest = position_of(server.binlog_files(connection)[0].name, FIRST_OFFSET)
        return MysqlTail(
            dsn=dsn,
            tables=named,
            keys=server.primary_keys(connection, named),
            connector="mariadb" if facts.is_mariadb else "mysql",
            database=place.database,
            start=oldest if until_now else now,
            end=now if until_now else None,
        )


def tail_mysql(plan: MysqlTail, *, clock: Clock | None = None) -> Generator[Transaction, None, None]:
    """Transactions with the places of their changes. What a table was before it was dropped is shown too."""
    source = BinlogSource(
        plan.dsn,
        stream=f"strangler_tail_{uuid.uuid4().hex[:12]}",
        tables=plan.tables,
        position=plan.start,
        clock=clock,
        keep_places=True,
        outlives_tables=True,
    )
    try:
        source.open()
        while True:
            for transaction in source.poll(_POLL_S):
                if plan.end is not None and transaction.commit_lsn > plan.end:
                    return
                yield transaction
                source.acknowledge(transaction.commit_lsn)
            if plan.end is not None and source.delivered_through.lsn >= plan.end:
                return
    finally:
        source.close()


def _qualified(table: TableName, database: str) -> TableName:
    if table.schema != "public":
        return table
    if not database:
        raise BadInput(
            thing=f"table {table.name}", reason="is of no database", mend="name the database in the URL, or write db.t"
        )
    return TableName(schema=database, name=table.name)
