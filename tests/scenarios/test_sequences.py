import psycopg
import pytest

from cdc.errors import SourceUnfit
from cdc.mapping.model import MoveMapping, TableMapping, TargetMapping
from cdc.schema import reflect
from cdc.sequences import SequenceExhausted, SequenceUnfit, push_sequences, sequence_gap, sequence_pairs
from sandbox.postgres import create_database
from tests.catalog_mapping import CATALOG, LEGACY_DDL, SERVICE_DDL, name, same

pytestmark = [pytest.mark.integration, pytest.mark.scenario]

ONE = MoveMapping(
    tables=(TableMapping(source=name("a"), targets=(TargetMapping(table=name("b"), columns=same("id")),)),)
)


@pytest.fixture(scope="module")
def databases(postgres_url):
    return [create_database(postgres_url, f"sequences_{side}") for side in ("owner", "other")]


@pytest.fixture
def two_sides(databases):
    with (
        psycopg.connect(databases[0], autocommit=True) as owner,
        psycopg.connect(databases[1], autocommit=True) as other,
    ):
        for connection in (owner, other):
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        yield owner, other


def pairs_of(mapping, owner, other):
    return sequence_pairs(mapping, reflect(owner, mapping.source_tables), reflect(other, mapping.target_tables))


def sides(two_sides, source_id, target_id):
    owner, other = two_sides
    owner.execute(f"CREATE TABLE a (id {source_id})")
    other.execute(f"CREATE TABLE b (id {target_id})")
    return owner, other, pairs_of(ONE, owner, other)


def next_id(connection, table):
    return connection.execute(f"INSERT INTO {table} DEFAULT VALUES RETURNING id").fetchone()[0]


SERIAL = "bigserial PRIMARY KEY"
IDENTITY = "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"


def test_pairs_of_the_reference_store(two_sides):
    owner, other = two_sides
    owner.execute(LEGACY_DDL)
    other.execute(SERVICE_DDL)
    pairs = pairs_of(CATALOG, owner, other)
    assert [(str(p.source_table), p.source_column, str(p.target_table), p.target_column) for p in pairs] == [
        ("category", "id", "categories", "category_id"),
        ("product", "id", "products", "product_id"),
        ("price", "id", "prices", "price_id"),
    ]


def test_C10_the_next_number_of_the_other_side_is_past_headroom(two_sides):
    owner, other, pairs = sides(two_sides, SERIAL, IDENTITY)
    for _ in range(5):
        next_id(owner, "a")
    (pushed,) = push_sequences(owner, other, pairs, 100)
    assert (pushed.before, pushed.after) == (0, 105)
    assert sequence_gap(owner, other, pairs)[0].free == 100
    assert next_id(other, "b") == 106


def test_pushing_again_moves_nothing_and_never_back(two_sides):
    owner, other, pairs = sides(two_sides, SERIAL, SERIAL)
    other.execute("SELECT setval('b_id_seq', 5000)")
    for _ in range(2):
        (pushed,) = push_sequences(owner, other, pairs, 10)
        assert (pushed.before, pushed.after) == (5000, 5000)


def test_C10_numbers_that_are_drawn_but_not_committed_count_and_so_does_a_cache(two_sides):
    owner, other, pairs = sides(two_sides, SERIAL, SERIAL)
    owner.execute("ALTER SEQUENCE a_id_seq CACHE 20")
    with owner.transaction(force_rollback=True):
        next_id(owner, "a")
    push_sequences(owner, other, pairs, 0)
    assert next_id(other, "b") == 21


def test_C10_rows_with_explicit_numbers_on_either_side_count(two_sides):
    owner, other, pairs = sides(two_sides, SERIAL, IDENTITY)
    owner.execute("INSERT INTO a VALUES (70)")
    push_sequences(owner, other, pairs, 0)
    assert sequence_gap(owner, other, pairs)[0].next == 71
    other.execute("INSERT INTO b OVERRIDING SYSTEM VALUE VALUES (90)")
    assert not sequence_gap(owner, other, pairs)[0].safe
    push_sequences(owner, other, pairs, 0)
    assert next_id(other, "b") == 91


