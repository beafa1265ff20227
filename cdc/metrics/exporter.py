"""The worker's Prometheus endpoint: its own counts, and what it reads from both databases every few seconds."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from wsgiref.simple_server import WSGIServer

import psycopg
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from cdc.lag import StreamLag, read_lag
from cdc.link import LinkSpec
from cdc.metrics.alerts import ALERT_NAMES, Thresholds, alerts
from cdc.metrics.forecast import Forecast, ProgressSample, forecast
from cdc.metrics.meter import MeterView, StreamMeter
from cdc.sessions import source_error
from strangler.clock import Clock
from strangler.errors import StranglerError

_log = logging.getLogger(__name__)

STATES = ("absent", "idle", "copying", "streaming", "retrying", "stopped", "silent")

_SAMPLE_S = 5.0

Read = TypeVar("Read")


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamSample:
    """What was last read of one stream. `lag` is None until both databases have answered once."""

    reachable: bool = False
    lag: StreamLag | None = None
    forecast: Forecast | None = None
    sampled_at_s: float = 0.0


class MetricsServer:
    """Serves `http://ADDRESS/metrics` of one collector, and has its samples taken every few seconds.

    Nothing here can stop a stream: an address that is taken is logged and tried again at every sample. A scrape reads
    no database: it gets the last sample and its age.
    """

    def __init__(
        self, collector: Collector, sample: Callable[[], None], *, address: str, sample_s: float = _SAMPLE_S
    ) -> None:
        self._address, self._take_samples, self._sample_s = address, sample, sample_s
        self._registry = CollectorRegistry()
        self._registry.register(collector)
        self._server: WSGIServer | None = None
        self._refused = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        self._listen()
        self._thread.start()

    def close(self) -> None:
        """Safe to call twice. Waits for a sample under way no longer than it takes to connect."""
        self._stop.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        with suppress(RuntimeError):
            self._thread.join(timeout=15)

    def _listen(self) -> None:
        host, _, port = self._address.rpartition(":")
        try:
            self._server, _ = start_http_server(int(port), addr=host.strip("[]"), registry=self._registry)
        except (OSError, OverflowError) as error:
            if self._refused != str(error):
                _log.warning("metrics: cannot listen on %s: %s; tried again", self._address, error)
            self._refused = str(error)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._take_samples()
            self._stop.wait(self._sample_s)
            if self._server is None and not self._stop.is_set():
                self._listen()


def sampled(stream: str, read: Callable[[], Read]) -> Read | None:
    """What `read` says; None, and a line in the log, when it could not be had."""
    try:
        return read()
    except StranglerError as error:
        _log.warning("metrics: %s was not sampled: %s", stream, error)
    except Exception:  # noqa: BLE001 - a process loop: recorded, tried again a few seconds later; the streams go on
        _log.exception("metrics: %s was not sampled: unexpected", stream)
    return None


class MetricsExporter(MetricsServer):
    """Of one worker's links."""

    def __init__(
        self,
        links: Sequence[LinkSpec],
        meters: Mapping[str, StreamMeter],
        *,
        address: str,
        thresholds: Thresholds,
        clock: Clock,
        sample_s: float = _SAMPLE_S,
    ) -> None:
        self._links, self._clock = links, clock
        self._collector = StreamCollector(meters, thresholds, clock)
        super().__init__(self._collector, self._sample_all, address=address, sample_s=sample_s)

    def _sample_all(self) -> None:
        for link in self._links:
            lag = sampled(link.stream, partial(_read, link))
            now_s = self._clock.monotonic()
            sample = None if lag is None else StreamSample(reachable=True, lag=lag, sampled_at_s=now_s)
            self._collector.sampled(link.stream, sample)


def _read(link: LinkSpec) -> StreamLag:
    try:
        return read_lag(link.source_dsn, link.target_dsn, link.stream)
    except psycopg.Error as error:
        raise source_error(link.source_dsn, f"lag of {link.stream}", error) from error


class StreamCollector(Collector):
    """Everything as Prometheus wants it. Labels carry names of streams, tables, parts, states and error classes only:
    no value of a row and no address of a database."""

    def __init__(self, meters: Mapping[str, StreamMeter], thresholds: Thresholds, clock: Clock) -> None:
        self._meters, self._thresholds, self._clock = meters, thresholds, clock
        self._samples = {stream: StreamSample() for stream in meters}

    def sampled(self, stream: str, sample: StreamSample | None) -> None:
        """Keep a new sample; with None the one before stays, as not reachable."""
        before = self._samples[stream]
        if sample is None:
            self._samples[stream] = StreamSample(
                lag=before.lag, forecast=before.forecast, sampled_at_s=before.sampled_at_s
            )
            return
        self._samples[stream] = StreamSample(
            reachable=True, lag=sample.lag, forecast=_forecast(before, sample), sampled_at_s=sample.sampled_at_s
        )

    def collect(self) -> Iterator[Metric]:
        views = {stream: meter.view() for stream, meter in self._meters.items()}
        yield from counted(views)
        yield from durations(views)
        yield from self._sampled(dict(self._samples))

    def _sampled(self, samples: Mapping[str, StreamSample]) -> Iterator[Metric]:
        now_s = self._clock.monotonic()
        age = new_gauge("sample_age_seconds", "Age of what was read from the databases.", "stream")
        reachable = new_gauge("databases_reachable", "Whether both databases answered the last sample.", "stream")
        for stream, sample in samples.items():
            reachable.add_metric([stream], float(sample.reachable))
            if sample.lag is not None:
                age.add_metric([stream], max(0.0, now_s - sample.sampled_at_s))
        yield from (age, reachable)
        seen = {stream: sample.lag for stream, sample in samples.items() if sample.lag is not None}
        yield from _positions(seen)
        yield from _tables(seen)
        alert = new_gauge("alert", "1 while something about the stream needs a person.", "stream", "alert")
        for stream, lag in seen.items():
            raised = {each.name for each in alerts(lag, self._thresholds)}
            for name in ALERT_NAMES:
                alert.add_metric([stream, name], float(name in raised))
        yield alert
        ahead = new_gauge("catch_up_seconds", "Until nothing waits at the present rates; +Inf: never.", "stream")
        for stream, sample in samples.items():
            if sample.forecast is not None and sample.forecast.verdict != "unknown":
                seconds = sample.forecast.seconds
                ahead.add_metric([stream], float("inf") if seconds is None else seconds)
        yield ahead


