"""DBLog's window, with PostgreSQL's snapshots: the chunk equals the source as of the high mark."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc import snapshot_window
from cdc.events import UNCHANGED, Column, Relation, RowChange, TableName, Truncate
from cdc.snapshot_window import Chunk, SnapshotWindow, SourceSnapshot, parse_snapshot

T = TableName(name="t")
RELATION = Relation(
    oid=1,
    schema="public",
    name="t",
    columns=(Column(name="v", type_oid=25), Column(name="id", type_oid=23, in_key=True)),
)


def row(key, value):
    return (value, key)


def change(op, key=None, value=None, old=None):
    new = None if op == "d" else row(key, value)
    before = row(old, None) if old else (row(key, None) if op == "d" else None)
    return RowChange(relation=RELATION, op=op, new=new, old=before, old_is_key=True)


def chunk(rows, snapshot):
    return Chunk(
        relation=RELATION, key_columns=("id",), rows=tuple(row(*each) for each in rows), snapshot=snapshot, after=("9",)
    )


def close(rows, observed, snapshot="100:100:", seen_before=()):
    window = SnapshotWindow(T, tuple(seen_before))
    for xid, each in observed:
        window.observe(xid, each)
    found = window.close(chunk(rows, parse_snapshot(snapshot)))
    return None if found is None else {key: value for value, key in found}


def test_h01_a_row_that_changed_after_the_chunk_was_read_has_the_streams_value():
    assert close([("1", "old")], [(100, change("u", "1", "new"))]) == {"1": "new"}


def test_h02_a_row_that_was_deleted_after_the_chunk_was_read_is_not_resurrected():
    assert close([("1", "a"), ("2", "b")], [(100, change("d", "1"))]) == {"2": "b"}


def test_a_change_that_the_chunk_contains_already_does_not_bring_an_older_value_back():
    # 90 wrote x, 95 wrote y, both before the snapshot: the chunk has y.
    assert close([("1", "y")], [(90, change("u", "1", "x"))]) == {"1": "y"}


def test_an_unsent_large_value_is_the_chunks():
    assert close([("1", "large")], [(100, change("u", "1", UNCHANGED))]) == {"1": "large"}


def test_h03_a_row_that_moves_takes_its_value_along():
    assert close([("1", "large")], [(100, change("u", "5", UNCHANGED, old="1"))]) == {"5": "large"}


def test_a_key_used_twice_in_the_window_is_not_mixed_up():
    moved, reused = change("u", "5", UNCHANGED, old="1"), change("c", "1", "other")
    assert close([("5", "large"), ("1", "other")], [(90, moved), (91, reused)]) == {"5": "large", "1": "other"}


def test_truncate_empties_the_chunk():
    assert close([("1", "a")], [(100, Truncate(relations=(RELATION,)))]) == {}


def test_a_transaction_in_the_log_before_the_mark_but_not_visible_voids_the_chunk():
    assert close([("1", "a")], [], snapshot="98:100:98", seen_before=[97]) is not None
    assert close([("1", "a")], [], snapshot="98:100:98", seen_before=[97, 98]) is None
    assert close([("1", "a")], [], snapshot="98:100:98", seen_before=[100]) is None


@pytest.mark.parametrize("names", [("v", "id", "more"), ("other", "id")])
def test_H11_a_row_that_changed_after_its_table_did_is_not_taken_for_one_of_the_old_columns(names):
    relation = replace(RELATION, columns=tuple(Column(name=name, type_oid=25) for name in names))
    later = RowChange(relation=relation, op="u", new=("new", "1", "x")[: len(names)])
    assert close([("1", "old")], [(100, later)]) is None
    assert close([("2", "old")], [(100, later)]) == {"2": "old"}


@pytest.mark.parametrize(("bound", "most"), [("MOST_OBSERVED", 3), ("MOST_OBSERVED_CHARACTERS", 7)])
def test_T01_a_huge_transaction_between_the_marks_is_not_held_and_its_chunk_is_read_again(monkeypatch, bound, most):
    monkeypatch.setattr(snapshot_window, bound, most)
    observed = [(100, change("u", "1", str(value))) for value in range(4)]
    assert close([("1", "a")], observed[:3]) == {"1": "2"}
    assert close([("1", "a")], observed) is None
    window = SnapshotWindow(T, ())
    for xid, each in [*observed, *observed]:
        window = window.clone()
        window.observe(xid, each)
    assert (window.observed, window.close(chunk([], parse_snapshot("101:101:")))) == ([], None)


def test_snapshots_see_across_the_32_bit_wrap():
    snapshot = SourceSnapshot(xmin=2**32 - 5, xmax=2**32 + 5, in_progress=frozenset({2**32 + 1}))
    assert snapshot.sees(2**32 - 6)
    assert snapshot.sees(2)
    assert not snapshot.sees(1)
    assert not snapshot.sees(5)
    just_before = SourceSnapshot(xmin=2**32 - 5, xmax=2**32 - 5)
    assert not just_before.sees(3)


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["put", "del", "move"]), st.sampled_from("1234"), st.sampled_from("1234")), max_size=25
)


@given(ACTIONS, st.integers(0, 25))
def test_any_history_with_the_chunk_read_anywhere_in_it(actions, read_at):
    """Every action is a transaction; the chunk is read after `read_at` of them."""
    source = {"1": "a", "2": "b"}
    observed, rows, snapshot = [], None, None
    for number, (action, key, other) in enumerate(actions):
        xid = 100 + number
        if number == read_at:
            rows, snapshot = dict(source), xid
        if action == "put":
            observed.append((xid, change("u" if key in source else "c", key, str(xid))))
            source[key] = str(xid)
        elif action == "del" and key in source:
            del source[key]
            observed.append((xid, change("d", key)))
        elif action == "move" and key in source and other not in source:
            source[other] = source.pop(key)
            observed.append((xid, change("u", other, UNCHANGED, old=key)))
    if rows is None:
        rows, snapshot = dict(source), 100 + len(actions)
    result = close(rows.items(), observed, f"{snapshot}:{snapshot}:")
    # What the chunk had, brought forward; rows that arrived after it was read come by the stream itself.
    assert result.items() <= source.items()
    arrived = {key for key in source if key not in result}
    assert all(any(each.new and each.new[1] == key and xid >= snapshot for xid, each in observed) for key in arrived)
