"""T19 and its kin: rows that the target refuses wait with what depends on them; everything else goes on."""

import dataclasses
import uuid

import pytest

from cdc.applier import Applier
from cdc.errors import SchemaChanged, TooManyParked
from cdc.link import LinkLimits
from cdc.provision import deprovision_target
from sandbox.postgres import create_database
from strangler.clock import SystemClock
from tests.stream_pair import StreamPair, identical

pytestmark = pytest.mark.scenario

SOURCE = """
CREATE TABLE item (id int PRIMARY KEY, v text, code text UNIQUE, n numeric);
CREATE TABLE parent (id int PRIMARY KEY, v text);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent, v text);
CREATE TABLE other (id int PRIMARY KEY, v text);
"""
TARGET = """
CREATE TABLE item (id int PRIMARY KEY, v varchar(5), code text UNIQUE, n numeric CHECK (n > 0));
CREATE TABLE parent (id int PRIMARY KEY, v varchar(5));
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent, v varchar(5));
CREATE TABLE other (id int PRIMARY KEY, v text);
"""
TABLES = identical(("item", "id v code n"), ("parent", "id v"), ("child", "id parent v"), ("other", "id v"))
NAMES = ("item", "parent", "child", "other")
WIDEN = "ALTER TABLE item ALTER v TYPE text; ALTER TABLE parent ALTER v TYPE text; ALTER TABLE child ALTER v TYPE text"
NARROW = WIDEN.replace("TYPE text", "TYPE varchar(5)")
LONG = "far too long"


@pytest.fixture(scope="module")
def databases(postgres_url, tmp_path_factory):
    made = StreamPair(
        lambda label: create_database(postgres_url, f"{label}_{uuid.uuid4().hex[:8]}"),
        tmp_path_factory.mktemp("log"), f"p{uuid.uuid4().hex[:6]}", TABLES, SOURCE, TARGET, follows_copy=False,
    )  # fmt: skip
    made.provision()
    made.open()
    yield made
    made.close()


@pytest.fixture
def pair(databases):
    """Both sides empty, nothing parked, narrow columns."""
    databases.target.execute("DELETE FROM strangler.parked_row; DELETE FROM strangler.parked_audit")
    databases.target.execute(WIDEN)
    databases.applier.close()
    databases.applier = Applier(databases.link, clock=SystemClock())
    databases.source.execute("TRUNCATE item, parent, child, other")
    databases.sync()
    databases.target.execute(NARROW)
    return databases


def parked(pair):
    return pair.rows(
        "SELECT source_table, key ->> 'id', operation, state FROM strangler.parked_row ORDER BY id", "target"
    )


def ask(pair, kind, where="true"):
    pair.target.execute(
        f"UPDATE strangler.parked_row SET request = '{kind}', requested_by = 'ann', request_reason = 'not needed'"
        f" WHERE state = 'refused' AND {where}"
    )
    return pair.applier.serve_requests()


def same(pair):
    for name in NAMES:
        query = f"SELECT t::text FROM {name} t ORDER BY 1"
        assert pair.rows(query, "target") == pair.rows(query, "source"), name


def test_T19_a_refused_row_parks_with_its_key_and_everything_else_goes_on(pair):
    with pair.source.transaction():
        pair.source.execute("INSERT INTO item VALUES (1, 'a'), (2, %s), (3, 'c')", (LONG,))
        pair.source.execute("INSERT INTO other VALUES (1, 'x')")
    pair.source.execute("UPDATE item SET n = 1")
    pair.sync()
    assert pair.rows("SELECT id, v, n FROM item ORDER BY id") == [(1, "a", 1), (3, "c", 1)]
    assert pair.rows("SELECT id FROM other") == [(1,)]
    assert parked(pair) == [("item", "2", "c", "refused"), ("item", "2", "u", "waiting")]
    ((thing, code),) = pair.rows("SELECT thing, code FROM strangler.parked_row WHERE state = 'refused'")
    assert (thing, code) == ("upsert of item row id=2", "22001")
    pair.target.execute(WIDEN)
    assert ask(pair, "retry")
    assert parked(pair) == []
    same(pair)
    assert not pair.applier.parked


