import io
import json
import sqlite3
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from rich.console import Console

from router.compare import Outcome, OutcomeClass, Verdict, whole_answer
from router.diff_report import render
from router.inspection.endpoints import endpoint_name
from router.inspection.errors import RecordNotWritten
from router.inspection.recorder import Recorder
from router.noise import Classification, ClassifiedOutcome
from router.parallel_log import SAMPLES_KEPT, ParallelRunLog
from router.parallel_read import samples
from router.parallel_values import (
    AnswerSample,
    ExchangeSample,
    NotCompared,
    Observation,
    PairedSample,
    ParallelRunSummary,
)
from router.parallel_verdict import ParallelLimits, ParallelState, parallel_verdict
from router.sample_redaction import is_sensitive, redacted_answer, redacted_outcome, redacted_target

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
SAMPLE = ExchangeSample(
    method="GET",
    target="/x",
    request_id="r",
    control=AnswerSample(status=200, body="{}"),
    candidate=AnswerSample(status=200, body="{}"),
)


def matched(**fields):
    return Observation(**{"at": AT, "endpoint": "GET /x", "move": "m", "verdict": Verdict.MATCH, **fields})


def mismatch(path="a", kind=OutcomeClass.VALUE, held=Classification.CONFIRMED, **fields):
    outcome = Outcome(path=path, at=path, kind=kind, control="1", candidate="2")
    return matched(
        verdict=Verdict.MISMATCH,
        classification=held,
        differences=(ClassifiedOutcome(outcome=outcome, classification=held),),
        sample=SAMPLE,
        **fields,
    )


@pytest.fixture
def log(tmp_path):
    opened = ParallelRunLog(tmp_path, random=Random(1))
    yield opened
    opened.close()


def test_an_absent_record_is_an_empty_run(tmp_path):
    summary = ParallelRunLog(tmp_path / "none").summary()
    assert (summary.compared, summary.upper_bound) == (0, 1.0)
    assert not (tmp_path / "none").exists()


def test_everything_is_counted_under_its_name(log):
    log.record(
        [
            *[matched(control_ms=10.0, candidate_ms=20.0)] * 6,
            mismatch(),
            mismatch(held=Classification.NOISE),
            mismatch(held=Classification.RACED),
            mismatch(held=Classification.UNCONFIRMED),
            *(matched(verdict=verdict) for verdict in list(Verdict)[2:]),
            NotCompared(at=AT, endpoint="GET /x", kind="dropped", reason="full", move="m"),
            NotCompared(at=AT, endpoint="POST /x", kind="refused", reason="method-not-safe", move="m"),
        ]
    )
    seen = log.summary()
    assert (seen.compared, seen.matched, seen.confirmed, seen.noise, seen.raced, seen.unconfirmed) == (
        10,
        6,
        1,
        1,
        1,
        1,
    )
    assert (seen.both_error, seen.candidate_failed, seen.legacy_failed, seen.partial, seen.compare_error) == (1,) * 5
    assert (seen.dropped, seen.refused) == ({"full": 1}, {"method-not-safe": 1})
    assert seen.latency.control_p50_ms == pytest.approx(10, rel=0.03)
    assert seen.latency.ratio_p95 == pytest.approx(2, rel=0.03)
    assert [item.classification for item in seen.differences] == list(Classification)
    assert 0.2 < seen.upper_bound < 0.6
    assert json.loads(json.dumps(seen.as_dict()))["differences"][0]["first_seen"] == AT.isoformat()


def test_since_counts_from_that_minute_on(log):
    log.record([matched(), matched(at=AT + timedelta(minutes=5)), mismatch(at=AT + timedelta(minutes=6))])
    later = log.summary(since=AT + timedelta(minutes=5))
    assert (later.compared, later.matched, later.confirmed) == (2, 1, 1)
    assert log.summary(since=AT + timedelta(hours=1)).compared == 0


def test_reset_forgets_one_move_only(log):
    log.record([matched(), mismatch(), matched(move="other")])
    log.reset("m")
    assert log.summary(move="m").compared == 0
    assert log.summary(move="m").differences == ()
    assert log.summary(move="other").compared == 1


