"""Small transactions that stay as they were sent: assembled, logged, counted and mapped like any other."""

import random
import shutil
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.assembly import Assembler
from cdc.batch_mapping import BatchMapper, BatchWork, BulkRows
from cdc.changelog.local import LocalChangeLog
from cdc.chunk_handover import ChunkHandover
from cdc.copy_tracker import CopyTracker
from cdc.errors import DecodeError
from cdc.events import UNCHANGED, Column, Relation, TableName, Transaction
from cdc.link import LinkLimits, LinkSpec
from cdc.mapping.compiled import compile_mapping
from cdc.mapping.model import ColumnRule, MoveMapping, TableMapping, TargetMapping
from cdc.metrics.meter import StreamMeter
from cdc.sent_batches import FEWEST_TOGETHER
from cdc.sent_changes import MOST_SENT_CHANGES, SentChanges
from cdc.tables import Schema, Table, TableColumn
from tests import pgoutput_wire as wire

COLUMNS = (Column(name="id", type_oid=20, in_key=True), Column(name="v", type_oid=25))
ITEM = Relation(oid=1, schema="public", name="item", columns=COLUMNS)
PART = Relation(oid=2, schema="store", name="part", columns=COLUMNS)
WIDER = replace(ITEM, columns=(*COLUMNS, Column(name="w", type_oid=25)))
STEP = 100


def sent(lsn, *changes):
    """A transaction with `SentChanges`: (relation, message) each."""
    messages, relations = [message for _, message in changes], [relation for relation, _ in changes]
    return Transaction(
        xid=lsn, commit_lsn=lsn, end_lsn=lsn + 8, commit_time_us=lsn, changes=SentChanges(messages, relations)
    )


def decoded(transaction):
    return replace(transaction, changes=tuple(transaction.changes))


def some_change(chance, keys=9):
    relation, key = chance.choice((ITEM, PART)), str(chance.randrange(keys))
    message = chance.choice(
        (
            wire.insert(relation.oid, key, chance.choice(("é\t\\", None, ""))),
            wire.update(relation.oid, (key, chance.choice(("x", UNCHANGED)))),
            wire.update(relation.oid, (str(chance.randrange(keys)), "y"), (key, None)),
            wire.delete(relation.oid, (key, None)),
        )
    )
    return relation, message


def some_transactions(chance, count, keys=9):
    return [sent(lsn * STEP, *(some_change(chance, keys) for _ in range(chance.choice((1, 1, 1, 3)))))
            for lsn in range(1, count + 1)]  # fmt: skip


def run(feed, payloads):
    """What came out, changes decoded, up to the first error."""
    found, failed = [], False
    try:
        for transaction in feed(payloads):
            found.append(decoded(transaction))
    except DecodeError:
        failed = True
    return found, failed


def one_by_one(assembler):
    def feed(payloads):
        for payload in payloads:
            if (transaction := assembler.feed(payload, sent_at_us=0)) is not None:
                yield transaction

    return feed


def together(assembler, at_once):
    def feed(payloads):
        for start in range(0, len(payloads), at_once):
            yield from assembler.feed_short(payloads[start : start + at_once])

    return feed


SHORT = [
    *(wire.begin(100), wire.begin(200), wire.begin(300), wire.commit(100, 108), wire.commit(200, 208)),
    *(wire.insert(1, "1", "a"), wire.update(2, ("1", None)), wire.delete(1, ("1", None)), wire.insert(9, "1", "a")),
    *(wire.insert(1, "1", "a")[:-1], wire.begin(300)[:-1], wire.commit(300, 308)[:-1], b"I", b"U\0\0\0\1"),
]


def knowing():
    assembler = Assembler()
    payloads = [wire.begin(1), wire.relation(ITEM), wire.relation(PART), wire.insert(1, "0", ""), wire.commit(1, 2)]
    for payload in payloads:
        assembler.feed(payload, sent_at_us=0)
    return assembler


@given(st.lists(st.sampled_from(SHORT), max_size=12), st.integers(1, 12))
def test_messages_taken_together_are_the_same_transactions_and_the_same_refusals(payloads, at_once):
    expected, refused = run(one_by_one(knowing()), payloads)
    found, failed = run(together(knowing(), at_once), payloads)
    assert failed == refused
    assert found == expected[: len(found)], "what came with a refused message is sent again"
    if not failed or at_once == 1:
        assert found == expected


