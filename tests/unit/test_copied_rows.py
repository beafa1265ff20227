"""Lines of the COPY text format: parsed as PostgreSQL means them, passed on as they are."""

from hypothesis import given
from hypothesis import strategies as st

from cdc.copied_rows import CopiedRows, CopiedRun, parse_line
from cdc.events import Column, Relation

TEXTS = st.one_of(
    st.none(),
    st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12),
    st.sampled_from(["", "\\N", "\\", "\\\\", "a\\n", "\t", "\n", "\r", "\b\f\v", "back\\slash\\", "ü€😀"]),
)
PAIR = Relation(
    oid=0, schema="public", name="t", columns=(Column(name="id", type_oid=25), Column(name="v", type_oid=25))
)
LETTERS = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


def printed(row):
    """As the server's CopyAttributeOutText does."""
    cells = ["\\N" if v is None else "".join(LETTERS.get(each, each) for each in v) for v in row]
    return "\t".join(cells).encode() + b"\n"


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_a_line_is_parsed_as_it_was_printed(row):
    assert parse_line(printed(row)) == tuple(row)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8))
def test_the_text_of_chosen_columns_holds_their_values(rows):
    run = CopiedRun(PAIR, CopiedRows([printed(row) for row in rows]))
    for columns in ((0, 1), (1, 0), (1,)):
        text, null = run.copy_text(columns)
        assert null == "\\N"
        lines = [line + b"\n" for line in text.split(b"\n")[:-1]]
        assert [parse_line(line) for line in lines] == [tuple(row[at] for at in columns) for row in rows]


def test_rows_with_named_keys_are_set_apart():
    rows = [("a\tb", "1"), ("c", "2"), ("d", None)]
    rest, met = CopiedRows([printed(row) for row in rows]).split((0,), {("a\tb",), ("d",), ("elsewhere",)})
    assert list(rest) == [("c", "2")]
    assert met == [rows[0], rows[2]]
