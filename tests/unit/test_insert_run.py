"""Runs of inserts kept as bytes: the same rows, the same `COPY` text, whatever the values are."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import DecodeError
from cdc.events import Column, Relation, RowChange
from cdc.insert_run import InsertRun

TEXTS = st.one_of(
    st.none(),
    st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12),
    st.sampled_from(["", "\\N", "\t", "a\nb", "c\rd", "\\", "plain", "ü€😀", "12.50", "x" * 300]),
)


def relation(width):
    return Relation(
        oid=7, schema="public", name="item", columns=tuple(Column(name=f"c{i}", type_oid=25) for i in range(width))
    )


def message(row, oid=7, xid=b""):
    cells = b"".join(b"n" if v is None else b"t" + struct.pack(">I", len(v.encode())) + v.encode() for v in row)
    return b"I" + xid + struct.pack(">I", oid) + b"N" + struct.pack(">H", len(row)) + cells


def read_copy(text, null):
    """PostgreSQL's own rules for the text format."""
    rows = []
    for line in text.decode().split("\n")[:-1]:
        cells = []
        for cell in line.split("\t"):
            if cell == null:
                cells.append(None)
                continue
            out, at = [], 0
            while at < len(cell):
                if cell[at] == "\\":
                    out.append({"t": "\t", "n": "\n", "r": "\r"}.get(cell[at + 1], cell[at + 1]))
                    at += 2
                else:
                    out.append(cell[at])
                    at += 1
            cells.append("".join(out))
        rows.append(tuple(cells))
    return rows


@st.composite
def tables(draw):
    width = draw(st.integers(1, 5))
    rows = draw(st.lists(st.tuples(*[TEXTS] * width), min_size=1, max_size=20))
    columns = draw(
        st.one_of(st.just(tuple(range(width))), st.permutations(range(width)).map(lambda p: p[: len(p) // 2 + 1]))
    )
    return width, rows, columns


@given(tables(), st.booleans())
def test_copy_text_holds_the_chosen_columns_of_every_row(table, streamed):
    width, rows, columns = table
    xid = b"\0\0\1\2" if streamed else b""
    run = InsertRun.of(relation(width), [message(row, xid=xid) for row in rows], streamed=streamed)
    text, null = run.copy_text(columns)
    assert read_copy(text, null) == [tuple(row[at] for at in columns) for row in rows]


@given(tables())
def test_iterating_gives_the_rows_again_and_again(table):
    width, rows, _ = table
    run = InsertRun.of(relation(width), [message(row) for row in rows])
    expected = [RowChange(relation=run.relation, op="c", new=row) for row in rows]
    assert list(run) == expected == list(run)
    assert len(run) == len(rows)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5), st.data())
def test_bytes_that_are_not_rows_of_the_table_are_told(rows, data):
    messages = [message(row) for row in rows]
    index = data.draw(st.integers(0, len(messages) - 1))
    whole = messages[index]
    messages[index] = data.draw(
        st.one_of(
            st.just(whole[:-1]),
            st.just(whole + b"x"),
            st.just(whole[:8] + b"z" + whole[9:]),
            st.just(whole[:8] + b"t\xff\xff\xff\xff" + whole[9:]),
        )
    )
    with pytest.raises(DecodeError):
        InsertRun.of(relation(2), messages)
