"""A PostgreSQL source and a target by SQLAlchemy, with a provisioned stream between them."""

import time
from pathlib import Path

import psycopg

from cdc.link import LinkLimits, LinkSpec, stream_name
from cdc.mapping.compiled import compile_mapping
from cdc.positions import start_ledger
from cdc.provision import deprovision_source, provision_source, provision_target
from cdc.schema import reflect
from cdc.sql_target.schema import reflect_target
from cdc.sql_target.value_types import value_types

LIMITS = {"takeover_s": 20.0, "retry_min_s": 0.02, "retry_max_s": 0.2, "copy_chunk_rows": 200, "status_s": 0.1}


def sql_link(move, mapping, source_dsn, target_dsn, folder, *, limits=(), **options):
    """A link whose mapping is compiled against the databases as they are."""
    source = reflect(source_dsn, mapping.source_tables)
    return LinkSpec(
        move=move,
        direction="forward",
        source_dsn=source_dsn,
        target_dsn=target_dsn,
        log_folder=Path(folder) / stream_name(move, "forward"),
        mapper=compile_mapping(mapping, source, reflect_target(target_dsn, mapping, source)),
        source_keys={name: table.primary_key for name, table in source.tables.items()},
        value_types=value_types(mapping, source),
        limits=LinkLimits(**{**LIMITS, **dict(limits)}),
        **options,
    )


class SqlPair:
    """`target`: a `tests.contract.apply_targets.TargetDatabase`."""

    def __init__(self, new_database, target, move, mapping, source_ddl, target_ddl, **options):
        self.source_dsn, self.target = new_database("source"), target
        self.source = psycopg.connect(self.source_dsn, autocommit=True)
        self.source.execute(source_ddl)
        target.execute(*target_ddl)
        self.move, self.mapping = move, mapping
        self.link = sql_link(move, mapping, self.source_dsn, target.dsn, target.folder, **options)
        position = provision_source(self.source_dsn, self.link.stream, self.link.mapper.source_tables)
        provision_target(target.dsn, self.link.stream)
        start_ledger(target.dsn, self.link.stream, position)

    def close(self):
        deprovision_source(self.source_dsn, self.link.stream)
        self.source.close()


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.05)
