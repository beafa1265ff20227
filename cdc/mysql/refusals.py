"""What in a binlog stops a stream rather than lose something. Pure."""

from cdc.errors import SchemaChanged, SourceUnfit, TransactionTooLarge
from cdc.events import TableName
from cdc.lsn import format_lsn


def prepared(place: str) -> SourceUnfit:
    return SourceUnfit(
        thing=f"XA transaction at {place}",
        reason="changes a captured table and was prepared; its commit comes as a statement that holds no rows",
        mend="let the application commit in one phase, then copy the tables anew from after this transaction",
    )


def logged_as_text(place: str, table: TableName) -> SourceUnfit:
    return SourceUnfit(
        thing=f"statement at {place}",
        reason=f"may change {table.schema}.{table.name} and is logged as text instead of rows",
        mend="SET GLOBAL binlog_format = ROW, reconnect the application, then copy the tables anew",
    )


def table_gone(place: str, table: TableName) -> SchemaChanged:
    return SchemaChanged(
        thing=f"table {table.schema}.{table.name}",
        reason=f"was dropped, renamed or replaced at {place}",
        mend="end the move, or restore the table under its name and copy it anew",
    )


def too_large(place: str, limit_bytes: int) -> TransactionTooLarge:
    return TransactionTooLarge(
        thing=f"source transaction at {place}",
        reason=f"holds more than {limit_bytes} bytes of changes",
        mend="raise the capture's transaction_bytes if the disk has the room, or copy the tables again from after "
        "this transaction",
    )


def goes_back(file: str, before: int, now: int) -> SourceUnfit:
    return SourceUnfit(
        thing=f"binlog file {file}",
        reason=f"goes back from {format_lsn(before)} to {format_lsn(now)}: it is larger than 4 GiB, or was replaced",
        mend="divide the huge transaction that made it so, then copy the tables anew from after it",
    )
