"""Runs of inserts from slot to target as bytes: the same rows as any other way, and never when that would not do."""

import uuid

import pytest

from cdc.apply_session import ApplySession
from cdc.changelog.local import LocalChangeLog
from cdc.events import TableName
from cdc.insert_run import ChangesInRuns, InsertRun
from cdc.mapping.model import ColumnRule, MoveMapping, TableMapping, TargetMapping
from sandbox.postgres import create_database
from tests.catalog_mapping import same as same_columns
from tests.stream_pair import StreamPair

pytestmark = pytest.mark.integration

SOURCE = """
CREATE TABLE item (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, note text, amount numeric,
    twice numeric GENERATED ALWAYS AS (amount * 2) STORED, unused text);
CREATE TABLE wide (a int, b int, v text, PRIMARY KEY (a, b));
CREATE TABLE coded (id int PRIMARY KEY, status text);
"""
TARGET = """
CREATE TABLE things (thing_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL, note text);
CREATE TABLE amounts (id bigint PRIMARY KEY, amount numeric);
CREATE TABLE wide (a int, b int, v text, PRIMARY KEY (a, b));
CREATE TABLE coded (id int PRIMARY KEY, status text, "100% origin" text);
"""
MAPPING = MoveMapping(
    tables=(
        TableMapping(
            source=TableName(name="item"),
            dropped=("unused",),
            targets=(
                TargetMapping(
                    table=TableName(name="things"),
                    columns=(
                        ColumnRule(source="id", target="thing_id"),
                        ColumnRule(source="name", target="title"),
                        ColumnRule(source="note", target="note"),
                    ),
                ),
                TargetMapping(table=TableName(name="amounts"), columns=same_columns("id", "amount")),
            ),
        ),
        TableMapping(
            source=TableName(name="wide"),
            targets=(TargetMapping(table=TableName(name="wide"), columns=same_columns("a", "b", "v")),),
        ),
        TableMapping(
            source=TableName(name="coded"),
            targets=(
                TargetMapping(
                    table=TableName(name="coded"),
                    columns=(
                        ColumnRule(source="id", target="id"),
                        ColumnRule(source="status", target="status", lookup={"a": "live", "r": "retired"}),
                        ColumnRule(target="100% origin", constant="tab\there"),
                    ),
                ),
            ),
        ),
    )
)
AWKWARD = (
    r"""(ARRAY['plain', '', E'tab\there', E'two\nlines', 'back\slash', '\N', '\.', E'cr\r', 'ü€😀', '"quoted"'])"""
    "[g % 10 + 1]"
)


@pytest.fixture
def pair(postgres_url, tmp_path):
    made = StreamPair(
        lambda label: create_database(postgres_url, f"{label}_{uuid.uuid4().hex[:8]}"),
        tmp_path, f"s{uuid.uuid4().hex[:6]}", MAPPING, SOURCE, TARGET, follows_copy=False,
    )  # fmt: skip
    made.provision()
    made.open()
    yield made
    made.close()


@pytest.fixture
def copied(monkeypatch):
    """Rows that went in by COPY, by target table."""
    counted = {}
    insert = ApplySession.insert_copy_text

    def counting(self, columns, rows, count):
        insert(self, columns, rows, count)
        counted[columns.table.name] = counted.get(columns.table.name, 0) + count

    monkeypatch.setattr(ApplySession, "insert_copy_text", counting)
    return counted


def fill(pair, rows, note=AWKWARD):
    pair.source.execute(
        f"INSERT INTO item (name, note, amount, unused)"
        f" SELECT {AWKWARD}, CASE WHEN g % 3 > 0 THEN {note} END, g / 7.0, 'x' FROM generate_series(1, {rows}) g"
    )


def assert_same(pair):
    for ours, theirs in (
        ("SELECT thing_id, title, note FROM things ORDER BY 1", "SELECT id, name, note FROM item ORDER BY 1"),
        ("SELECT id, amount::text FROM amounts ORDER BY 1", "SELECT id, amount::text FROM item ORDER BY 1"),
        ("SELECT * FROM wide ORDER BY 1, 2", "SELECT * FROM wide ORDER BY 1, 2"),
    ):
        assert pair.rows(ours, "target") == pair.rows(theirs, "source")