def test_C10_negative_and_larger_increments(two_sides):
    owner, other, pairs = sides(
        two_sides,
        "bigint GENERATED ALWAYS AS IDENTITY (INCREMENT BY -1) PRIMARY KEY",
        "bigint GENERATED ALWAYS AS IDENTITY (INCREMENT BY -5) PRIMARY KEY",
    )
    for _ in range(3):
        next_id(owner, "a")
    push_sequences(owner, other, pairs, 10)
    assert sequence_gap(owner, other, pairs)[0].free == 54
    assert next_id(other, "b") == -58


def test_C10_no_room_left_is_an_error_that_names_the_sequence_and_moves_nothing(two_sides):
    owner, other, pairs = sides(two_sides, SERIAL, SERIAL)
    owner.execute("SELECT setval('a_id_seq', 9223372036854775800)")
    with pytest.raises(SequenceExhausted) as caught:
        push_sequences(owner, other, pairs, 1000)
    assert caught.value.thing == "sequence public.b_id_seq"
    assert next_id(other, "b") == 1


def test_C10_a_smaller_type_on_the_other_side_is_exhausted_earlier(two_sides):
    owner, other, pairs = sides(two_sides, SERIAL, "smallserial PRIMARY KEY")
    owner.execute("SELECT setval('a_id_seq', 32767)")
    with pytest.raises(SequenceExhausted):
        push_sequences(owner, other, pairs, 1)


def test_C10_a_sequence_shared_by_two_tables_is_pushed_past_both(two_sides):
    owner, other = two_sides
    owner.execute("CREATE SEQUENCE ids; CREATE TABLE a (id bigint PRIMARY KEY DEFAULT nextval('ids'));"
                  "CREATE TABLE c (id bigint PRIMARY KEY DEFAULT nextval('ids'))")  # fmt: skip
    other.execute("CREATE SEQUENCE ids; CREATE TABLE b (id bigint PRIMARY KEY DEFAULT nextval('ids'));"
                  "CREATE TABLE d (id bigint PRIMARY KEY DEFAULT nextval('ids'))")  # fmt: skip
    second = TableMapping(source=name("c"), targets=(TargetMapping(table=name("d"), columns=same("id")),))
    mapping = MoveMapping(tables=(*ONE.tables, second))
    owner.execute("INSERT INTO a VALUES (40); INSERT INTO c VALUES (50)")
    pairs = pairs_of(mapping, owner, other)
    push_sequences(owner, other, pairs, 0)
    assert next_id(other, "b") == 51
    assert next_id(other, "d") == 52


def test_opposite_directions_and_cycles_are_refused(two_sides):
    owner, other, pairs = sides(two_sides, SERIAL, SERIAL)
    other.execute("ALTER SEQUENCE b_id_seq INCREMENT BY -1 MINVALUE -100")
    with pytest.raises(SequenceUnfit, match="other way round"):
        push_sequences(owner, other, pairs, 1)
    other.execute("ALTER SEQUENCE b_id_seq INCREMENT BY 1 CYCLE")
    with pytest.raises(SequenceUnfit, match="cycles"):
        push_sequences(owner, other, pairs, 1)


def test_a_sequence_that_is_gone_is_named(two_sides):
    owner, other, pairs = sides(two_sides, SERIAL, SERIAL)
    other.execute("ALTER SEQUENCE b_id_seq RENAME TO z")
    with pytest.raises(SourceUnfit, match="b_id_seq"):
        push_sequences(owner, other, pairs, 1)


def test_R6_the_way_back_pushes_the_source_sequences(two_sides):
    owner, other, pairs = sides(two_sides, SERIAL, IDENTITY)
    next_id(owner, "a")
    push_sequences(owner, other, pairs, 10)
    numbers = [next_id(other, "b") for _ in range(3)]
    back = [pair.swapped() for pair in pairs]
    push_sequences(other, owner, back, 10)
    assert all(gap.safe for gap in sequence_gap(other, owner, back))
    assert next_id(owner, "a") == numbers[-1] + 11
