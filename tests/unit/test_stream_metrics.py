"""Counting, forecasting and alerting, without a database."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from ruamel.yaml import YAML

from cdc.changelog.debezium_topics.lag import TopicLag, TopicsLag
from cdc.changelog.memory import MemoryChangeLog
from cdc.errors import ApplyFailed, DatabaseUnreachable
from cdc.events import Column, Message, Relation, RowChange, Transaction, Truncate
from cdc.insert_run import HeldChanges, Run
from cdc.lag import StreamLag, TableLag
from cdc.lsn import Lsn
from cdc.metrics import meter as meter_module
from cdc.metrics.alerts import OF_ITS_OWN, Thresholds, alerts
from cdc.metrics.exporter import StreamCollector, StreamSample
from cdc.metrics.forecast import ProgressSample, forecast
from cdc.metrics.meter import LARGE, StreamMeter
from cdc.metrics.metered import MeteredChangeLog, MeteredSignals
from cdc.metrics.topics import TopicsCollector
from strangler.clock import ManualClock

ITEM = Relation(oid=1, schema="public", name="item", columns=(Column(name="id", type_oid=23, in_key=True),))
PART = Relation(oid=2, schema="store", name="part", columns=ITEM.columns)


class OnDisk:
    """A transaction's changes that only know their number cheaply."""

    def __init__(self, count):
        self._count = count

    def __len__(self):
        return self._count

    def __iter__(self):
        raise AssertionError("decoded only to be counted")


def row(op, relation=ITEM):
    return RowChange(relation=relation, op=op, new=None if op == "d" else ("1",), old=("1",) if op == "d" else None)


def transaction(lsn, *changes):
    return Transaction(xid=lsn, commit_lsn=Lsn(lsn), end_lsn=Lsn(lsn + 1), commit_time_us=lsn, changes=changes)


def lag(**given):
    values = {
        "stream": "s", "bytes": 0, "seconds": 0.0, "transactions": 0, "events": 0, "applied_lsn": Lsn(1),
        "source_lsn": Lsn(1), "state": "streaming", "error": None, "wal_retained_bytes": 10, "wal_status": "reserved",
    }  # fmt: skip
    return StreamLag(**{**values, **given})


def test_events_count_when_the_ledger_passed_them_and_wait_until_then():
    meter = StreamMeter()
    meter.captured([transaction(5, row("c"), row("u", PART)), transaction(7, row("d"))], 100.0)
    message = Message(prefix="p", content=b"", transactional=True, lsn=Lsn(8))
    meter.captured([transaction(9, Truncate(relations=(ITEM, PART)), message)], 101.0)
    assert meter.view().waiting == {"item": 3, "store.part": 2, "(none)": 1}
    meter.batch_begins(101.5)
    meter.applied(Lsn(7), 102.0, 1_700_000_000.0)
    view = meter.view()
    assert view.applied == {("item", "insert"): 1, ("store.part", "update"): 1, ("item", "delete"): 1}
    assert view.waiting == {"item": 1, "store.part": 1, "(none)": 1}
    assert view.last_applied_s == {"item": 1_700_000_000.0, "store.part": 1_700_000_000.0}
    assert (view.captured_events, view.applied_transactions) == (6, 2)
    assert dict(view.apply)["0.5"] == 1
    assert dict(view.latency)["2.5"] == 2


def test_what_is_resent_counts_once_and_an_applier_may_be_ahead_of_the_count():
    meter = StreamMeter()
    meter.captured([transaction(5, row("c"))], 1.0)
    meter.captured([transaction(5, row("c")), transaction(6, row("c"))], 2.0)
    assert meter.view().captured_events == 2
    meter.applied(Lsn(9), 3.0, 0.0)
    meter.captured([transaction(8, row("c"))], 3.1)
    assert meter.view().applied == {("item", "insert"): 3}
    assert meter.view().events_waiting == 0


def test_a_huge_transaction_is_counted_without_decoding_it():
    meter = StreamMeter()
    huge = Transaction(xid=1, commit_lsn=Lsn(5), end_lsn=Lsn(6), commit_time_us=1, changes=OnDisk(1_000_000))
    meter.captured([huge], 1.0)
    assert meter.view().waiting == {LARGE: 1_000_000}


def test_a_run_of_inserts_counts_without_being_decoded():
    class Rows(Run):
        relation = ITEM
        __len__ = OnDisk.__len__
        __iter__ = OnDisk.__iter__
        copy_text = cells = None
        _count = 500

    meter = StreamMeter()
    held = HeldChanges([row("c"), Rows(), row("u", PART), row("d", PART), row("c")])
    meter.captured([Transaction(xid=1, commit_lsn=Lsn(5), end_lsn=Lsn(6), commit_time_us=1, changes=held)], 1.0)
    meter.applied(Lsn(5), 1.0, 1.0)
    assert meter.view().applied == {("item", "insert"): 502, ("store.part", "update"): 1, ("store.part", "delete"): 1}


