"""Log files in their three forms, and the transactions in them."""

from zoneinfo import ZoneInfo

import pytest

from migration_plans.errors import LogUnreadable
from migration_plans.gather.log_transactions import transactions_of
from migration_plans.gather.server_log import LogEntry, StderrForm, csvlog_entries, form_of, jsonlog_entries

CSV = (
    '2026-11-22 10:22:51.123 UTC,"u","shop",17,"127.0.0.1:5",6921a.11,3,"SELECT",2026-11-22 10:22:00 UTC,4/12,0,LOG,'
    '00000,"execute <unnamed>: SELECT ""x"",\n  1","Parameters: $1 = \'1\'",,,,,,,,"web","client backend",,0\n'
)
JSON = (
    '{"timestamp":"2026-11-22 10:22:51.123 UTC","user":"u","dbname":"shop","pid":17,"session_id":"6921a.11",'
    '"vxid":"4/12","error_severity":"LOG","message":"execute <unnamed>: SELECT \\"x\\",\\n  1",'
    '"detail":"Parameters: $1 = \'1\'","application_name":"web"}\n'
)
STDERR = (
    '2026-11-22 10:22:51.123 UTC [17] 4/12 web@shop LOG:  execute <unnamed>: SELECT "x",\n'
    "\t  1\n"
    "2026-11-22 10:22:51.123 UTC [17] 4/12 web@shop DETAIL:  Parameters: $1 = '1'\n"
)


def test_all_forms_say_the_same():
    (from_csv,) = csvlog_entries(CSV.splitlines(keepends=True))
    (from_json,) = jsonlog_entries([JSON])
    (from_stderr,) = StderrForm("%m [%p] %v %q%a@%d ").entries(STDERR.splitlines(keepends=True))
    assert from_csv == from_json
    assert from_csv.message == 'execute <unnamed>: SELECT "x",\n  1'
    for name in ("message", "detail", "transaction", "application", "database", "at", "severity"):
        assert getattr(from_stderr, name) == getattr(from_csv, name), name


@pytest.mark.parametrize(
    ("prefix", "line", "session", "transaction"),
    [
        ("%m [%p] ", "2026-01-01 00:00:00.000 CET [9] LOG:  statement: SELECT 1", "9", ""),
        ("%t:%r:%u@%d:[%p]: ", "2026-01-01 00:00:00 UTC:10.0.0.1(5):u@d:[9]: LOG:  statement: SELECT 1", "9", ""),
        ("%n %c %l %x %v %e ", "1767225600.000 6921a.11 3 0 4/12 00000 LOG:  statement: SELECT 1", "6921a.11", "4/12"),
        ("<%5p|%-8a|100%%> ", "<    9|web     |100%> LOG:  statement: SELECT 1", "9", ""),
        ("%m [%p] %q%u@%d ", "2026-01-01 00:00:00.000 UTC [9] LOG:  checkpoint starting: time", "9", ""),
    ],
)
def test_prefixes(prefix, line, session, transaction):
    (entry,) = StderrForm(prefix).entries([line + "\n"])
    assert (entry.session, entry.transaction, entry.severity) == (session, transaction, "LOG")


def test_prefix_of_an_unknown_letter_is_refused():
    with pytest.raises(LogUnreadable, match="%Z"):
        StderrForm("%Z ")


def test_a_prefix_that_does_not_fit_is_refused():
    with pytest.raises(LogUnreadable, match="told apart"):
        StderrForm("%t %u ")
    with pytest.raises(LogUnreadable, match="no line begins"):
        list(StderrForm("%m [%p] ").entries(STDERR.splitlines(keepends=True)))
    assert list(StderrForm("%m [%p] ").entries([])) == []


def test_broken_files_are_refused_by_line():
    with pytest.raises(LogUnreadable, match="line 2"):
        list(jsonlog_entries([JSON, "{broken\n", JSON]))
    with pytest.raises(LogUnreadable, match="line 1"):
        list(jsonlog_entries(["[1]\n"]))
    with pytest.raises(LogUnreadable, match="line 1"):
        list(csvlog_entries(["a,b\n", *CSV.splitlines(keepends=True)]))


def test_a_last_entry_that_is_being_written_is_passed_over():
    assert len(list(jsonlog_entries([JSON, JSON[:50]]))) == 1
    assert len(list(csvlog_entries([*CSV.splitlines(keepends=True), CSV[:50]]))) == 1


def test_times_are_of_the_servers_zone():
    line = "2026-07-01 02:00:00.000 {} [9] LOG:  statement: SELECT 1\n"
    berlin = ZoneInfo("Europe/Berlin")
    moments = [
        next(StderrForm("%m [%p] ", berlin).entries([line.format(zone)])).at
        for zone in ("CEST", "+02", "UTC", "-03:30")
    ]
    midnight = 1782864000.0
    assert moments == [midnight, midnight, midnight + 7200, midnight + 7200 + 12600]


