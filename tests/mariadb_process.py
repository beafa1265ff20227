"""A stream worker from MariaDB to PostgreSQL as a process of its own, for tests that kill it.

`python -m tests.mariadb_process FOLDER SOURCE_DSN TARGET_DSN [copy]` with the tables of `TABLES`.
"""

import sys
import threading

from cdc.worker import StreamWorker, stop_on_signals
from tests.mariadb_pair import mariadb_link

TABLES = {"item": "id name amount note at", "line": "item_id no qty"}
SOURCE_DDL = """
    CREATE TABLE item (id bigint PRIMARY KEY, name varchar(100) NOT NULL, amount decimal(20,6), note text,
                       at datetime(6) NOT NULL DEFAULT current_timestamp(6)) CHARACTER SET utf8mb4;
    CREATE TABLE line (item_id bigint, no int, qty int unsigned NOT NULL, PRIMARY KEY (item_id, no))
"""
TARGET_DDL = """
    CREATE TABLE item (id bigint PRIMARY KEY, name varchar(100) NOT NULL, amount numeric(20,6), note text,
                       at timestamp NOT NULL);
    CREATE TABLE line (item_id bigint, no int, qty bigint NOT NULL, PRIMARY KEY (item_id, no))
"""


def main():
    folder, source, target, *copy = sys.argv[1:]
    stop = threading.Event()
    stop_on_signals(stop)
    link = mariadb_link(source, target, folder, TABLES, follows_copy=bool(copy), copy_chunk_rows=50)
    StreamWorker([link]).run(stop)


if __name__ == "__main__":
    main()
