"""What Debezium's own engine made of a database, put into real Kafka topics, becomes the same rows elsewhere."""

import ast
import contextlib
import json
import os
import random
import subprocess
import sys
import time
import uuid

import psycopg
import pytest

from cdc.changelog.debezium_topics.consume import ends_now
from cdc.changelog.debezium_topics.tables import same_tables
from cdc.schema import reflect
from cdc.sql_target.compare import compare_rows
from sandbox.postgres import create_database
from strangler.failpoints import VARIABLE
from tests.contract.apply_targets import make_target
from tests.debezium import oracle, recorded
from tests.debezium.topics import NAME, consume_all, consuming, rows, spec, stops, topics_maker
from tests.kafka_rig import real_kafka  # noqa: F401
from tests.sql_pair import sql_link

pytestmark = pytest.mark.integration

SCHEMA = (oracle.HERE / "schema.sql").read_text()
EXACT = {"decimal_handling_mode": "string", "interval_handling_mode": "string"}
PLAIN = ["small", "comp", "rf", "big"]
BIG = ["big.n", "big.a", "big.h", "big.ts"]
"""Unchanged TOASTed values of these types are null in Debezium's records."""


def statements(connection):
    """The oracle's statements, truncates among them, then transactions that overlap."""
    connection.execute("SET timezone = 'UTC'")
    connection.execute("delete from rf")
    for statement in (oracle.HERE / "statements.sql").read_text().split(";;\n"):
        connection.execute(statement)
    connection.execute("insert into small select g, 'after the truncate' from generate_series(1, 40) g")
    connection.execute("insert into dflt (id, t_plain, n_ps) values (7, null, null)")
    dsn = connection.info.dsn
    with psycopg.connect(dsn) as one, psycopg.connect(dsn) as two:
        one.execute("insert into big (id, v, t) values (1000, 1, repeat('y', 4000))")
        two.execute("update small set name = 'two' where id <= 20")
        one.execute("update small set id = id + 1000 where id between 30 and 35")
        two.commit()
        one.execute("update small set name = 'one' where id <= 10")
        two.execute("update big set id = id + 500 where id between 100 and 104")
        two.execute("delete from big where id = 110")
        two.commit()
        one.execute("update big set id = 2000, v = 7 where id = 1000")
        one.commit()
        two.execute("insert into small select g, 'many' from generate_series(5000, 5400) g")
        two.execute("insert into comp select g, g % 7, 'many' from generate_series(1, 200) g")
        two.execute("update comp set b = b + 10000 where b <= 50")
        two.commit()
        two.execute("insert into rf select g, 'v', 't' from generate_series(1, 30) g")
        two.execute("update rf set v = 'w', id = id + 100 where id > 20")
        two.execute("delete from rf where id < 5")
        two.commit()
    connection.execute("update small set name = null where id % 3 = 0")


@pytest.fixture(scope="module")
def both(postgres_url):
    dsn = create_database(postgres_url, f"rec_{uuid.uuid4().hex[:8]}")
    return dsn, recorded.record(dsn, SCHEMA, statements)


@pytest.fixture
def target(postgres_url):
    return new_target(postgres_url)


def new_target(postgres_url):
    dsn = create_database(postgres_url, f"tgt_{uuid.uuid4().hex[:8]}")
    with psycopg.connect(dsn) as connection:
        connection.execute(SCHEMA)
    return dsn


@pytest.fixture
def new_topics(real_kafka):  # noqa: F811
    with topics_maker(real_kafka[0]) as make:
        yield make


def assert_equal(source, target):
    for table in PLAIN:
        columns = "*" if table != "big" else "id, v, t, b, i, j, nn"
        assert rows(target, table, columns) == rows(source, table, columns), table


def events(records):
    """Values of row events of the compared tables, without those of the snapshot."""
    topics = [f"public.{table}" for table in PLAIN]
    found = [value for topic, _, value, _ in records if topic.partition(".")[2] in topics and value]
    return [value for value in found if '"op":"r"' not in value]


LEFT_OUT = ["a_name", "a_varbit", "a_interval", "a_xml", "a_point", "a_money"]
"""Arrays that Debezium has no form for are not in its records at all."""
ARRAYS = [
    f"a_{name}"
    for name in (
        "bit", "bool", "bytea", "char", "cidr", "citext", "date", "dr", "float4", "float8", "hstore", "i4r", "inet",
        "int2", "int4", "json", "jsonb", "ltree", "mac", "mood", "num", "num102", "pair", "posint", "text", "time",
        "timetz", "ts", "tsr", "tstz", "tsv", "uuid", "varchar",
    )
]  # fmt: skip
"""A null in them may be more than NULL; infinities, fractions of a millisecond and dimensions are lost."""
SCALARS = ["c_date", "c_ts", "c_ts3", "c_name", "c_timetz", "c_varbit", "c_varbit0"]
"""Infinite; null for unchanged; without their zone; without leading zeros."""
DECIMALS = ["c_interval", "c_interval_ym", "c_money2", "c_num", "c_num102", "c_num5", "c_num_neg"]
"""With the connector's defaults, not with its modes `string`."""
DOUBTED = {"exact": [*ARRAYS, *SCALARS], "defaults": [*ARRAYS, *SCALARS, *DECIMALS]}
MODES = {"exact": EXACT, "defaults": {}}


