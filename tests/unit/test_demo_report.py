"""The report's value, its two files, and that the page is self-contained and escapes what it shows."""

import json
import re
from html.parser import HTMLParser

import pytest
from pydantic import ValidationError

from demo.report import (
    Copied,
    DemoReport,
    Difference,
    Environment,
    Holds,
    LagSample,
    LatencyBucket,
    ParallelRun,
    Phase,
    Requests,
    Step,
    Stream,
    TimeSeries,
    Transfer,
    Writes,
    write_report,
)
from demo.report_html import render_html, show_milliseconds, step_rows

HOLDS = Holds(held_requests=84, hold_p50_ms=61.0, hold_p99_ms=140.5, hold_max_ms=151.0)
PHASES = [
    ("seed", 0.0, 9.4),
    ("copying", 9.4, 11.2),
    ("following", 20.6, 4.1),
    ("shadowing", 24.7, 15.3),
    ("reads_ramping", 40.0, 12.0),
    ("service_owned", 52.2, 16.0),
    ("legacy_owned", 68.4, 9.0),
    ("completed", 77.6, 8.1),
]
STEPS = ["predict", "close_gate", "fence", "drain", "verify", "prepare_reverse", "flip", "open_gate", "reverse_runs"]


def make_report(**changes):
    transfers = tuple(
        Transfer(
            kind=kind,
            started_at=at,
            seconds=0.21,
            steps=tuple(Step(name=name, seconds=0.004 * (1 + i * 7 % 9)) for i, name in enumerate(STEPS)),
            holds=HOLDS,
        )
        for kind, at in (("cutover", 52.0), ("rollback", 68.2), ("cutover", 77.4))
    )
    lag = [
        LagSample(at=10 + i * 0.25, direction="forward", lag_ms=900 / (1 + i) + 4 + i * 13 % 7) for i in range(168)
    ] + [LagSample(at=52 + i * 0.25, direction="reverse", lag_ms=5 + i * 7 % 9) for i in range(64)]
    latency = [
        LatencyBucket(
            at=9 + second,
            kind=kind,
            requests=100,
            p50_ms=base,
            p99_ms=base * 4 + (130 if kind.endswith("write") and 9 + second in (52, 68, 77) else second % 5),
        )
        for kind, base in (("catalog_read", 2.1), ("catalog_write", 4.4), ("store_read", 5.0), ("place_order", 9.0))
        for second in range(77)
    ]
    difference = Difference(
        endpoint="GET /api/products/{id}",
        path="$.price.amount",
        difference="Value",
        verdict="raced",
        count=3,
        control='"12.34"',
        candidate='"12.30"',
    )
    fields = {
        "requests": Requests(total=31_044, failed=0, p50_ms=3.2, p99_ms=48.9),
        "writes": Writes(acknowledged=14_210, lost=0, duplicated=0, diverged=0),
        "copied": Copied(rows=121_530, seconds=6.3),
        "stream": Stream(events=19_001, lag_p50_ms=7.5, lag_p99_ms=41.0),
        "parallel_run": ParallelRun(compared=2_400, confirmed=0, noise=11, raced=3, upper_bound=0.00125),
        "cutover": HOLDS,
        "rollback": HOLDS,
        "promises": {"one_owner": True, "no_lost_write": True, "no_failed_request": True, "holds_under_a_second": True},
        "phases": tuple(Phase(name=name, started_at=at, seconds=seconds) for name, at, seconds in PHASES),
        "timeseries": TimeSeries(lag=tuple(lag), latency=tuple(latency)),
        "cutovers": transfers,
        "differences": (difference, difference.model_copy(update={"verdict": "noise", "path": "$.updated_at"})),
        "environment": Environment(
            postgres_version="18.6", cores=2, writes_per_s=200, reads_per_s=50, seeds={"store": 7, "traffic": 11}
        ),
    }
    return DemoReport(**{**fields, **changes})


