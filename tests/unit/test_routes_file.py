"""The table file: whole, exact and compare-and-set."""

import dataclasses
import json
import threading

import pytest

from router.errors import BadRoute, BadTable, StaleTable, UnservedRoute
from router.routes import Backend, MoveRoutes, Pin, RouteRule, RouteTable, StickyKey
from router.table_file import RouteTableFile

TABLE = RouteTable(
    version=0,
    legacy=Backend(name="legacy", url="http://127.0.0.1:1"),
    services=(Backend(name="catalog", url="http://127.0.0.1:2"),),
    force_token="operator-token",
    moves=(
        MoveRoutes(
            move="catalog",
            service="catalog",
            rules=(RouteRule(id="get", methods=("GET",), path="/p/{id}", kind="read"),),
            sticky=StickyKey(cookie="sid"),
            read_share=100,
            pins=(Pin(key="7", side="service"),),
        ),
    ),
)


def test_a_saved_table_reads_back_the_same_at_the_next_version(tmp_path):
    file = RouteTableFile(tmp_path / "routes.json")
    stored = file.save(TABLE, None)
    assert stored.version == 1
    assert file.load() == stored
    assert dataclasses.replace(stored, version=0) == TABLE
    assert file.path.stat().st_mode & 0o077 == 0, "the force token is in it"


def test_X76_a_stale_writer_is_rejected_by_version(tmp_path):
    file = RouteTableFile(tmp_path / "routes.json")
    seen_by_both = file.save(TABLE, None).version
    leader = file.save(TABLE.without_move("catalog"), seen_by_both)
    with pytest.raises(StaleTable):
        file.save(TABLE, seen_by_both)
    with pytest.raises(StaleTable):
        file.save(TABLE, None)
    assert file.load() == leader


def test_X76_of_many_writers_at_once_exactly_one_wins_each_version(tmp_path):
    file = RouteTableFile(tmp_path / "routes.json")
    file.save(TABLE, None)
    wins, refusals = [], []

    def race(writer):
        for _ in range(10):
            table = RouteTableFile(file.path).load()
            try:
                wins.append(RouteTableFile(file.path).save(table, table.version).version)
            except StaleTable:
                refusals.append(writer)

    threads = [threading.Thread(target=race, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wins) == len(set(wins))
    assert len(wins) + len(refusals) == 40
    assert file.load().version == 1 + len(wins)


def test_X72_a_table_with_an_unknown_backend_or_key_is_refused_whole(tmp_path):
    file = RouteTableFile(tmp_path / "routes.json")
    file.save(TABLE, None)
    good = json.loads(file.path.read_text())

    def refused(error, change):
        broken = json.loads(json.dumps(good))
        change(broken)
        file.path.write_text(json.dumps(broken))
        with pytest.raises(error) as raised:
            file.load()
        return raised.value

    assert "nobody" in refused(UnservedRoute, lambda each: each["moves"][0].update(service="nobody")).reason
    assert "read_shar" in refused(BadTable, lambda each: each["moves"][0].update(read_shar=5)).thing
    assert "read_share" in refused(BadTable, lambda each: each["moves"][0].update(read_share="many")).thing
    refused(BadRoute, lambda each: each["moves"][0].update(read_share=-1))
    refused(BadTable, lambda each: each.pop("legacy"))


def test_X71_half_a_file_is_refused(tmp_path):
    file = RouteTableFile(tmp_path / "routes.json")
    file.save(TABLE, None)
    file.path.write_bytes(file.path.read_bytes()[:200])
    with pytest.raises(BadTable) as refused:
        file.load()
    assert "operator-token" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadTable, match="no such file"):
        RouteTableFile(tmp_path / "none.json").load()
