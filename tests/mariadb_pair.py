"""A MariaDB source, a PostgreSQL target and a link between them."""

from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest

from cdc.events import TableName
from cdc.link import LinkLimits, LinkSpec, stream_name
from cdc.mapping.compiled import compile_mapping
from cdc.mapping.model import MoveMapping, TableMapping, TargetMapping
from cdc.mysql.connections import connect, parse_url
from cdc.mysql.memory import FileMemory
from cdc.mysql.provision import provision_mysql_source
from cdc.mysql.schema import reflect_mysql
from cdc.positions import start_ledger
from cdc.provision import provision_target
from cdc.schema import reflect
from sandbox.errors import PartMissing
from sandbox.mariadb import find_server
from tests.catalog_mapping import same


def need_mariadb():
    """Skip with the reason when the machine has no server."""
    try:
        find_server()
    except PartMissing as missing:
        pytest.skip(str(missing))


class Mysql:
    """An autocommit connection; `other()` opens another."""

    def __init__(self, dsn):
        self.dsn, self.database = dsn, urlsplit(dsn).path.lstrip("/")
        self.connection = connect(parse_url(dsn))

    def execute(self, statement, parameters=None):
        with self.connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()

    def other(self, *, autocommit=True):
        place = parse_url(self.dsn)
        return pymysql.connect(
            host=place.host, port=place.port, user=place.user, database=place.database, autocommit=autocommit,
            charset="utf8mb4",
        )  # fmt: skip

    def table(self, name):
        return TableName(schema=self.database, name=name)

    def close(self):
        self.connection.close()


def mariadb_link(source_dsn, target_dsn, folder, tables, *, move="shop", follows_copy=False, **limits):
    """`tables`: {name: "key_column other columns"}; the same names in both databases, key first."""
    database = urlsplit(source_dsn).path.lstrip("/")
    mapping = MoveMapping(
        tables=tuple(
            TableMapping(
                source=TableName(schema=database, name=name),
                targets=(TargetMapping(table=TableName(name=name), columns=same(*columns.split())),),
            )
            for name, columns in tables.items()
        )
    )
    target, source = reflect(target_dsn, mapping.target_tables), reflect_mysql(source_dsn, mapping.source_tables)
    return LinkSpec(
        move=move,
        direction="forward",
        source_dsn=source_dsn,
        target_dsn=target_dsn,
        log_folder=Path(folder) / stream_name(move, "forward"),
        mapper=compile_mapping(mapping, source, target),
        source_keys={name: table.primary_key for name, table in source.tables.items()},
        follows_copy=follows_copy,
        limits=LinkLimits(**{"takeover_s": 20.0, "retry_min_s": 0.05, "retry_max_s": 0.3, **limits}),
    )


def provision(link):
    memory = FileMemory(link.log_folder)
    position = provision_mysql_source(link.source_dsn, link.stream, list(link.source_keys), memory=memory)
    provision_target(link.target_dsn, link.stream)
    start_ledger(link.target_dsn, link.stream, position)
    return position


def as_texts(dsn, query):
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(query).fetchall()
