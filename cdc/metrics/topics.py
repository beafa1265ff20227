"""The Prometheus endpoint of a stream that consumes foreign topics: its own counts, and how far it is behind them."""

from collections.abc import Iterator
from functools import partial

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from cdc.changelog.debezium_topics.consume import TopicsWorker
from cdc.changelog.debezium_topics.lag import TopicsLag, read_topics_lag
from cdc.metrics.exporter import STATES, MetricsServer, counted, durations, new_gauge, sampled
from cdc.metrics.meter import StreamMeter
from strangler.clock import Clock


class TopicsExporter(MetricsServer):
    """Of one worker. The brokers are asked every few seconds, never by a scrape."""

    def __init__(self, worker: TopicsWorker, *, address: str, clock: Clock, sample_s: float = 5.0) -> None:
        link = worker.link
        self._stream, self._clock = link.stream, clock
        self._read = partial(read_topics_lag, worker.options.kafka, link.target_dsn, link.stream)
        self._collector = TopicsCollector(link.stream, worker.meter, clock)
        super().__init__(self._collector, self._sample, address=address, sample_s=sample_s)

    def _sample(self) -> None:
        self._collector.sampled(sampled(self._stream, self._read))


class TopicsCollector(Collector):
    """Everything as Prometheus wants it. Labels carry names of streams, tables, topics, states and error classes."""

    def __init__(self, stream: str, meter: StreamMeter, clock: Clock) -> None:
        self._stream, self._meter, self._clock = stream, meter, clock
        self._reachable, self._sampled_at_s = False, 0.0
        self._lag: TopicsLag | None = None

    def sampled(self, lag: TopicsLag | None) -> None:
        """Keep a new sample; with None the one before stays, as not reachable."""
        self._reachable = lag is not None
        if lag is not None:
            self._lag, self._sampled_at_s = lag, self._clock.monotonic()

    def collect(self) -> Iterator[Metric]:
        views = {self._stream: self._meter.view()}
        yield from counted(views)
        yield from durations(views)
        reachable = new_gauge("databases_reachable", "Whether target and brokers answered the last sample.", "stream")
        reachable.add_metric([self._stream], float(self._reachable))
        yield reachable
        if self._lag is not None:
            yield from self._of_topics(self._lag)

    def _of_topics(self, lag: TopicsLag) -> Iterator[Metric]:
        age = new_gauge("sample_age_seconds", "Age of what was read from target and brokers.", "stream")
        age.add_metric([self._stream], max(0.0, self._clock.monotonic() - self._sampled_at_s))
        state = new_gauge("stream_state", "1 for the state the stream is in.", "stream", "state")
        for each in STATES:
            state.add_metric([self._stream, each], float(lag.state == each))
        waiting = new_gauge("topic_records_waiting", "Records from the target's offsets to the end.", "stream", "topic")
        lost = new_gauge("topic_records_lost", "Records that went before they were applied.", "stream", "topic")
        broken = new_gauge("topic_broken", "1 for a topic that is gone or was made anew.", "stream", "topic")
        for topic in lag.topics:
            waiting.add_metric([self._stream, topic.topic], topic.waiting)
            lost.add_metric([self._stream, topic.topic], topic.lost)
            broken.add_metric([self._stream, topic.topic], float(topic.gone or topic.made_anew))
        parked = new_gauge("parked_rows", "Rows of a table that the target refused and that wait.", "stream", "table")
        for table, rows in lag.parked.items():
            parked.add_metric([self._stream, table], rows)
        yield from (age, state, waiting, lost, broken, parked)
