"""Is a source's table the target's own? Such a stream would read what it writes, and ask for the rows to be deleted."""

from collections.abc import Mapping
from typing import Final

from cdc.connections import open_database
from cdc.events import TableName
from cdc.server_kinds import is_mysql, is_postgresql
from strangler.errors import BadInput

_POSTGRES: Final = """
    SELECT (SELECT system_identifier FROM pg_control_system()) AS cluster, pg_postmaster_start_time() AS since, oid
      FROM pg_database WHERE datname = current_database()
"""
"""A clone has the same identifiers, but was not started in the same microsecond."""
_MYSQL: Final = "SELECT CONCAT_WS('/', @@hostname, @@port, @@server_id, @@datadir) AS it, DATABASE() AS here"


def refuse_one_table(source_dsn: str, target_dsn: str, pairs: Mapping[TableName, TableName]) -> None:
    """`pairs`: source → target. Raises `BadInput` for a table that would be followed into itself."""
    for source, target in pairs.items():
        if source.name == target.name and _are_one(source_dsn, target_dsn, source, target):
            raise BadInput(
                thing=f"table {source}",
                reason="is the same in source and target",
                mend="name another database with --target, or another table (--table SOURCE=TARGET)",
            )


def _are_one(source_dsn: str, target_dsn: str, source: TableName, target: TableName) -> bool:
    if is_mysql(source_dsn):
        return not is_postgresql(target_dsn) and _mysql_are_one(source_dsn, target_dsn, source)
    if is_mysql(target_dsn) or not is_postgresql(target_dsn) or source != target:
        return False
    with open_database(source_dsn) as one, open_database(target_dsn) as other:
        return one.execute(_POSTGRES.encode()).fetchone() == other.execute(_POSTGRES.encode()).fetchone()


def _mysql_are_one(source_dsn: str, target_dsn: str, source: TableName) -> bool:
    from sqlalchemy import text

    from cdc.mysql.connections import open_mysql, query
    from cdc.sql_target.provision import looking

    with looking(target_dsn, str(source)) as target:
        if target.dialect.name not in ("mysql", "mariadb"):
            return False
        other = target.execute(text(_MYSQL)).one()
    with open_mysql(source_dsn) as connection:
        (row,) = query(connection, _MYSQL)
    return (row["it"], source.schema) == (other.it, other.here)