def test_a_long_backlog_is_counted_in_bounded_memory(monkeypatch):
    monkeypatch.setattr(meter_module, "MOST_APART", 10)
    monkeypatch.setattr(meter_module, "MOST_TOGETHER", 50)
    meter = StreamMeter()
    for lsn in range(1, 1001):
        meter.captured([transaction(lsn, row("c"))], float(lsn))
    assert len(meter._waiting) <= 10 + 1000 / 50
    assert (meter.view().events_waiting, meter.view().captured_transactions) == (1000, 1000)
    meter.applied(Lsn(5), 2000.0, 1.0)
    assert (meter.view().events_waiting, meter.view().applied_transactions) == (995, 5)
    meter.applied(Lsn(1000), 2000.0, 1.0)
    view = meter.view()
    assert (view.events_waiting, view.applied_transactions, view.applied) == (0, 1000, {("item", "insert"): 1000})


def test_a_metered_log_and_signals_tell_the_meter():
    clock, meter, log = ManualClock(), StreamMeter(), MemoryChangeLog()
    log.append([transaction(3, row("c")), transaction(5, row("c"))])
    metered, signals = MeteredChangeLog(log, meter, clock), MeteredSignals(meter, clock)
    signals.applied(Lsn(3))
    metered.start(Lsn(3))
    assert meter.view().events_waiting == 1, "the backlog of an earlier worker"
    metered.append([transaction(7, row("d"))])
    clock.advance(0.2)
    assert len(list(metered.read(Lsn(3)))) == 2
    clock.advance(0.2)
    signals.applied(Lsn(7))
    signals.trouble("apply", DatabaseUnreachable(thing="t", reason="r", mend="m"))
    signals.trouble("apply", ApplyFailed(thing="t", reason="r", mend="m"))
    view = meter.view()
    assert view.applied == {("item", "insert"): 1, ("item", "delete"): 1}
    assert (dict(view.apply)["0.25"], dict(view.latency)["0.5"], view.latency[-1]) == (1, 1, ("+Inf", 1))
    assert view.retries == {"apply": 1}
    assert view.errors == {("apply", "DatabaseUnreachable"): 1, ("apply", "ApplyFailed"): 1}


@pytest.mark.parametrize(
    ("before", "now", "verdict", "seconds"),
    [
        ((100, 50), (100, 100), "caught_up", 0.0),
        ((100, 50), (200, 190), "converging", 10 / 40 * 10 / 10),
        ((100, 50), (300, 100), "not_converging", None),
        ((100, 50), (200, 150), "not_converging", None),
        ((100, 50), (100, 50), "unknown", None),
    ],
)
def test_a_forecast_says_when_or_that_it_never_will(before, now, verdict, seconds):
    told = forecast(
        ProgressSample(at_s=10.0, source=Lsn(before[0]), applied=Lsn(before[1])),
        ProgressSample(at_s=11.0, source=Lsn(now[0]), applied=Lsn(now[1])),
    )
    assert told.verdict == verdict
    assert told.seconds == (seconds if seconds is None else pytest.approx(seconds))
    assert ("not converging" in str(told)) == (verdict == "not_converging")


def test_T11_alerts_on_retention_name_the_slot_the_amount_the_limit_and_the_mend():
    limits = Thresholds(wal_bytes=1000, lag_seconds=60)
    assert alerts(lag(), limits) == []
    (retained,) = alerts(lag(wal_retained_bytes=1000), limits)
    assert (retained.name, retained.thing) == ("wal_retained", "replication slot s")
    assert "1000 bytes" in retained.reason
    assert "disk is full" in retained.reason
    near, above = alerts(lag(wal_retained_bytes=9 << 20, wal_limit_bytes=10 << 20, wal_headroom_bytes=1 << 20), limits)
    assert near.name == "wal_headroom"
    assert "max_slot_wal_keep_size is 10 MB" in near.reason
    assert "raising max_slot_wal_keep_size" in near.mend
    assert "drops the slot" in above.reason
    assert [each.name for each in alerts(lag(wal_status="lost"), limits)] == ["slot_lost"]
    assert [each.name for each in alerts(lag(seconds=61.0), limits)] == ["lag_seconds"]
    assert alerts(lag(seconds=61.0, wal_retained_bytes=1 << 40), Thresholds()) == []


