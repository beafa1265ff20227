"""Are both sides equal, row for row?"""

import psycopg

from benchmarks.crash.errors import SidesDiffer
from benchmarks.crash.load import TABLES

_SHOWN = 5


def row_count(url: str) -> int:
    """Rows of all moved tables."""
    with psycopg.connect(url) as connection:
        return sum(_one(connection, f"SELECT count(*) FROM {table}") for table in TABLES)


def compare(source_url: str, target_url: str, *, where: str) -> None:
    """Raises `SidesDiffer` with the first rows that do. `where` says how to repeat it. Nobody may write meanwhile."""
    with psycopg.connect(source_url) as source, psycopg.connect(target_url) as target:
        for table, columns in TABLES.items():
            names = columns.replace(" ", ", ")
            digest = (
                f"SELECT count(*), coalesce(bit_xor(hashtextextended(row::text, 0)), 0),"
                f" coalesce(sum(hashtextextended(row::text, 1)::numeric), 0) FROM (SELECT {names} FROM {table}) AS row"
            )
            ours, theirs = (connection.execute(digest.encode()).fetchone() for connection in (source, target))
            if ours != theirs:
                raise SidesDiffer(
                    thing=f"table {table}",
                    reason=f"{where}: source {ours}, target {theirs}; {_difference(source, target, table, names)}",
                    mend="repeat it with the seed and the round, and read the worker's log",
                )


def _difference(
    source: psycopg.Connection[tuple[object, ...]],
    target: psycopg.Connection[tuple[object, ...]],
    table: str,
    names: str,
) -> str:
    query = f"SELECT row::text FROM (SELECT {names} FROM {table}) AS row".encode()
    ours = {str(row[0]) for row in source.execute(query)}
    theirs = {str(row[0]) for row in target.execute(query)}
    missing, extra = sorted(ours - theirs), sorted(theirs - ours)
    return (
        f"{len(missing)} rows only in the source: {[row[:200] for row in missing[:_SHOWN]]}, "
        f"{len(extra)} only in the target: {[row[:200] for row in extra[:_SHOWN]]}"
    )


def _one(connection: psycopg.Connection[tuple[object, ...]], query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(str(row[0]))