def test_T19_what_is_parked_survives_a_restart_and_keeps_its_place(pair):
    pair.source.execute("INSERT INTO item VALUES (1, %s)", (LONG,))
    pair.sync()
    pair.applier.close()
    pair.applier = Applier(pair.link, clock=SystemClock())
    pair.source.execute("UPDATE item SET n = 2 WHERE id = 1")
    pair.source.execute("INSERT INTO item VALUES (2, 'b')")
    pair.sync()
    assert parked(pair) == [("item", "1", "c", "refused"), ("item", "1", "u", "waiting")]
    assert pair.rows("SELECT id FROM item") == [(2,)]
    assert ask(pair, "retry")
    assert pair.rows("SELECT attempts FROM strangler.parked_row ORDER BY id") == [(2,), (1,)], "still refused"
    pair.target.execute(WIDEN)
    assert ask(pair, "retry")
    same(pair)


def test_T19_a_refused_value_that_a_later_event_mends_comes_back_with_it(pair):
    pair.source.execute("INSERT INTO item VALUES (1, %s)", (LONG,))
    pair.sync()
    pair.source.execute("UPDATE item SET v = 'ok' WHERE id = 1")
    pair.sync()
    assert ask(pair, "retry")
    assert parked(pair) == []
    same(pair)


def test_T19_children_wait_for_a_parked_parent_and_a_parent_stays_for_a_parked_child(pair):
    pair.source.execute("INSERT INTO parent VALUES (1, 'ok'), (2, %s), (3, 'ok')", (LONG,))
    pair.source.execute("INSERT INTO child VALUES (10, 1, 'ok'), (20, 2, 'ok'), (30, 3, 'ok')")
    pair.source.execute("UPDATE child SET parent = 1, v = %s WHERE id = 30", (LONG,))
    pair.source.execute("DELETE FROM parent WHERE id = 3")
    pair.sync()
    assert pair.rows("SELECT id FROM parent ORDER BY id") == [(1,), (3,)]
    assert pair.rows("SELECT id, parent FROM child ORDER BY id") == [(10, 1), (30, 3)]
    assert parked(pair) == [
        ("parent", "2", "c", "refused"), ("child", "20", "c", "waiting"), ("child", "30", "u", "refused"),
        ("parent", "3", "d", "waiting"),
    ]  # fmt: skip
    pair.source.execute("UPDATE child SET v = 'ok2' WHERE id = 10")
    pair.sync()
    assert pair.rows("SELECT v FROM child WHERE id = 10") == [("ok2",)]
    pair.target.execute(WIDEN)
    ask(pair, "retry")
    same(pair)


def test_T19_unique_values_of_parked_rows_are_not_given_away(pair):
    pair.source.execute("INSERT INTO item VALUES (1, %s, 'a')", (LONG,))
    pair.source.execute("UPDATE item SET code = 'b' WHERE id = 1")
    pair.source.execute("INSERT INTO item VALUES (2, 'ok', 'a')")
    pair.source.execute("INSERT INTO item VALUES (3, 'ok', 'c')")
    pair.sync()
    assert pair.rows("SELECT id, code FROM item") == [(3, "c")]
    pair.source.execute("UPDATE item SET code = 'd', v = %s WHERE id = 3", (LONG,))
    pair.source.execute("INSERT INTO item VALUES (4, 'ok', 'c')")
    pair.sync()
    assert parked(pair) == [
        ("item", "1", "c", "refused"), ("item", "1", "u", "waiting"), ("item", "2", "c", "waiting"),
        ("item", "3", "u", "refused"), ("item", "4", "c", "refused"),
    ]  # fmt: skip
    pair.target.execute(WIDEN)
    ask(pair, "retry")
    same(pair)


def test_T19_keys_that_move_into_and_out_of_a_parked_key(pair):
    pair.source.execute("INSERT INTO item VALUES (1, %s), (2, 'b'), (3, 'c')", (LONG,))
    pair.source.execute("UPDATE item SET id = 11 WHERE id = 1")
    pair.source.execute("UPDATE item SET id = 1 WHERE id = 2")
    pair.source.execute("INSERT INTO item VALUES (2, 'new')")
    pair.source.execute("UPDATE item SET v = 'c2' WHERE id = 3")
    pair.sync()
    assert pair.rows("SELECT id, v FROM item ORDER BY id") == [(2, "b"), (3, "c2")]
    pair.target.execute(WIDEN)
    ask(pair, "retry")
    same(pair)