def test_samples_kept_are_the_first_the_last_and_a_few_between(log):
    log.record([mismatch(at=AT + timedelta(seconds=n)) for n in range(100)])
    with sqlite3.connect(log.path) as database:
        kept = samples(database, move="m", endpoint="GET /x", path="a", kind="Value")
    seconds = [(datetime.fromisoformat(item["seen_at"]) - AT).seconds for item in kept]
    assert seconds[:SAMPLES_KEPT] == [0, 1, 2, 3, 4]
    assert seconds[-SAMPLES_KEPT:] == [95, 96, 97, 98, 99]
    assert 2 * SAMPLES_KEPT < len(seconds) <= 3 * SAMPLES_KEPT


def test_a_record_survives_its_writer_and_is_read_while_written(tmp_path):
    writer = ParallelRunLog(tmp_path)
    writer.record([matched()])
    totals = []

    def read():
        for _ in range(20):
            summary = ParallelRunLog(tmp_path).summary()
            assert summary.matched == sum(item.counts["matched"] for item in summary.endpoints)
            totals.append(summary.matched)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(40):
        writer.record([matched()] * 5)
    reader.join()
    assert totals == sorted(totals)
    assert ParallelRunLog(tmp_path).summary().matched == 201  # the writer is still open


def test_a_full_disk_is_named_and_nothing_is_half_written(log):
    log.record([matched()])
    log._writer.execute("PRAGMA max_page_count = 1")
    with pytest.raises(RecordNotWritten) as raised:
        log.record([matched(endpoint=f"GET /{'x' * 3000}{n}") for n in range(200)])
    assert "full" in raised.value.reason
    assert log.summary().matched == 1
    log._writer.execute("PRAGMA max_page_count = 100000")
    log.record([matched()])
    assert log.summary().matched == 2


def test_the_recorder_keeps_what_it_could_not_write(tmp_path):
    class Failing(ParallelRunLog):
        failures = 3

        def record(self, records):
            if records and Failing.failures:
                Failing.failures -= 1
                raise RecordNotWritten(thing="x", reason="full", mend="free")
            super().record(records)

    recorder = Recorder(lambda: Failing(tmp_path), lambda: AT)
    for _ in range(5):
        recorder.add(matched())
    while Failing.failures:
        time.sleep(0.01)
    recorder.close()
    assert ParallelRunLog(tmp_path).summary().matched == 5


def test_pruning_forgets_what_is_old(log):
    log.record([matched(), matched(at=AT + timedelta(days=20))])
    log.prune(AT + timedelta(days=21))
    assert log.summary().matched == 1


def test_masks_that_are_never_reached_are_dead(log):
    log.declare_masks(["ignore gone", "shape id"])
    log.record([matched(reached=frozenset({"shape id"})) for _ in range(49)])
    assert log.summary().dead_masks == ()
    log.record([matched(reached=frozenset({"shape id"}))])
    assert log.summary().dead_masks == ("ignore gone",)
    log.declare_masks(["shape id"])
    assert log.summary().dead_masks == ()


def test_paired_samples_give_evidence_per_path(log):
    key = ("a", "Value")
    pair = PairedSample(
        at=AT, endpoint="GET /x", move="m", against_candidate=frozenset({key}), against_itself=frozenset()
    )
    log.record([pair] * 9 + [mismatch()])
    summary = log.summary()
    assert summary.paired == 9
    assert summary.differences[0].e_value == pytest.approx(102.3, rel=0.01)


def verdict(**counts):
    return parallel_verdict(replace(EMPTY, **counts), ParallelLimits())


EMPTY = ParallelRunSummary(move=None, since=None)


def test_X77_no_traffic_is_no_data():
    assert verdict().state is ParallelState.NO_DATA


def test_X78_one_in_three_is_insufficient_not_a_failure():
    assert verdict(compared=3, confirmed=1).state is ParallelState.INSUFFICIENT
    assert verdict(compared=3, candidate_failed=1).state is ParallelState.INSUFFICIENT


