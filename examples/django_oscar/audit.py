"""Both databases compared without the toolkit: every row of every moved table as text, by its key."""

from collections.abc import Iterable, Mapping

import psycopg
from psycopg import sql

_ROWS = "SELECT count(*), coalesce(md5(string_agg(md5(row_of::text), '' ORDER BY row_of.id)), '') FROM {} row_of"
_CHANGES = """SELECT sum(n_tup_ins)::bigint, sum(n_tup_upd)::bigint, sum(n_tup_del)::bigint
    FROM pg_stat_user_tables WHERE relname = ANY(%s)"""


def differing(legacy: str, service: str, tables: Iterable[str]) -> list[str]:
    """What differs, in words; nobody may be writing. Every table has a key `id`, and the same columns on both sides."""
    found = []
    with psycopg.connect(legacy) as one, psycopg.connect(service) as other:
        for table in tables:
            query = sql.SQL(_ROWS).format(sql.Identifier(table))
            left, right = one.execute(query).fetchone(), other.execute(query).fetchone()
            if left != right:
                found.append(f"{table}: {left} in the shop, {right} in the service")
    return found


def changes(legacy: str, tables: Iterable[str]) -> Mapping[str, int]:
    """Rows inserted, updated and deleted in the shop's tables so far, as the server counts them."""
    with psycopg.connect(legacy) as connection:
        row = connection.execute(_CHANGES, [list(tables)]).fetchone()
    assert row is not None
    return dict(zip(("inserted", "updated", "deleted"), map(int, row), strict=True))
