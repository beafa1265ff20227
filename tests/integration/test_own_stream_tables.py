"""A stream of its own follows the tables that it was begun with: another would be copied and never followed."""

import psycopg
import pytest

from commands.own_stream import OwnStream
from strangler.errors import BadInput

pytestmark = pytest.mark.integration

DDL = "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY); CREATE SCHEMA s; CREATE TABLE s.w ()"


@pytest.fixture
def stream(new_database, tmp_path):
    ends = {"source_dsn": new_database("source"), "target_dsn": new_database("target"), "state": tmp_path}
    for dsn in (ends["source_dsn"], ends["target_dsn"]):
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(DDL)
            connection.execute("ALTER TABLE s.w ADD id int PRIMARY KEY")

    def make(*tables, **options):
        return OwnStream(name=f"o{tmp_path.name[-6:].replace('-', '_').lower()}", tables=tables, **ends, **options)

    yield make
    make("t").remove()


@pytest.mark.parametrize("copies", [True, False])
def test_other_tables_than_it_was_begun_with_are_refused(stream, copies):
    stream("t", "s.w=s.w", copies=copies).provision()
    stream("s.w=s.w", "t", copies=copies).provision()
    for tables, other in ((("t", "s.w=s.w", "u"), "u"), (("t",), "s.w"), (("u",), "s.w, t, u")):
        with pytest.raises(BadInput, match=f"begun with tables s.w, t; {other} would not be followed") as refused:
            stream(*tables, copies=copies).provision()
        assert "--remove" in refused.value.mend
    stream("t").remove()
    stream("t", "u", copies=copies).provision()