def _forecast(before: StreamSample, now: StreamSample) -> Forecast | None:
    if before.lag is None or now.lag is None:
        return None
    return forecast(
        ProgressSample.of(before.lag.source_lsn, before.lag.bytes, before.sampled_at_s),
        ProgressSample.of(now.lag.source_lsn, now.lag.bytes, now.sampled_at_s),
    )


def counted(views: Mapping[str, MeterView]) -> Iterator[Metric]:
    """What meters have counted, by stream."""
    captured = _counter("events_captured", "Events made durable in the change log.", "stream")
    events = _counter(
        "events_applied", "Events applied, by source table and operation.", "stream", "table", "operation"
    )
    transactions = _counter("transactions_applied", "Source transactions applied.", "stream")
    retries = _counter("retries", "Failures after which a part tried again by itself.", "stream", "part")
    errors = _counter("errors", "Failures by class.", "stream", "part", "error")
    lag_events = new_gauge("lag_events", "Events captured and not applied.", "stream")
    waiting = new_gauge("table_events_waiting", "Events of a table captured and not applied.", "stream", "table")
    last = new_gauge(
        "table_last_applied_timestamp_seconds", "When a table's last event was applied.", "stream", "table"
    )
    for stream, view in views.items():
        captured.add_metric([stream], view.captured_events)
        transactions.add_metric([stream], view.applied_transactions)
        lag_events.add_metric([stream], view.events_waiting)
        for (table, operation), count in view.applied.items():
            events.add_metric([stream, table, operation], count)
        for part, count in view.retries.items():
            retries.add_metric([stream, part], count)
        for (part, error), count in view.errors.items():
            errors.add_metric([stream, part, error], count)
        for table in view.waiting.keys() | view.last_applied_s.keys():
            waiting.add_metric([stream, table], view.waiting.get(table, 0))
        for table, at_s in view.last_applied_s.items():
            last.add_metric([stream, table], at_s)
    yield from (captured, events, transactions, retries, errors, lag_events, waiting, last)


def durations(views: Mapping[str, MeterView]) -> Iterator[Metric]:
    """Their histograms."""
    apply = HistogramMetricFamily("strangler_apply_seconds", "A target transaction, read to commit.", labels=["stream"])
    latency = HistogramMetricFamily(
        "strangler_capture_to_apply_seconds",
        "From the change log to the target, durable.",
        labels=["stream"],
    )
    for stream, view in views.items():
        apply.add_metric([stream], [(bound, float(count)) for bound, count in view.apply], view.apply_sum_s)
        latency.add_metric([stream], [(bound, float(count)) for bound, count in view.latency], view.latency_sum_s)
    yield from (apply, latency)


def _positions(seen: Mapping[str, StreamLag]) -> Iterator[Metric]:
    state = new_gauge("stream_state", "1 for the state the stream is in.", "stream", "state")
    numbers = {
        "applied_position_bytes": ("Position in the source's log through which all is applied.", "applied_lsn"),
        "source_position_bytes": ("End of the source's log.", "source_lsn"),
        "lag_bytes": ("Source log not known to be applied.", "bytes"),
        "lag_seconds": ("Age of the oldest change that may not be applied.", "seconds"),
        "slot_retained_bytes": ("Log that the source keeps for the slot.", "wal_retained_bytes"),
        "slot_limit_bytes": ("The most log that the source may keep; absent: no limit.", "wal_limit_bytes"),
        "slot_headroom_bytes": ("Log until the slot is lost; absent: no limit.", "wal_headroom_bytes"),
    }
    gauges = {field: new_gauge(name, text, "stream") for name, (text, field) in numbers.items()}
    lost = new_gauge("slot_lost", "1 when the source removed log that the stream had not read.", "stream")
    for stream, lag in seen.items():
        for each in STATES:
            state.add_metric([stream, each], float(lag.state == each))
        for field, gauge in gauges.items():
            value = getattr(lag, field)
            if value is not None:
                gauge.add_metric([stream], float(value))
        lost.add_metric([stream], float(lag.wal_status == "lost"))
    yield state
    yield from gauges.values()
    yield lost


def _tables(seen: Mapping[str, StreamLag]) -> Iterator[Metric]:
    copied = new_gauge("copied_rows", "Rows of a table that the copy has written.", "stream", "table")
    estimated = new_gauge("copy_estimated_rows", "Rows of a table by the source's statistics.", "stream", "table")
    parked = new_gauge("parked_rows", "Rows of a table that the target refused and that wait.", "stream", "table")
    for stream, lag in seen.items():
        for table in lag.tables:
            if table.copied_rows is not None:
                copied.add_metric([stream, table.table], table.copied_rows)
            if table.estimated_rows is not None:
                estimated.add_metric([stream, table.table], table.estimated_rows)
            parked.add_metric([stream, table.table], table.parked_rows)
    yield from (copied, estimated, parked)


def new_gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    """With the prefix of all our metrics."""
    return GaugeMetricFamily(f"strangler_{name}", text, labels=labels)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"strangler_{name}", text, labels=labels)