def test_T12_a_purged_binlog_is_no_slot_and_each_kind_of_stream_has_its_own_commands():
    (purged,) = alerts(lag(wal_status="lost", log="binlog"), Thresholds(), OF_ITS_OWN)
    assert (purged.name, purged.thing) == ("slot_lost", "binlog of stream s")
    assert "binlog" in purged.reason
    assert "cdc stream --remove" in purged.mend
    assert "binlog_expire_logs_seconds" in purged.mend
    (of_a_move,) = alerts(lag(wal_status="lost"), Thresholds())
    assert "`strangler rollback`" in of_a_move.mend
    for said in (lag(state="silent"), lag(wal_retained_bytes=1000), lag(tables=(TableLag(table="t", parked_rows=1),))):
        (own,) = alerts(said, Thresholds(wal_bytes=1000), OF_ITS_OWN)
        assert "rollback" not in own.mend
        assert "`strangler up`" not in own.mend


def test_a_stopped_stream_and_parked_rows_are_alerts():
    stopped = lag(state="stopped", error={"thing": "row 5", "reason": "too long", "mend": "shorten it"})
    parked = lag(tables=(TableLag(table="item", parked_rows=2),))
    assert [each.mend for each in alerts(stopped, Thresholds())] == ["shorten it"]
    assert [each.name for each in alerts(parked, Thresholds())] == ["parked"]
    assert [each.name for each in alerts(lag(state="silent"), Thresholds())] == ["silent"]


def exposed():
    """Everything the endpoint can say, after some of everything happened."""
    clock, meter = ManualClock(), StreamMeter()
    collector = StreamCollector({"s": meter}, Thresholds(wal_bytes=1), clock)
    meter.captured([transaction(5, row("c")), transaction(9, row("d"))], 1.0)
    meter.applied(Lsn(5), 1.1, 5.0)
    meter.trouble("apply", "ApplyFailed", retried=True)
    table = TableLag(table="item", copied_rows=3, estimated_rows=4)
    for at_s in (1.0, 2.0):
        seen = lag(wal_limit_bytes=10, wal_headroom_bytes=1, bytes=5, source_lsn=Lsn(int(at_s * 100)), tables=(table,))
        collector.sampled("s", StreamSample(reachable=True, lag=seen, sampled_at_s=at_s))
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode()


def test_the_endpoint_says_it_in_prometheus_words():
    text = exposed()
    for line in (
        'strangler_events_applied_total{operation="insert",stream="s",table="item"} 1.0',
        'strangler_table_events_waiting{stream="s",table="item"} 1.0',
        'strangler_stream_state{state="streaming",stream="s"} 1.0',
        'strangler_slot_retained_bytes{stream="s"} 10.0',
        'strangler_alert{alert="wal_retained",stream="s"} 1.0',
        'strangler_copied_rows{stream="s",table="item"} 3.0',
        'strangler_errors_total{error="ApplyFailed",part="apply",stream="s"} 1.0',
        'strangler_catch_up_seconds{stream="s"} +Inf',
        'strangler_databases_reachable{stream="s"} 1.0',
    ):
        assert line in text, line


def exposed_of_topics():
    """What a consumer of foreign topics exposes after a sample."""
    lag = TopicsLag(
        stream="s",
        state="streaming",
        error=None,
        transactions=1,
        events=1,
        source_time=None,
        topics=(TopicLag(topic="t", partitions=1, waiting=3), TopicLag(topic="u", partitions=0, gone=True)),
        last_applied={},
        parked={"item": 2},
    )
    collector = TopicsCollector("s", StreamMeter(), ManualClock())
    collector.sampled(lag)
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode()


def test_the_endpoint_of_a_consumer_of_topics():
    text = exposed_of_topics()
    for line in (
        'strangler_topic_records_waiting{stream="s",topic="t"} 3.0',
        'strangler_topic_broken{stream="s",topic="u"} 1.0',
        'strangler_parked_rows{stream="s",table="item"} 2.0',
    ):
        assert line in text, line


def test_the_documentation_names_every_metric_and_no_other():
    text = exposed() + exposed_of_topics()
    shown = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in re.findall(r"^(strangler_\w+)", text, re.M)}
    told = set(re.findall(r"`(strangler_\w+)`", Path("docs/monitoring.md").read_text()))
    assert told == shown


def test_the_example_alert_rules_name_metrics_that_exist():
    rules = [
        rule for group in YAML(typ="safe").load(Path("docs/prometheus-alerts.yml"))["groups"] for rule in group["rules"]
    ]
    assert len(rules) >= 8
    known = set(re.findall(r"^(strangler_\w+)", exposed(), re.MULTILINE))
    for rule in rules:
        assert set(rule) >= {"alert", "expr", "labels", "annotations"}
        named = re.findall(r"strangler_\w+", rule["expr"])
        assert named
        assert set(named) <= known, rule["alert"]
        labels = set(re.findall(r'alert="(\w+)"', rule["expr"]))
        assert all(f'alert="{label}"' in exposed() for label in labels)
