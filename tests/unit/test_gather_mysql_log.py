"""Logs of MySQL and MariaDB as transactions."""

import pytest

from migration_plans.gather.log_transactions import transactions_of
from migration_plans.gather.mysql_log import is_mysql_log, mysql_entries, sessions_without_begin

BANNER = """/usr/sbin/mariadbd, Version: 10.11.19-MariaDB (Debian 12). started with:
Tcp port: 3306  Unix socket: /run/mysqld.sock
Time\t\t    Id Command\tArgument
"""


def lines(text):
    return text.splitlines(keepends=True)


def told(text, **more):
    """(session, statements, how it ended, database) of each transaction."""
    entries = mysql_entries(lines(text), without_begin=sessions_without_begin(lines(text)))
    return [(one.session, list(one.statements), one.ending, one.database) for one in transactions_of(entries, **more)]


def general(*said):
    """(session, command, argument) → a general log of MariaDB."""
    return BANNER + "".join(f"\t\t{session:6} {command}\t{argument}\n" for session, command, argument in said)


def test_transactions_by_begin_and_by_autocommit():
    log = general(
        (4, "Connect", "root@127.0.0.1 on shop using TCP/IP"),
        (5, "Connect", "root@127.0.0.1 on  using TCP/IP"),
        (4, "Query", "SET NAMES utf8mb4"),
        (4, "Query", "SET AUTOCOMMIT = 0"),
        (5, "Init DB", "other"),
        (5, "Query", "SELECT 1 FROM alone"),
        (4, "Query", "SELECT 1 FROM a"),
        (5, "Query", "START TRANSACTION READ WRITE"),
        (4, "Query", "UPDATE b SET x = 1"),
        (5, "Query", "UPDATE c SET x = 1"),
        (4, "Query", "COMMIT"),
        (5, "Query", "SAVEPOINT s"),
        (5, "Query", "ROLLBACK TO SAVEPOINT s"),
        (5, "Execute", "UPDATE d SET x = 1"),
        (5, "Query", "rollback"),
        (4, "Query", "SELECT 1 FROM left_open"),
        (4, "Quit", ""),
    )
    assert told(log) == [
        ("5", ["SELECT 1 FROM alone"], "committed", "other"),
        ("4", ["SELECT 1 FROM a", "UPDATE b SET x = 1"], "committed", "shop"),
        ("5", ["UPDATE c SET x = 1", "UPDATE d SET x = 1"], "rolled back", "other"),
        ("4", ["SELECT 1 FROM left_open"], "rolled back", "shop"),
    ]
    assert [session for session, *_ in told(log, database="shop")] == ["4", "4"]


def test_sessions_that_were_there_before_the_log_began():
    log = general(
        (7, "Query", "SELECT 1 FROM a"),
        (8, "Query", "SELECT 1 FROM b"),
        (7, "Query", "UPDATE a SET x = 1"),
        (8, "Query", "UPDATE b SET x = 1"),
        (7, "Query", "/* pool */ COMMIT"),
        (8, "Query", "BEGIN"),
        (8, "Query", "UPDATE c SET x = 1"),
        (8, "Query", "COMMIT"),
    )
    assert sessions_without_begin(lines(log)) == {"7"}
    assert [statements for _, statements, *_ in told(log)] == [
        ["SELECT 1 FROM b"],
        ["SELECT 1 FROM a", "UPDATE a SET x = 1"],
        ["UPDATE b SET x = 1"],
        ["UPDATE c SET x = 1"],
    ]


def test_statements_that_commit_by_themselves():
    log = general(
        (4, "Connect", "a@b on shop using Socket"),
        (4, "Query", "BEGIN"),
        (4, "Query", "UPDATE a SET x = 1"),
        (4, "Query", "CREATE TEMPORARY TABLE t (x int)"),
        (4, "Query", "CREATE TABLE b (x int)"),
        (4, "Query", "SET @@session.autocommit=OFF"),
        (4, "Query", "UPDATE c SET x = 1"),
        (4, "Query", "SET autocommit=1, sql_mode=''"),
        (4, "Query", "UPDATE d SET x = 1"),
        (4, "Query", "BEGIN"),
        (4, "Query", "UPDATE e SET x = 1"),
        (4, "Query", "COMMIT AND CHAIN"),
        (4, "Query", "UPDATE f SET x = 1"),
        (4, "Query", "COMMIT AND NO CHAIN"),
        (4, "Query", "SELECT 1 FROM g"),
    )
    assert [statements for _, statements, *_ in told(log)] == [
        ["UPDATE a SET x = 1", "CREATE TEMPORARY TABLE t (x int)"],
        ["CREATE TABLE b (x int)"],
        ["UPDATE c SET x = 1"],
        ["UPDATE d SET x = 1"],
        ["UPDATE e SET x = 1"],
        ["UPDATE f SET x = 1"],
        ["SELECT 1 FROM g"],
    ]


