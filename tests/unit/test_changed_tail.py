"""What is read ahead of a cutover and what is read inside it add up to what changed, whatever fails in between."""

import pytest

from cdc.changelog.memory import MemoryChangeLog
from cdc.errors import BrokerUnreachable
from cdc.events import Column, Relation, RowChange, Transaction, Truncate
from cdc.mapping.compiled import compile_mapping
from cdc.verify.changed import changed_keys
from commands.changed_tail import ChangedTail
from tests.catalog_mapping import CATALOG, LEGACY, SERVICE, name

MAPPING = compile_mapping(CATALOG, LEGACY, SERVICE)


def relation(table):
    columns = tuple(Column(name=column.name, type_oid=0) for column in LEGACY.tables[name(table)].columns)
    return Relation(oid=1, schema="public", name=table, columns=columns)


def product(lsn, key):
    values = {"id": key}
    row = tuple(values.get(column.name) for column in LEGACY.tables[name("product")].columns)
    return transaction(lsn, RowChange(relation=relation("product"), op="c", new=row))


def transaction(lsn, *changes):
    return Transaction(xid=lsn, commit_lsn=lsn, end_lsn=lsn + 1, commit_time_us=0, changes=changes)


class Counting(MemoryChangeLog):
    """Says what was read, and breaks after `breaks_after` transactions."""

    def __init__(self):
        super().__init__()
        self.read_lsns, self.breaks_after = [], None

    def read(self, after):
        for found in super().read(after):
            if self.breaks_after is not None and not self.breaks_after:
                raise BrokerUnreachable(thing="log", reason="is away", mend="wait")
            if self.breaks_after is not None:
                self.breaks_after -= 1
            self.read_lsns.append(found.commit_lsn)
            yield found


def test_what_was_read_before_is_not_read_again_and_still_counts():
    log = Counting()
    written = [product(10, "1"), transaction(20, Truncate(relations=(relation("price"),))), product(30, "2")]
    log.append(written)
    tail = ChangedTail(5, MAPPING)
    assert tail.read_on(log) == changed_keys(written, MAPPING)
    written += [product(40, "3"), product(50, "1")]
    log.append(written)
    log.read_lsns.clear()
    assert tail.read_on(log) == changed_keys(written, MAPPING)
    assert log.read_lsns == [40, 50]
    assert tail.read_on(log).keys == {name("product"): {("1",), ("2",), ("3",)}}


def test_a_log_that_breaks_in_the_middle_loses_no_key():
    log = Counting()
    log.append([product(10, "1"), product(20, "2"), product(30, "3")])
    log.breaks_after = 2
    tail = ChangedTail(5, MAPPING)
    with pytest.raises(BrokerUnreachable):
        tail.read_on(log)
    log.breaks_after = None
    assert tail.read_on(log).keys == {name("product"): {("1",), ("2",), ("3",)}}


def test_what_lies_at_or_before_the_proof_is_not_among_it():
    log = Counting()
    log.append([product(10, "1"), product(20, "2")])
    assert ChangedTail(10, MAPPING).read_on(log).keys == {name("product"): {("2",)}}