def test_T19_a_truncate_waits_behind_a_parked_row_of_its_table(pair):
    pair.source.execute("INSERT INTO item VALUES (1, %s), (2, 'b')", (LONG,))
    pair.source.execute("TRUNCATE item")
    pair.source.execute("INSERT INTO item VALUES (3, 'c')")
    pair.source.execute("INSERT INTO other VALUES (3, 'c')")
    pair.sync()
    assert pair.rows("SELECT id FROM item") == [(2,)]
    assert pair.rows("SELECT id FROM other") == [(3,)]
    assert [each[2:] for each in parked(pair)] == [("c", "refused"), ("t", "waiting"), ("c", "waiting")]
    ask(pair, "skip")
    same(pair)


def test_T19_a_skip_is_audited_and_what_waited_goes_on(pair):
    pair.source.execute("INSERT INTO item VALUES (1, %s)", (LONG,))
    pair.sync()
    pair.source.execute("UPDATE item SET v = 'short' WHERE id = 1")
    pair.sync()
    assert ask(pair, "skip")
    assert parked(pair) == [("item", "1", "u", "refused")], "an update of a row that was never there"
    audit = "SELECT operation, skipped_by, skip_reason, length(event) > 0 FROM strangler.parked_audit"
    assert pair.rows(audit) == [("c", "ann", "not needed", True)]
    assert ask(pair, "skip")
    assert parked(pair) == []
    pair.source.execute("UPDATE item SET v = 'again' WHERE id = 1")
    pair.sync()
    assert [each[2:] for each in parked(pair)] == [("u", "refused")]


def test_T19_diverged_sides_park_the_row_that_is_missing(pair):
    pair.source.execute("INSERT INTO other SELECT g, 'x' FROM generate_series(1, 10) g")
    pair.sync()
    pair.target.execute("DELETE FROM other WHERE id IN (3, 7)")
    pair.source.execute("UPDATE other SET v = 'y'")
    pair.source.execute("DELETE FROM other WHERE id = 7")
    pair.sync()
    assert [each[:3] for each in parked(pair)] == [("other", "3", "u"), ("other", "7", "u"), ("other", "7", "d")]
    pair.target.execute("INSERT INTO other VALUES (3, 'x'), (7, 'x')")
    ask(pair, "retry")
    same(pair)


def test_T19_one_refused_row_more_than_the_limit_stops_the_stream(pair):
    pair.applier.close()
    limits = LinkLimits(parked_rows=3)
    pair.applier = Applier(dataclasses.replace(pair.link, limits=limits), clock=SystemClock())
    for number in range(5):
        pair.source.execute("INSERT INTO item VALUES (%s, %s)", (number, LONG))
    batch = pair.capture()
    with pytest.raises(TooManyParked) as caught:
        pair.applier.apply(batch)
    assert "row id=3" in caught.value.reason
    assert len(parked(pair)) == 3, "what came before it is parked and passed"
    pair.target.execute(WIDEN)
    ask(pair, "retry")
    pair.applier.apply(batch)
    same(pair)


def test_T19_a_cause_that_is_no_row_stops_the_stream(pair):
    pair.source.execute("INSERT INTO item VALUES (1, %s)", (LONG,))
    pair.sync()
    pair.target.execute("ALTER TABLE other RENAME TO away")
    pair.source.execute("INSERT INTO other VALUES (1, 'x')")
    batch = pair.capture()
    try:
        with pytest.raises(SchemaChanged):
            pair.applier.apply(batch)
    finally:
        pair.target.execute("ALTER TABLE away RENAME TO other")
    assert len(parked(pair)) == 1
    pair.applier.apply(batch)
    assert pair.rows("SELECT id FROM other") == [(1,)]


@pytest.mark.parametrize("statement", ["ALTER TABLE other ADD UNIQUE (v)", "ALTER TABLE other ADD CHECK (v <> 'x')",
                                       "ALTER TABLE other ALTER v SET NOT NULL"])  # fmt: skip