@pytest.mark.parametrize("with_schema", [True, False], ids=["schema", "no schema"])
@pytest.mark.parametrize("partitions", [1, 3])
def test_whole_transactions_by_the_transaction_topic(both, target, new_topics, partitions, with_schema):
    source, found = both
    topics = new_topics(PLAIN, partitions)
    topics.send(found["exact"], "rec-exact", with_schema)
    consume_all(spec(topics, target, None if with_schema else source, modes=EXACT, accept=BIG))
    assert_equal(source, target)
    with psycopg.connect(target) as connection:
        # Every transaction of the source's that touched these tables, and none in two parts.
        wanted = {json.loads(value)["payload"]["source"]["txId"] for value in events(found["exact"])}
        moved = connection.execute("SELECT transactions FROM strangler.stream_position").fetchone()[0]
    snapshots_and_notes = 8
    assert len(wanted) <= moved <= len(wanted) + snapshots_and_notes


def test_a_connector_with_its_defaults_and_without_a_transaction_topic(both, target, new_topics):
    source, found = both
    topics = new_topics(PLAIN, transactions=False)
    topics.send(found["defaults"], "rec-defaults")
    consume_all(spec(topics, target, accept=BIG))
    assert_equal(source, target)


def test_several_partitions_without_a_transaction_topic_refuse_a_truncate(both, target, new_topics):
    topics = new_topics(PLAIN, 3, transactions=False)
    topics.send(both[1]["defaults"], "rec-defaults")
    error = stops(spec(topics, target, accept=BIG))
    assert error["error"] == "UntrustedValues"
    assert "truncate" in error["reason"]
    assert "provide.transaction.metadata" in error["mend"]


@pytest.mark.parametrize("mode", MODES)
def test_every_type_is_exact_or_refused_until_its_column_is_accepted(both, target, new_topics, mode):
    source, found = both
    topics = new_topics(["types"])
    topics.send(found[mode], f"rec-{mode}")
    with psycopg.connect(target) as connection:
        connection.execute(f"ALTER TABLE types {', '.join(f'DROP COLUMN {name}' for name in LEFT_OUT)}")
    error = stops(spec(topics, target, modes=MODES[mode]))
    assert error["error"] == "UntrustedValues"
    assert "types." in error["reason"]
    assert rows(target, "types")[1] == []
    consume_all(spec(topics, target, modes=MODES[mode], accept=[f"types.{name}" for name in DOUBTED[mode]]))
    trusted = [name for name in rows(target, "types")[0] if name not in DOUBTED[mode]]
    assert len(trusted) > 65
    columns = ", ".join(f'x."{name}"' for name in trusted)
    _, got = rows(target, "types", columns)
    _, wanted = rows(source, "types", columns)
    different = {
        (name, one, other)
        for pair in zip(got, wanted, strict=True)
        for name, one, other in zip(trusted, *map(ast.literal_eval, pair), strict=True)
        if one != other
    }
    assert different == set()


@pytest.mark.parametrize("with_schema", [True, False], ids=["schema", "no schema"])
def test_a_null_that_the_connector_wrote_as_the_default_is_not_applied(both, target, new_topics, with_schema):
    source, found = both
    assert '"t_plain":""' in next(value for topic, _, value, _ in found["exact"] if value and topic.endswith("dflt"))
    assert rows(source, "dflt", 'x."t_plain"')[1] == ["(None,)"]
    topics = new_topics(["dflt"])
    topics.send(found["exact"], "rec-exact", with_schema)
    error = stops(spec(topics, target, None if with_schema else source, modes=EXACT))
    assert error["error"] == "UntrustedValues"
    assert "null_default" in error["reason"]
    assert "replace.null.with.default=false" in error["mend"]
    assert rows(target, "dflt")[1] == []


def test_with_a_converter_that_keeps_nulls_they_are_applied(both, target, new_topics):
    source, found = both
    topics = new_topics(["dflt"], transactions=False)
    topics.send(found["nulls"], "rec-nulls")
    compared = 'x."i_neg", x."t_plain", x."t_vc", x."n_ps", x."b_false", x."tz", x."iv", x."j", x."u", x."e"'
    assert rows(source, "dflt", compared)[1][0].count("None") == 2
    lost = [f"dflt.{name}" for name in ("d_inf", "ts_inf", "vb", "vb_0", "vb_fn", "tm_tz", "ar", "ta", "hs")]
    consume_all(spec(topics, target, modes=EXACT, nulls_are_kept=True, accept=lost))
    assert rows(target, "dflt", compared) == rows(source, "dflt", compared)


