"""`strangler cdc tail --source mysql://…`: events of a binlog as Debezium's MySQL and MariaDB connectors write them."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

from cdc.debezium import DebeziumEncoder, DebeziumOptions, TableShape, TypeCatalog
from cdc.debezium.lossless import LosslessWriter
from cdc.events import TableName, Transaction
from cdc.mysql.debezium import mysql_records
from cdc.mysql.tail import MysqlTail, plan_tail, tail_mysql
from strangler.clock import SystemClock

Lines = Callable[[Transaction], Iterable[str]]


def mysql_tail(
    source: str, tables: Sequence[TableName], *, until_now: bool, format_: str, **options: Any
) -> tuple[Generator[Transaction, None, None], Lines]:
    """What to show and how: with `until_now` all that the server's binlogs still hold, else what commits from now on.

    `options`: of `DebeziumOptions`, without `database`.
    """
    plan = plan_tail(source, tables, until_now=until_now)
    lines = LosslessWriter().lines if format_ == "lossless" else _debezium_lines(plan, options)
    return tail_mysql(plan), lines


def _debezium_lines(plan: MysqlTail, options: dict[str, Any]) -> Lines:
    shapes = {table: TableShape(primary_key=key) for table, key in plan.keys.items()}
    encoder = DebeziumEncoder(DebeziumOptions(database=plan.database, **options), TypeCatalog(tables=shapes))
    clock = SystemClock()

    def lines(transaction: Transaction) -> Iterator[str]:
        now_us = int(clock.now().timestamp() * 1_000_000)
        for record in mysql_records(encoder, transaction, connector=plan.connector, processed_at_us=now_us):
            yield record.as_line()

    return lines