def test_statements_over_several_lines_and_several_in_one():
    log = (
        BANNER
        + "261122 13:37:51\t     4 Query\tSELECT 'a\\';\n\tb' AS x\n\n  FROM a\n"
        + "261122  3:37:51\t     4 Query\tUPDATE b SET x = ';'; DELETE FROM c; -- ;\n"
        + "\t\t     4 Prepare\tSELECT ? FROM d\n"
        + BANNER
        + "\t\t     4 Execute\tSELECT 1 FROM d\n"
    )
    assert [statements for _, statements, *_ in told(log)] == [
        ["SELECT 'a\\';\n\tb' AS x\n\n  FROM a"],
        ["UPDATE b SET x = ';'"],
        ["DELETE FROM c"],
        ["SELECT 1 FROM d"],
    ]


def test_a_general_log_of_mysql_has_times():
    log = (
        "/usr/sbin/mysqld, Version: 8.0.36 (MySQL Community Server - GPL). started with:\n"
        "2026-11-22T12:00:00.500000Z\t    8 Connect\troot@localhost on shop using SSL/TLS\n"
        "2026-11-22T12:00:00.750000Z\t    8 Query\tSELECT 1 FROM a\n"
        "2026-11-22T13:00:01.000000+01:00\t    8 Query\tSELECT 1 FROM b\n"
    )
    first, second = transactions_of(mysql_entries(lines(log)))
    assert (first.database, second.started - first.started) == ("shop", 0.25)
    assert first.started % 1 == 0.75


def test_a_slow_log_of_mysql_has_times_and_databases():
    log = """/usr/sbin/mysqld, Version: 8.0.36 (MySQL). started with:
Tcp port: 3306  Unix socket: /tmp/mysql.sock
Time                 Id Command    Argument
# Time: 2026-11-22T12:00:01.000000Z
# User@Host: root[root] @ localhost [127.0.0.1]  Id:     8
# Query_time: 0.250000  Lock_time: 0.000000 Rows_sent: 0  Rows_examined: 0
use shop;
SET timestamp=1795354671;
SELECT 1
FROM a;
# Time: 2026-11-22T12:00:02.000000Z
# User@Host: root[root] @ localhost []  Id:    9
# Query_time: 0.500000  Lock_time: 0.000000 Rows_sent: 0  Rows_examined: 0
SET timestamp=1795354671;
UPDATE b SET x = 1;
# Time: 2026-11-22T12:00:03.000000Z
# User@Host: root[root] @ localhost []  Id:    9
# Query_time: 0.000000  Lock_time: 0.000000 Rows_sent: 0  Rows_examined: 0
SET timestamp=1795354671;
# administrator command: Quit;
"""
    first, second = transactions_of(mysql_entries(lines(log)))
    assert (first.session, first.statements, first.database) == ("8", ("SELECT 1\nFROM a",), "shop")
    assert (second.session, second.statements, second.database) == ("9", ("UPDATE b SET x = 1",), "shop")
    assert (first.started % 1, second.started % 1) == (0.75, 0.5)


@pytest.mark.parametrize(
    ("first", "is_mysql"),
    [
        (BANNER, True),
        ("261122 13:37:51\t     4 Query\tSELECT 1\n", True),
        ("\t\t     4 Query\tSELECT 1\n", True),
        ("\n# Time: 261122 13:37:51\n", True),
        ("2026-11-22 12:00:00.123 UTC [1] LOG:  statement: SELECT 1\n", False),
        ('{"timestamp": "2026-11-22 12:00:00.123 UTC"}\n', False),
        ("2026-11-22 12:00:00.123 UTC,,,1,,\n", False),
        ("", False),
    ],
)
def test_whose_log_it_is(first, is_mysql):
    assert is_mysql_log(lines(first)) is is_mysql


def test_a_log_that_begins_and_ends_anywhere_is_read():
    log = (
        "FROM somewhere\n"
        + general((4, "Query", "SELECT 1 FROM a"), (4, "Nonsense", "x"), (4, "Query", ""))
        + "\t\t    4"
    )
    assert [statements for _, statements, *_ in told(log)] == [["SELECT 1 FROM a"]]
