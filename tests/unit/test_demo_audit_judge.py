"""What the ledger allows a row to be, and what is wrong when it is not; and reading the ledger itself."""

import json

import pytest

from demo.audit_judge import Fault, accepted_states, judge
from demo.audit_ledger import DamagedLedger, Expectation, LedgerFile

VALUES = {"id": 1, "sku": "s", "name": "n", "version": 3, "updated_at": "t3"}


def product(op="upsert", values=VALUES, *, unknown=False, key=None):
    return {"entity": "product", "op": op, "key": key or {"id": 1, "sku": "s"}, "values": values, "unknown": unknown}


def price(values, *, op="upsert", unknown=False):
    return {"entity": "price", "op": op, "key": {"id": values["id"]}, "values": values, "unknown": unknown}


def states(lines, **offsets):
    return accepted_states(Expectation(**offsets), lines.__getitem__)


def test_an_acknowledged_row_must_be_there_as_told():
    accepted = states([product()], acknowledged=0)
    assert judge(accepted, VALUES) is None
    assert judge(accepted, None) == Fault(kind="lost", detail="the row is missing")
    assert judge(accepted, {**VALUES, "name": "x"}).kind == "diverged"


def test_a_version_behind_is_a_lost_update_and_ahead_a_double():
    accepted = states([product()], acknowledged=0)
    assert judge(accepted, {**VALUES, "version": 2, "name": "old"}).kind == "lost"
    assert judge(accepted, {**VALUES, "version": 4}).kind == "duplicated"


def test_a_deleted_row_must_be_gone():
    accepted = states([product("delete", None)], acknowledged=0)
    assert judge(accepted, None) is None
    assert judge(accepted, VALUES).kind == "lost"


def test_an_unknown_update_may_have_happened_or_not_but_nothing_else():
    accepted = states([product(), product(values={"name": "new"}, unknown=True)], acknowledged=0, unknown=1)
    after = {**VALUES, "name": "new", "version": 4, "updated_at": "t4"}
    assert judge(accepted, VALUES) is None
    assert judge(accepted, after) is None
    assert judge(accepted, {**after, "version": 5}).kind == "duplicated"
    assert judge(accepted, {**VALUES, "version": 2}).kind == "lost"
    assert judge(accepted, {**VALUES, "name": "other"}).kind == "diverged"
    assert judge(accepted, None).kind == "lost"


def test_an_unknown_delete_may_have_happened_or_not():
    accepted = states([product(), product("delete", None, unknown=True)], acknowledged=0, unknown=1)
    assert judge(accepted, VALUES) is None
    assert judge(accepted, None) is None
    assert judge(accepted, {**VALUES, "name": "x"}).kind == "diverged"


def test_an_unknown_creation_made_the_row_as_sent_or_none():
    sent = product(values={"sku": "s", "name": "n"}, unknown=True, key={"sku": "s"})
    accepted = states([sent], unknown=0)
    assert judge(accepted, None) is None
    assert judge(accepted, VALUES) is None
    assert judge(accepted, {**VALUES, "name": "x"}).kind == "diverged"


def test_an_unknown_change_of_a_row_never_seen_before_allows_anything():
    assert states([product(values={"name": "new"}, unknown=True)], unknown=0) is None
    assert judge(None, None) is None


def test_a_closed_price_ends_where_the_next_begins():
    first = price({"id": 1, "amount": "1.00", "valid_from": "t1", "valid_to": None})
    second = price({"id": 2, "amount": "2.00", "valid_from": "t2", "valid_to": None})
    accepted = states([first, second], acknowledged=0, closed_by=1)
    assert judge(accepted, {**first["values"], "valid_to": "t2"}) is None
    assert judge(accepted, first["values"]).kind == "diverged"
    only_closed = states([first, second], closed_by=1)
    assert judge(only_closed, {"id": 1, "valid_to": "t2"}) is None
    assert judge(only_closed, {"id": 1, "valid_to": "t9"}).kind == "diverged"
    assert judge(only_closed, None).kind == "lost"


def test_a_price_perhaps_closed_may_be_open_or_not():
    first = price({"id": 1, "amount": "1.00", "valid_from": "t1", "valid_to": None})
    accepted = states([first], acknowledged=0, maybe_closed=True)
    assert judge(accepted, {**first["values"], "valid_to": "t2"}) is None
    assert judge(accepted, {**first["values"], "amount": "2.00"}).kind == "diverged"


def write_ledger(path, *writes, stop=None, tail=""):
    lines = [{"type": "start", "t": 100.0}, *({"type": "request", "write": write} for write in writes)]
    lines += [{"type": "request"}]
    if stop is not None:
        lines.append({"type": "stop", "acknowledged_writes": stop})
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines) + tail)
    return path


def read(path):
    with LedgerFile(path=path) as ledger:
        return ledger.read()


def test_the_last_word_about_each_row_is_kept(tmp_path):
    path = write_ledger(
        tmp_path / "ledger",
        product(values={**VALUES, "version": 1, "name": "ünï"}),
        product(),
        {"entity": "price", "op": "upsert", "key": {"id": 7, "reference": "r"}, "values": {}, "closes": 5},
        {"entity": "price", "op": "upsert", "key": {"reference": "q"}, "values": {}, "closes": 7, "unknown": True},
        {"entity": "product_category", "op": "delete", "key": {"product_id": 1, "category_id": 2}, "values": None},
        stop=4,
    )
    with LedgerFile(path=path) as ledger:
        seen = ledger.read()
        assert ledger.write_at(seen.rows["product"][(1,)].acknowledged)["values"] == VALUES
        assert ledger.write_at(seen.rows["price"][(5,)].closed_by)["key"]["id"] == 7
    assert seen.rows["price"][(7,)].maybe_closed
    assert list(seen.unborn["price"]) == ["q"]
    assert list(seen.rows["product_category"]) == [(1, 2)]
    assert (seen.acknowledged, seen.unknown, seen.complete, seen.started_at) == (4, 1, True, 100.0)


def test_a_torn_last_line_is_no_line(tmp_path):
    seen = read(write_ledger(tmp_path / "ledger", product(), tail='{"type": "req'))
    assert (seen.acknowledged, seen.complete) == (1, False)


def test_damage_is_refused(tmp_path):
    with pytest.raises(DamagedLedger):
        read(write_ledger(tmp_path / "count", product(), stop=2))
    with pytest.raises(DamagedLedger):
        read(write_ledger(tmp_path / "line", product(), tail="not json\n"))
    with pytest.raises(DamagedLedger):
        read(tmp_path / "missing")
