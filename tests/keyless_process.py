"""A stream worker over tables without a primary key, as a process of its own, for tests that kill it.

`python -m tests.keyless_process FOLDER MOVE SOURCE_DSN TARGET_DSN`, both directions.
"""

import sys

from cdc.events import TableName
from cdc.mapping.model import ColumnRule, MoveMapping, TableMapping, TargetMapping
from tests.stream_process import run_worker

LEGACY_DDL = """
CREATE TABLE log (at int, level text, body text, secret text);
CREATE TABLE item (id int PRIMARY KEY, v text);
ALTER TABLE log REPLICA IDENTITY FULL;
"""
SERVICE_DDL = """
CREATE TABLE entries (moment bigint, severity text, origin text NOT NULL, content text, seen boolean DEFAULT false);
CREATE TABLE item (id int PRIMARY KEY, v text);
ALTER TABLE entries REPLICA IDENTITY FULL;
"""
MAPPING = MoveMapping(
    tables=(
        TableMapping(
            source=TableName(name="log"),
            targets=(
                TargetMapping(
                    table=TableName(name="entries"),
                    columns=(
                        ColumnRule(target="moment", source="at"),
                        ColumnRule(target="severity", source="level", lookup={"i": "info", "w": "warning"}),
                        ColumnRule(target="origin", constant="legacy"),
                        ColumnRule(target="content", source="body"),
                    ),
                    added={"seen": "the service's own"},
                ),
            ),
            dropped={"secret": "nobody needs it"},
        ),
        TableMapping(
            source=TableName(name="item"),
            targets=(
                TargetMapping(
                    table=TableName(name="item"),
                    columns=(ColumnRule(target="id", source="id"), ColumnRule(target="v", source="v")),
                ),
            ),
        ),
    )
)


if __name__ == "__main__":
    run_worker(MAPPING, 50, *sys.argv[1:])