def test_json_has_the_documented_keys():
    text = json.loads(make_report().as_json())
    assert set(text["requests"]) == {"total", "failed", "p50_ms", "p99_ms"}
    assert set(text["writes"]) == {"acknowledged", "lost", "duplicated", "diverged"}
    assert set(text["copy"]) == {"rows", "seconds"}
    assert set(text["stream"]) == {"events", "lag_p50_ms", "lag_p99_ms"}
    assert set(text["parallel_run"]) == {"compared", "confirmed", "noise", "raced", "upper_bound"}
    for side in ("cutover", "rollback"):
        assert set(text[side]) == {"held_requests", "hold_p50_ms", "hold_p99_ms", "hold_max_ms"}
    assert text["promises"]["one_owner"] is True
    assert text["verdict"] == "kept"
    assert text["cutovers"][1]["kind"] == "rollback"
    assert {"phases", "timeseries", "differences", "environment"} <= set(text)


def test_one_broken_promise_breaks_the_verdict_and_shows():
    report = make_report(promises={"one_owner": True, "no_lost_write": False})
    assert report.verdict == "broken"
    page = render_html(report)
    assert "A promise was broken" in page
    assert page.count('class="no"') == 1


@pytest.mark.parametrize(
    "change",
    [
        {"promises": {}},
        {"phases": ()},
        {"requests": {"total": -1, "failed": 0, "p50_ms": 0, "p99_ms": 0}},
        {"copied": {"rows": 1, "seconds": float("nan")}},
        {"cutover": {"held_requests": 1, "hold_p50_ms": 5, "hold_p99_ms": 4, "hold_max_ms": 6}},
        {"host": "somewhere"},
    ],
)
def test_a_report_that_cannot_be_true_is_refused(change):
    with pytest.raises(ValidationError):
        make_report(**change)


def test_the_page_needs_nothing_from_outside(tmp_path):
    json_path, html_path = write_report(make_report(), tmp_path)
    assert json.loads(json_path.read_text())["verdict"] == "kept"
    page = html_path.read_text()
    assert len(page) < 300_000
    assert "http:" not in page
    assert "https:" not in page
    assert not re.search(r"<(script|link|img|iframe|object)\b|@import|url\((?!#)", page)
    assert page.count("<svg") == 4
    for colour in re.findall(r"#0[0-9ab]0\d0\d", page):
        raise AssertionError(f"a chart kept its stand-in colour {colour}")


def test_ids_in_the_page_are_unique_and_every_reference_is_met():
    page = render_html(make_report())
    ids, references = [], set(re.findall(r"url\(#([^)]*)\)", page))

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            for name, value in attributes:
                if name == "id":
                    ids.append(value)
                if name in ("href", "xlink:href"):
                    references.add(value.removeprefix("#"))

    Reader().feed(page)
    assert len(ids) == len(set(ids))
    assert references <= set(ids)


def test_what_a_service_answered_is_escaped():
    evil = "<script>alert(1)</script>"
    difference = Difference(
        endpoint=evil, path=evil, difference=evil, verdict="confirmed", count=1, control=evil, candidate=evil
    )
    bucket = LatencyBucket(at=0, kind=evil, requests=1, p50_ms=1, p99_ms=1)
    report = make_report(
        differences=(difference,),
        timeseries=TimeSeries(latency=(bucket,)),
        phases=(Phase(name=evil, started_at=0, seconds=1),),
        promises={evil: True},
    )
    assert evil not in render_html(report)


def test_a_run_that_ended_early_still_has_a_page():
    report = make_report(cutovers=(), differences=(), timeseries=TimeSeries())
    page = render_html(report)
    assert "Ownership never changed." in page
    assert "No difference was seen." in page
    assert "No sample was taken." in page


def test_long_series_stay_small_and_keep_their_peak():
    lag = tuple(
        LagSample(at=i * 0.01, direction="forward", lag_ms=5000 if i == 7_777 else 5 + i % 3) for i in range(20_000)
    )
    page = render_html(make_report(timeseries=TimeSeries(lag=lag)))
    assert len(page) < 300_000
    assert "10 s" in page


def test_times_and_bars():
    assert [show_milliseconds(value) for value in (0.123, 7.14, 120.4, 1250)] == [
        "0.12 ms",
        "7.1 ms",
        "120 ms",
        "1.25 s",
    ]
    rows = step_rows(make_report().cutovers[0])
    assert max(row.percent for row in rows) == 100
    assert rows[1].name == "close gate"