def test_form_is_told_by_name_or_first_line():
    assert form_of("postgresql.csv", "") == "csvlog"
    assert form_of("postgresql.json", "") == "jsonlog"
    assert form_of("x", CSV.splitlines()[0]) == "csvlog"
    assert form_of("x", JSON) == "jsonlog"
    assert form_of("x", STDERR) == "stderr"


def said(message, *, session="1", transaction="", severity="LOG", detail="", at=None):
    return LogEntry(severity=severity, message=message, detail=detail, session=session, transaction=transaction, at=at)


def ran(*entries):
    return [(one.statements, one.ending) for one in transactions_of(entries)]


def test_begin_and_commit_per_session():
    assert ran(
        said("statement: BEGIN"),
        said("statement: SELECT 1", session="2"),
        said("execute <unnamed>: UPDATE a SET x = $1"),
        said("statement: SAVEPOINT s"),
        said("execute s1/p1: INSERT INTO b VALUES (1)"),
        said("statement: ROLLBACK TO SAVEPOINT s"),
        said("statement: BEGIN", session="2"),
        said("statement: COMMIT"),
        said("statement: SELECT 2", session="2"),
        said("statement: ROLLBACK", session="2"),
    ) == [
        (("SELECT 1",), "committed"),
        (("UPDATE a SET x = $1", "INSERT INTO b VALUES (1)"), "committed"),
        (("SELECT 2",), "rolled back"),
    ]


def test_autocommit_statements_are_transactions_of_their_own():
    assert ran(
        said("statement: SELECT 1"),
        said("duration: 0.1 ms"),
        said("duration: 0.12 ms  execute <unnamed>: SELECT 2"),
        said("execute fetch from c1: SELECT 2"),
        said("duration: 1.0 ms  parse <unnamed>: SELECT 3"),
        said("connection authorized: user=u"),
    ) == [(("SELECT 1",), "committed"), (("SELECT 2",), "unknown")]


def test_the_virtual_transaction_joins_what_has_no_begin_in_the_log():
    assert ran(
        said("statement: UPDATE a SET x = 1", transaction="4/12"),
        said("statement: UPDATE b SET x = 1", transaction="4/12"),
        said("statement: COMMIT", transaction="4/12"),
        said("statement: SELECT 1", transaction="4/13"),
        said("statement: SELECT 2", transaction="4/14"),
    ) == [
        (("UPDATE a SET x = 1", "UPDATE b SET x = 1"), "committed"),
        (("SELECT 1",), "committed"),
        (("SELECT 2",), "unknown"),
    ]


def test_a_gap_in_the_log_parts_transactions():
    assert ran(
        said("statement: BEGIN", transaction="4/12"),
        said("statement: SELECT 1", transaction="4/12"),
        said("statement: SELECT 2", transaction="4/20"),
        said("disconnection: session time: 0:00:01"),
    ) == [(("SELECT 1",), "unknown"), (("SELECT 2",), "rolled back")]


def test_errors_and_aborted_transactions():
    assert ran(
        said("statement: BEGIN"),
        said("statement: INSERT INTO a VALUES (1)"),
        said("duplicate key", severity="ERROR"),
        said("statement: COMMIT"),
        said("statement: INSERT INTO b VALUES (1)"),
        said("duplicate key", severity="ERROR"),
        said("statement: BEGIN"),
        said("statement: SELECT 1"),
        said("terminating connection", severity="FATAL"),
    ) == [
        (("INSERT INTO a VALUES (1)",), "rolled back"),
        (("INSERT INTO b VALUES (1)",), "rolled back"),
        (("SELECT 1",), "rolled back"),
    ]


def test_several_statements_in_one_message_and_chained_transactions():
    assert ran(
        said("statement: BEGIN; SELECT 1; COMMIT AND CHAIN;"),
        said("statement: SELECT 2"),
        said("statement: END"),
    ) == [(("SELECT 1",), "committed"), (("SELECT 2",), "committed")]


def test_sql_level_execute_shows_what_was_prepared():
    assert ran(
        said("statement: PREPARE p AS SELECT 1 FROM a"),
        said("statement: EXECUTE p", detail="prepare: PREPARE p AS SELECT 1 FROM a"),
    ) == [(("SELECT 1 FROM a",), "unknown")]


def test_only_one_database():
    entries = [
        LogEntry(severity="LOG", message="statement: SELECT 1", session="1", database="shop"),
        LogEntry(severity="LOG", message="statement: SELECT 2", session="2", database="other"),
    ]
    assert [one.statements for one in transactions_of(entries, database="shop")] == [("SELECT 1",)]