def test_X79_a_clean_run_passes_with_its_bound():
    found = verdict(compared=5000, matched=5000)
    assert found.state is ParallelState.PASS
    assert found.difference_bound == pytest.approx(0.0006, abs=1e-5) and "0.060%" in found.reason


def test_X80_an_outage_of_both_sides_is_not_the_candidates():
    found = verdict(compared=5000, matched=5000, both_error=5000, legacy_failed=100)
    assert found.state is ParallelState.PASS


def test_evidence_above_a_limit_fails_early():
    assert verdict(compared=50, confirmed=50).state is ParallelState.FAIL
    assert verdict(compared=5000, matched=5000, candidate_failed=500).state is ParallelState.FAIL
    assert verdict(candidate_failed=20).state is ParallelState.FAIL


def test_what_could_not_be_confirmed_holds_but_does_not_fail():
    assert verdict(compared=5000, unconfirmed=500).state is ParallelState.INSUFFICIENT


def test_what_could_not_be_compared_holds_but_does_not_fail():
    assert verdict(compared=5000, compare_error=500).state is ParallelState.INSUFFICIENT


def test_the_verdict_is_replayable_from_what_it_carries():
    found = verdict(compared=400, confirmed=1)
    assert parallel_verdict(replace(EMPTY, compared=found.compared, confirmed=1), found.limits) == found


def test_the_report_says_the_bound_and_the_differences(log):
    log.record([matched()] * 400 + [mismatch("items[].price"), mismatch("gone", OutcomeClass.MISSING)])
    out = io.StringIO()
    Console(file=out, width=200).print(render(log.summary()))
    text = out.getvalue()
    for part in ("402 compared", "2 confirmed", "at 95% confidence", "items[].price", "high", "medium", "GET /x"):
        assert part in text
    empty = io.StringIO()
    Console(file=empty).print(render(EMPTY))
    assert "Nothing compared" in empty.getvalue()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/products/42?x=1", "GET /api/products/{id}"),
        ("/api/v2/products/by-sku/SKU-17", "GET /api/v2/products/by-sku/{id}"),
        ("/o/11111111-1111-4111-8111-111111111111/lines", "GET /o/{id}/lines"),
        ("/t/deadbeefdeadbeef", "GET /t/{id}"),
        ("/plain/words", "GET /plain/words"),
        ("/" + "a/" * 20, "GET /" + "a/" * 11 + "…"),
    ],
)
def test_endpoints_are_named_without_ids(path, name):
    assert endpoint_name("GET", path) == name
    assert endpoint_name("GET", path, "/rule/{x}") == "GET /rule/{x}"


@pytest.mark.parametrize("name", ["password", "accessToken", "user_email", "API_KEY", "session-id", "cardNumber"])
def test_sensitive_names(name):
    assert is_sensitive(name)


@pytest.mark.parametrize("name", ["id", "tokenizer", "name", "amount", "passage"])
def test_harmless_names(name):
    assert not is_sensitive(name)


def test_redaction_hides_values_wherever_they_stand():
    body = json.dumps({"user": {"email": "a@b", "n": 1}, "tokens": [1], "token": {"a": ["secret", 2]}}).encode()
    shown = redacted_answer(whole_answer(200, body)).body
    assert "a@b" not in shown and "secret" not in shown and '"n": 1' in shown
    assert redacted_answer(whole_answer(200, b"\x00\xff" * 9)).body.startswith("(18 bytes, sha256")
    assert redacted_target("/x?token=abc&q=1") == "/x?token=***&q=1"
    nested = Outcome(path="u", at="u", kind=OutcomeClass.MISSING, control='{"email": "a@b", "n": 1, "token": {"a": "s"')
    assert redacted_outcome(nested).control == '{"email": ***, "n": 1, "token": ***…'
    named = Outcome(path="u.email", at="u.email", kind=OutcomeClass.VALUE, control='"a@b"', candidate='"c@d"')
    assert redacted_outcome(named).control == redacted_outcome(named).candidate == "***"