IN_OTHERS = ["small", "comp", "rf"]


@pytest.mark.parametrize("dialect", ["sqlite", "mysql"])
def test_the_connectors_topics_into_another_kind_of_target(both, new_topics, dialect, request, tmp_path):
    """Truncates, changes of keys and overlapping transactions among them."""
    source, found = both
    made = make_target(dialect, request, tmp_path)
    try:
        made.execute(
            "CREATE TABLE small (id integer PRIMARY KEY, name varchar(40))",
            "CREATE TABLE comp (b integer, a integer, v longtext, PRIMARY KEY (a, b))",
            "CREATE TABLE rf (id integer PRIMARY KEY, v longtext, t longtext)",
        )
        topics = new_topics(IN_OTHERS, 2)
        topics.send(found["exact"], "rec-exact")
        consume_all(spec(topics, made.dsn, source, modes=EXACT))
        mapping = same_tables(made.dsn, topics.tables, reflect(source, topics.tables))
        compared = compare_rows(sql_link("compared", mapping, source, made.dsn, tmp_path))
        assert [each for each in compared if not each.equal] == []
        assert sum(each.rows for each in compared) > 500
    finally:
        made.close()


def test_columns_that_the_topic_lacks_are_named(both, target, new_topics):
    topics = new_topics(["types"])
    topics.send(both[1]["exact"], "rec-exact")
    chosen = spec(topics, target, accept=[f"types.{name}" for name in DOUBTED["exact"]], on_bad_row="stop")
    error = stops(chosen)
    assert error["error"] == "SchemaChanged"
    assert all(name in error["reason"] for name in LEFT_OUT)


def test_the_transaction_topic_may_come_long_before_or_after_the_rows(both, target, new_topics, postgres_url):
    source, found = both
    ends = [each for each in found["exact"] if each[0].endswith(".transaction")]
    data = [each for each in found["exact"] if not each[0].endswith(".transaction")]
    for first, last in ((ends, data), (data, ends)):
        dsn = new_target(postgres_url)
        topics = new_topics(PLAIN, 3)
        topics.send(first, "rec-exact")
        with consuming(spec(topics, dsn, modes=EXACT, accept=BIG)) as worker:
            time.sleep(0.5)
            topics.send(last, "rec-exact")
            deadline = time.monotonic() + 60
            while not worker.applied_through(ends_now(worker.options)):
                assert time.monotonic() < deadline, worker.view()
                time.sleep(0.1)
        assert_equal(source, dsn)


@pytest.mark.parametrize("mode", ["exact", "defaults"])
def test_what_a_restarted_connector_writes_again_is_passed_over(both, target, new_topics, mode):
    """It goes back to some event and writes everything from there, several times."""
    source, found = both
    records, sent, chosen = found[mode], [], random.Random(7)
    streamed = next(n for n, each in enumerate(records) if '"op":"r"' not in (each[2] or ""))
    at = streamed
    while at < len(records):
        upto = min(len(records), at + chosen.randrange(50, 300))
        back = max(streamed, at - chosen.randrange(0, 120))
        sent += records[back:upto]
        at = upto
    topics = new_topics(PLAIN, 2 if mode == "exact" else 1, transactions=mode == "exact")
    topics.send([*records[:streamed], *sent], f"rec-{mode}")
    consume_all(spec(topics, target, modes=MODES[mode], accept=BIG))
    assert_equal(source, target)


@pytest.mark.parametrize("seed", [1])
def test_a_killed_consumer_goes_on_where_its_target_stands(both, target, new_topics, seed):
    source, found = both
    chosen = random.Random(seed)
    topics = new_topics(PLAIN, 2)
    spec(topics, target)  # provisioned
    process = None
    records, kills = found["exact"], 0
    try:
        for at in range(0, len(records), 300):
            process = start(topics, target, chosen.choice(["cdc.apply.before_commit", "cdc.apply.after_commit", ""]))
            topics.send(records[at : at + 300], "rec-exact")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(chosen.uniform(1.0, 3.0))
            process.kill()
            process.wait()
            kills += 1
    finally:
        if process is not None:
            process.kill()
            process.wait()
    assert kills > 3
    consume_all(spec(topics, target, modes=EXACT, accept=BIG))
    assert_equal(source, target)


def start(topics, target, failpoint):
    """The command itself, as a process."""
    command = [sys.executable, "-m", "cli", "cdc", "consume", "--bootstrap", topics.options.bootstrap,
               "--topic-prefix", topics.prefix, "--name", NAME, "--to", target, "--decimal-handling-mode", "string",
               "--interval-handling-mode", "string"]  # fmt: skip
    for table in PLAIN:
        command += ["--table", table]
    for column in BIG:
        command += ["--accept", column]
    return subprocess.Popen(
        command, env={**os.environ, VARIABLE: failpoint}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