def test_S05_a_constraint_added_to_the_target_alone_parks_rows_and_loses_none(pair, statement):
    pair.target.execute(statement)
    try:
        pair.source.execute("INSERT INTO other VALUES (1, 'x'), (2, 'x'), (3, NULL), (4, 'y')")
        pair.sync()
        pair.source.execute("UPDATE other SET v = 'z' WHERE id = 1")
        pair.sync()
        assert parked(pair)
        assert (4, "y") in pair.rows("SELECT id, v FROM other")
    finally:
        pair.target.execute("ALTER TABLE other DROP CONSTRAINT IF EXISTS other_v_key")
        pair.target.execute("ALTER TABLE other DROP CONSTRAINT IF EXISTS other_v_check")
        pair.target.execute("ALTER TABLE other ALTER v DROP NOT NULL")
    ask(pair, "retry")
    assert parked(pair) == []
    same(pair)


def test_T19_a_crash_before_the_commit_leaves_neither_the_parked_row_nor_the_position(pair, monkeypatch):
    pair.source.execute("INSERT INTO item VALUES (1, %s), (2, 'b')", (LONG,))
    batch, position = pair.capture(), pair.applier.position

    class Crash(BaseException):
        pass

    def crash(name):
        if name == "cdc.apply.before_commit":
            raise Crash

    monkeypatch.setattr("strangler.failpoints.reach", crash)
    with pytest.raises(Crash):
        pair.applier.apply(batch)
    monkeypatch.undo()
    assert (parked(pair), pair.rows("SELECT id FROM item"), pair.applier.position) == ([], [], position)
    pair.applier.apply(batch)
    assert parked(pair) == [("item", "1", "c", "refused")]
    assert pair.applier.session.load_position() == batch[-1].commit_lsn


@pytest.fixture
def fresh(new_database, tmp_path):
    made = StreamPair(new_database, tmp_path, f"q{uuid.uuid4().hex[:6]}", TABLES, SOURCE, TARGET, follows_copy=False)
    made.provision()
    made.open()
    yield made
    made.close()


def test_T19_S01_a_table_whose_form_changed_parks_as_a_whole_and_the_others_go_on(fresh):
    pair = fresh
    pair.source.execute("INSERT INTO other VALUES (1, 'before')")
    pair.source.execute("ALTER TABLE other ADD extra int DEFAULT 7")
    with pair.source.transaction():
        pair.source.execute("INSERT INTO other VALUES (2, 'after')")
        pair.source.execute("INSERT INTO parent VALUES (1, 'ok')")
    pair.source.execute("UPDATE other SET v = 'later' WHERE id = 1")
    pair.source.execute("INSERT INTO child VALUES (1, 1, 'ok')")
    pair.sync()
    assert pair.rows("SELECT * FROM other") == [(1, "before")]
    assert (pair.rows("SELECT id FROM parent"), pair.rows("SELECT id FROM child")) == ([(1,)], [(1,)])
    assert parked(pair) == [("other", "2", "c", "refused"), ("other", "1", "u", "waiting")]
    (said,) = pair.rows("SELECT thing, reason, whole_table FROM strangler.parked_row WHERE state = 'refused'")
    assert said == ("table other", "columns new: extra", True)

    # The plan and the target are adapted, and the worker starts anew.
    pair.target.execute("ALTER TABLE other ADD extra int")
    pair.mapping = identical(*(("other", "id v extra") if name == "other" else (name, columns) for name, columns in (
        ("item", "id v code n"), ("parent", "id v"), ("child", "id parent v"), ("other", ""))))  # fmt: skip
    pair.link = pair.make_link("forward")
    pair.applier.close()
    pair.applier = Applier(pair.link, clock=SystemClock())
    pair.source.execute("INSERT INTO other VALUES (3, 'newest')")
    pair.sync()
    assert [each[1] for each in parked(pair)] == ["2", "1", "3"], "still in its place"
    assert ask(pair, "retry")
    assert parked(pair) == []
    pair.target.execute("UPDATE other SET extra = 7 WHERE extra IS NULL")
    same(pair)