def test_a_bulk_insert_arrives_by_copy_split_renamed_and_exact(pair, copied):
    fill(pair, 1000)
    pair.sync()
    assert_same(pair)
    assert copied == {"things": 1000, "amounts": 1000}


def test_order_within_the_transaction_is_kept_around_a_run(pair, copied):
    with pair.source.transaction():
        pair.source.execute("INSERT INTO wide VALUES (0, 0, 'first')")
        pair.source.execute("UPDATE wide SET a = 1000 WHERE a = 0")
        pair.source.execute("INSERT INTO wide SELECT g, 0, 'run' FROM generate_series(0, 299) g")
        pair.source.execute("DELETE FROM wide WHERE a % 2 = 0 AND a < 300")
        pair.source.execute("INSERT INTO wide SELECT g, 0, 'again' FROM generate_series(0, 298, 2) g")
        fill(pair, 100)
        pair.source.execute("UPDATE wide SET v = 'last' WHERE a = 7")
    pair.sync()
    assert_same(pair)
    assert copied == {"wide": 450, "things": 100, "amounts": 100}


def test_rows_that_are_there_already_are_overwritten_as_ever(pair, copied):
    pair.target.execute("INSERT INTO wide VALUES (5, 0, 'a stray row')")
    pair.source.execute("INSERT INTO wide SELECT g, 0, 'run' FROM generate_series(0, 299) g")
    pair.sync()
    assert_same(pair)
    assert "wide" not in copied


def test_values_are_converted_and_constants_added_on_the_way(pair, copied):
    pair.source.execute("INSERT INTO coded SELECT g, (ARRAY['a', 'r', NULL])[g % 3 + 1] FROM generate_series(1, 300) g")
    pair.sync()
    counted = 'SELECT status, "100% origin", count(*) FROM coded GROUP BY 1, 2 ORDER BY 1'
    assert pair.rows(counted) == [("live", "tab\there", 100), ("retired", "tab\there", 100), (None, "tab\there", 100)]
    assert copied == {"coded": 300}


def test_a_value_that_cannot_be_converted_parks_its_row_and_no_other(pair, copied):
    pair.source.execute(
        "INSERT INTO coded SELECT g, CASE g WHEN 77 THEN 'odd' ELSE 'a' END FROM generate_series(1, 100) g"
    )
    pair.sync()
    assert pair.rows("SELECT count(*) FROM coded") == [(99,)]
    assert [row[0] for row in pair.rows("SELECT reason FROM strangler.parked_row")] == [
        "value 'odd' is not in the lookup (a, r)"
    ]
    assert copied == {}


def test_rolled_back_subtransactions_of_a_streamed_transaction_leave_no_row(pair, copied):
    pair.source.execute("ALTER SYSTEM SET logical_decoding_work_mem = '64kB'")
    pair.source.execute("SELECT pg_reload_conf()")
    try:
        pair.source.execute("SELECT pg_sleep(0.2)")
        with pair.source.transaction():
            fill(pair, 3000, note="repeat('long', 100)")
            with pytest.raises(ZeroDivisionError), pair.source.transaction():
                pair.source.execute("INSERT INTO wide SELECT g, 1, 'no' FROM generate_series(1, 5000) g")
                raise ZeroDivisionError
            pair.source.execute("INSERT INTO wide SELECT g, 2, 'yes' FROM generate_series(1, 5000) g")
        pair.sync()
    finally:
        pair.source.execute("ALTER SYSTEM RESET logical_decoding_work_mem")
        pair.source.execute("SELECT pg_reload_conf()")
    assert_same(pair)
    assert copied == {"things": 3000, "amounts": 3000, "wide": 5000}


def test_runs_come_back_from_the_change_log_as_runs(pair, tmp_path):
    fill(pair, 500)
    captured = pair.capture()
    log = LocalChangeLog(tmp_path / "kept")
    log.append(captured)
    read = list(log.read(0))
    log.close()
    assert [list(t.changes) for t in read] == [list(t.changes) for t in captured]
    (changes,) = [t.changes for t in read if isinstance(t.changes, ChangesInRuns)]
    (run,) = [each for each in changes.runs() if isinstance(each, InsertRun)]
    assert len(run) == len(changes) == 500
    pair.applier.apply(read)
    assert_same(pair)
