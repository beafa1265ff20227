"""Rows of the change table → transactions; the text form of a whole row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import DecodeError
from cdc.events import Message, Truncate
from cdc.triggers.rows import ChangeReader, read_record

COLUMNS = [["id", 20, -1, True, False], ["twice", 20, -1, False, True], ["a", 25, -1, False, False]]


def row(position, op="c", old=None, new=None, **more):
    return {
        "position": position,
        "op": op,
        "old": old,
        "new": new,
        "xid": str(700 + position),
        "at_us": position * 10,
        "table_schema": "public",
        "table_name": "t",
        "relation": 5,
        "columns": COLUMNS,
        "prefix": None,
        "content": None,
        **more,
    }


def written(values):
    """As the server writes a row."""
    return f"({','.join(_field(value) for value in values)})"


def _field(value):
    if value is None:
        return ""
    if value and not any(sign in '"\\(),' or sign.isspace() for sign in value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '""') + '"'


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=6))
def test_any_row_reads_back(values):
    assert read_record(written(values)) == values


@given(st.text(alphabet='()",\\a ', max_size=20))
def test_any_text_is_a_row_or_a_named_error(text):
    try:
        assert isinstance(read_record(text), list)
    except DecodeError as error:
        assert error.mend


def test_transactions_by_position_without_generated_columns():
    first, second = ChangeReader().transactions(
        [
            row(1, new='(1,2,"")'),
            row(1, "u", '(1,2,"")', "(1,2,)"),
            row(2, "d", '(1,2,"a ""b"" \\\\")'),
            row(2, "m", prefix="p", content=b"x"),
        ]
    )
    insert, update = first.changes
    assert (insert.new, update.old, update.new) == (("1", ""), ("1", ""), ("1", None))
    assert [column.name for column in insert.relation.columns] == ["id", "a"]
    delete, message = second.changes
    assert delete.old == ("1", 'a "b" \\')
    assert message == Message(prefix="p", content=b"x", transactional=True, lsn=2)
    assert (first.commit_lsn, first.xid, first.commit_time_us, second.commit_lsn) == (1, 701, 10, 2)
    assert insert.relation is delete.relation


def test_truncates_that_follow_each_other_are_one():
    (transaction,) = ChangeReader().transactions(
        [row(1, "t"), row(1, "t", table_name="u", relation=6), row(1, new="(1,2,x)"), row(1, "t")]
    )
    both, _, one = transaction.changes
    assert isinstance(both, Truncate)
    assert [relation.name for relation in both.relations] == ["t", "u"]
    assert len(one.relations) == 1


@pytest.mark.parametrize(
    "damaged",
    [row(1, new="(1,2)"), row(1, new="1,2,3"), row(1, "u", new="(1,2,x)"), row(1, "x", new="(1,2,x)"), row(1, "c")],
)
def test_what_we_never_write_is_an_error(damaged):
    with pytest.raises(DecodeError):
        ChangeReader().transactions([damaged])