def test_T19_S01_the_dependants_of_a_table_that_is_parked_as_a_whole_wait_for_it(fresh):
    pair = fresh
    pair.source.execute("INSERT INTO parent VALUES (1, 'old'); INSERT INTO child VALUES (1, 1, 'old')")
    pair.source.execute("ALTER TABLE parent ADD extra int")
    with pair.source.transaction():
        pair.source.execute("INSERT INTO parent VALUES (2, 'new', 7)")
        pair.source.execute("INSERT INTO child VALUES (2, 2, 'of it'), (3, NULL, 'alone')")
    pair.source.execute("UPDATE child SET v = 'more' WHERE id = 2; INSERT INTO item VALUES (1, 'ok', 'a', 1)")
    pair.source.execute("UPDATE child SET parent = 2 WHERE id = 1; DELETE FROM child WHERE id = 3")
    pair.sync()
    assert parked(pair) == [
        ("parent", "2", "c", "refused"),
        ("child", "2", "c", "waiting"),
        ("child", "2", "u", "waiting"),
        ("child", "1", "u", "waiting"),
    ]
    assert pair.rows("SELECT id, parent, v FROM child") == [(1, 1, "old")]
    assert pair.rows("SELECT id FROM item") == [(1,)], "what has nothing to do with it goes on"

    pair.target.execute("ALTER TABLE parent ADD extra int")
    pair.mapping = identical(
        ("item", "id v code n"), ("parent", "id v extra"), ("child", "id parent v"), ("other", "id v")
    )
    pair.link = pair.make_link("forward")
    pair.applier.close()
    pair.applier = Applier(pair.link, clock=SystemClock())
    assert ask(pair, "retry")
    assert parked(pair) == []
    same(pair)


class Following:
    """Adds the new column to the target. `refuses`: says that a person has to decide."""

    def __init__(self, pair):
        self.pair, self.refuses, self.asked, self.link = pair, False, [], None

    def passed_over(self, relation):
        pass

    def follow(self, relation, mapper):
        self.asked.append((relation.name, self.pair.rows("SELECT count(*) FROM other")))
        if self.refuses:
            raise SchemaChanged(thing="table other", reason="a diff", mend="op.add_column", relation=relation)
        self.pair.target.execute("ALTER TABLE other ADD extra int")
        self.pair.mapping = identical(
            ("item", "id v code n"), ("parent", "id v"), ("child", "id parent v"), ("other", "id v extra")
        )
        return self.pair.make_link("forward").mapper


@pytest.mark.parametrize("refuses_first", [False, True])
def test_T19_S01_who_follows_schema_changes_is_asked_before_a_table_is_parked(fresh, refuses_first):
    pair = fresh
    following = Following(pair)
    following.refuses = refuses_first
    pair.applier.close()
    pair.applier = Applier(dataclasses.replace(pair.link, evolution=following), clock=SystemClock())
    pair.source.execute("INSERT INTO other VALUES (1, 'before')")
    pair.source.execute("ALTER TABLE other ADD extra int")
    pair.source.execute("INSERT INTO other VALUES (2, 'after', 1)")
    pair.source.execute("UPDATE other SET extra = 2 WHERE id = 1")
    pair.sync()
    assert following.asked == [("other", [(1,)])], "once, when everything before it was durable"
    if refuses_first:
        assert pair.rows("SELECT reason, mend FROM strangler.parked_row WHERE state = 'refused'") == [
            ("a diff", "op.add_column")
        ]
        following.refuses = False
        assert ask(pair, "retry")
        assert len(following.asked) == 2
    assert parked(pair) == []
    same(pair)


def test_T19_a_target_from_before_there_were_parked_rows_gets_its_tables(fresh):
    pair = fresh
    pair.target.execute("DROP TABLE strangler.parked_row, strangler.parked_audit")
    pair.applier.close()
    pair.applier = Applier(pair.link, clock=SystemClock())
    pair.source.execute("INSERT INTO item VALUES (1, %s)", (LONG,))
    pair.sync()
    assert parked(pair) == [("item", "1", "c", "refused")]


def test_T19_the_audit_outlives_its_stream(fresh):
    pair = fresh
    pair.source.execute("INSERT INTO item VALUES (1, %s)", (LONG,))
    pair.sync()
    ask(pair, "skip")
    pair.applier.close()
    pair.applier = None
    deprovision_target(pair.target_dsn, pair.link.stream)
    assert pair.rows("SELECT skipped_by FROM strangler.parked_audit") == [("ann",)]
    assert pair.rows("SELECT to_regclass('strangler.parked_row')") == [(None,)]