def test_small_transactions_stay_as_they_were_sent_and_longer_ones_do_not():
    def whole(lsn, inserts):
        return [wire.begin(lsn), *(wire.insert(1, str(n), "v") for n in range(inserts)), wire.commit(lsn, lsn + 8)]

    payloads = [*whole(100, 1), *whole(200, MOST_SENT_CHANGES), *whole(300, MOST_SENT_CHANGES + 1), *whole(400, 1)]
    found = knowing().feed_short(payloads)
    assert [type(each.changes) is SentChanges for each in found] == [True, True, False, True]
    assert [len(each.changes) for each in found] == [1, MOST_SENT_CHANGES, MOST_SENT_CHANGES + 1, 1]


def test_T06_a_commit_that_goes_back_is_refused():
    assembler = knowing()
    payloads = [wire.begin(100), wire.insert(1, "1", "v"), wire.commit(100, 108)]
    assert len(assembler.feed_short(payloads)) == 1
    with pytest.raises(DecodeError):
        assembler.feed_short(payloads)


def contents(log, after=0):
    return [decoded(each) for each in log.read(after)]


def test_a_log_of_packs_reads_from_every_position_and_takes_nothing_twice(tmp_path):
    chance = random.Random(3)
    transactions = [decoded(each) if chance.random() < 0.1 else each for each in some_transactions(chance, 60)]
    log = LocalChangeLog(tmp_path, segment_bytes=900)
    for start in range(0, 60, 13):
        log.append(transactions[max(0, start - 5) : start + 13])
    expected = [decoded(each) for each in transactions]
    for after in range(0, 61 * STEP, STEP // 2):
        assert contents(log, after) == [each for each in expected if each.commit_lsn > after]
    stopped = log.read(0)
    assert [next(stopped).commit_lsn for _ in range(5)] == [each.commit_lsn for each in expected[:5]]
    stopped.close()
    assert contents(log, expected[4].commit_lsn) == expected[5:], "after a reader that stopped inside a pack"
    log.close()
    assert contents(LocalChangeLog(tmp_path, read_only=True)) == expected


def test_a_form_of_a_table_that_changed_inside_a_pack_stays_with_its_events(tmp_path):
    log = LocalChangeLog(tmp_path)
    log.append([sent(1, (ITEM, wire.insert(1, "1", "v"))), sent(2, (WIDER, wire.insert(1, "2", "v", "w")))])
    assert [change.relation for each in log.read(0) for change in each.changes] == [ITEM, WIDER]
    log.close()


def test_T01_a_crash_at_any_byte_of_a_pack_loses_only_the_pack(tmp_path):
    chance = random.Random(4)
    transactions = some_transactions(chance, 8)
    log = LocalChangeLog(tmp_path / "whole")
    log.append(transactions[:3])
    (segment,) = (tmp_path / "whole").glob("*.log")
    before = segment.stat().st_size
    log.append(transactions[3:])
    log.close()
    data, expected = segment.read_bytes(), [decoded(each) for each in transactions]
    for end in range(before, len(data), 3):
        folder = tmp_path / "cut"
        folder.mkdir()
        (folder / segment.name).write_bytes(data[:end])
        again = LocalChangeLog(folder)
        assert contents(again) == expected[:3]
        again.append(transactions)
        assert contents(again) == expected
        again.close()
        shutil.rmtree(folder)


@pytest.mark.parametrize("seed", range(20))
def test_small_transactions_count_like_others(seed):
    chance = random.Random(seed)
    transactions = some_transactions(chance, 40)
    meters = [(StreamMeter(), list), (StreamMeter(), lambda batch: list(map(decoded, batch)))]
    at, applied = 0, 0
    while applied < 40:
        size, through = chance.randrange(9), chance.randrange(applied, 41)
        for meter, made in meters:
            meter.captured(made(transactions[max(0, at - 2) : at + size]), float(at))
            if applied < through <= at + size:
                meter.applied(through * STEP + chance.choice((0,)), 50.0, 60.0)
        at = min(40, at + size)
        applied = through if applied < through <= at else applied
        assert meters[0][0].view() == meters[1][0].view()
    assert meters[0][0].view().events_waiting == 0


def test_a_long_backlog_of_small_transactions_is_counted_in_bounded_memory(monkeypatch):
    monkeypatch.setattr("cdc.metrics.meter.MOST_APART", 50)
    monkeypatch.setattr("cdc.metrics.meter.MOST_TOGETHER", 100)
    meter, transactions = StreamMeter(), some_transactions(random.Random(1), 2000)
    for start in range(0, 2000, 10):
        meter.captured(transactions[start : start + 10], 1.0)
    assert sum(len(each.lsns) for each in meter._waiting if hasattr(each, "lsns")) <= 50
    assert len(meter._waiting) <= 5 + 2000 / 100
    assert meter.view().events_waiting == sum(len(each.changes) for each in transactions)
    meter.applied(2000 * STEP, 2.0, 2.0)
    assert (meter.view().events_waiting, meter.view().applied_transactions) == (0, 2000)
    assert sum(meter.view().applied.values()) == meter.view().captured_events


def table(relation):
    columns = tuple(TableColumn(name=column.name, type="text") for column in relation.columns)
    return Table(name=relation.table, columns=columns, primary_key=("id",))


SCHEMA = Schema(tables={relation.table: table(relation) for relation in (ITEM, PART)})
MAPPING = MoveMapping(
    tables=tuple(
        TableMapping(
            source=relation.table,
            targets=(
                TargetMapping(
                    table=relation.table, columns=tuple(ColumnRule(source=name, target=name) for name in ("id", "v"))
                ),
            ),
        )
        for relation in (ITEM, PART)
    )
)


def pieces(tmp_path, transactions, batch_events=2000, takes_runs=None):
    link = LinkSpec(
        move="m", direction="forward", source_dsn="", target_dsn="", log_folder=tmp_path, follows_copy=False,
        mapper=compile_mapping(MAPPING, SCHEMA, SCHEMA), source_keys={}, limits=LinkLimits(batch_events=batch_events),
    )  # fmt: skip
    mapper, work = BatchMapper(link, ChunkHandover(in_flight=1)), BatchWork()
    tracker = CopyTracker(source_keys={}, follows_copy=False)
    found = list(mapper.changes(transactions, tracker, work, takes_runs=takes_runs))
    assert work.events == sum(len(each.changes) for each in transactions)
    assert tracker.recent.all() == tuple(each.xid for each in transactions)
    return found, work


def by_table(found):
    """The changes of each target table, in order; rows of runs as upserts."""
    rows = {}
    for piece in found:
        if isinstance(piece, BulkRows):
            (target,) = piece.targets
            for change in piece.run:
                rows.setdefault(target.table, []).append(
                    ("upsert", change.new[0], {"id": change.new[0], "v": change.new[1]})
                )
        else:
            for change in piece:
                said = (change.kind, change.key["id"], dict(change.values))
                rows.setdefault(change.table, []).append(said if change.old_key is None else (*said, change.old_key))
    return rows


@pytest.mark.parametrize("batch_events", [1, 7, 2000])
def test_small_transactions_map_like_others(tmp_path, batch_events):
    transactions = some_transactions(random.Random(batch_events), 300)
    mixed = [decoded(each) if each.xid % 700 == 0 else each for each in transactions]
    expected, work = pieces(tmp_path, [decoded(each) for each in transactions])
    for given_ in (transactions, mixed):
        found, same_work = pieces(tmp_path, given_, batch_events)
        assert by_table(found) == by_table(expected)
        assert same_work == work


def inserts(relation, first, count, values=("v",)):
    return [sent(n * STEP, (relation, wire.insert(relation.oid, str(n), *values))) for n in range(first, first + count)]


def takes_all(_: TableName) -> bool:
    return True


def runs_in(found):
    return [len(piece.run) for piece in found if isinstance(piece, BulkRows)]


def test_inserts_of_many_transactions_become_a_run(tmp_path):
    some = inserts(ITEM, 1, FEWEST_TOGETHER)
    other = sent(9000 * STEP, (PART, wire.update(2, ("1", "x"))))
    found, work = pieces(tmp_path, [*some[:9], other, *some[9:]], takes_runs=takes_all)
    assert runs_in(found) == [FEWEST_TOGETHER]
    assert by_table(found) == by_table(pieces(tmp_path, [decoded(each) for each in [*some, other]])[0])
    assert work.has_data


@pytest.mark.parametrize(
    "spoiling",
    [
        pytest.param(list, id="too few"),
        pytest.param(lambda: [sent(9000 * STEP, (ITEM, wire.delete(1, ("1", None))))], id="a delete"),
        pytest.param(lambda: [sent(9000 * STEP, (ITEM, wire.update(1, ("1", "x"))))], id="an update"),
    ],
)
def test_what_touches_a_row_of_the_table_keeps_its_place_behind_the_inserts(tmp_path, spoiling):
    spoilt = spoiling()
    transactions = [*inserts(ITEM, 1, FEWEST_TOGETHER - (not spoilt)), *spoilt]
    found, _ = pieces(tmp_path, transactions, takes_runs=takes_all)
    assert runs_in(found) == []
    assert by_table(found) == by_table(pieces(tmp_path, [decoded(each) for each in transactions])[0])


def test_two_forms_of_a_table_are_no_runs_since_they_have_an_order(tmp_path):
    older = replace(ITEM, columns=ITEM.columns[::-1])
    transactions = [*inserts(older, 1, 70), *inserts(ITEM, 100, 70)]
    found, _ = pieces(tmp_path, transactions, takes_runs=takes_all)
    assert runs_in(found) == []
