"""The producer of confluent-kafka as the appender uses it (`producing.AppendingProducer`).

Optional (extra `kafka-fast`); `client = "confluent"` in `[stream.kafka]` chooses it. Reading stays with kafka-python.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from kafka import errors as kafka_errors

from cdc.changelog.kafka.options import KafkaOptions
from cdc.changelog.kafka.records import POSITION_HEADER, RowPositions
from cdc.errors import LogUnfit

_QUEUE_KBYTES: Final = 32 << 10
_POLL_EVERY: Final = 500
_ENVELOPE_BYTES: Final = 4096


class Delivery:
    """What became of one record: itself its `value`, with the `offset` that the broker gave it."""

    __slots__ = ("_errback", "error", "is_done", "offset")

    def __init__(self) -> None:
        self.offset = -1
        self.is_done = False
        self.error: kafka_errors.KafkaError | None = None
        self._errback: Callable[[BaseException], object] | None = None

    @property
    def value(self) -> "Delivery":
        return self

    def add_errback(self, errback: Callable[[BaseException], object]) -> None:
        self._errback = errback

    def delivered(self, error: Any, message: Any) -> None:
        """Called by the producer, from inside `poll` and `flush`."""
        if error is None:
            self.offset = message.offset()
        else:
            self.error = _translated(error)
            if self._errback is not None:
                self._errback(self.error)
        self.is_done = True


class Waiting(Delivery):
    """One that can be waited for."""

    __slots__ = ("_producer",)

    def __init__(self, producer: Any) -> None:
        super().__init__()
        self._producer = producer

    def get(self, timeout: float) -> "Delivery":
        deadline = time.monotonic() + timeout
        while not self.is_done:
            self._producer.poll(0.05)
            if time.monotonic() > deadline:
                raise kafka_errors.KafkaTimeoutError(f"not acknowledged within {timeout:g} s")
        if self.error is not None:
            raise self.error
        return self


class AcceleratedProducer:
    """Belongs to one thread. Its own queue is bounded; a full one makes `send` wait."""

    def __init__(self, options: KafkaOptions, message_bytes: int) -> None:
        try:
            from confluent_kafka import Producer
        except ImportError:
            raise LogUnfit(
                thing="stream.kafka.client",
                reason="confluent-kafka is not installed",
                mend="pip install 'strangler[kafka-fast]', or set client = \"kafka-python\"",
            ) from None
        self._timeout_s = options.timeout_s
        self._producer = Producer(_config(options, message_bytes))
        self._unpolled = 0
        self._failure: kafka_errors.KafkaError | None = None

    def send(
        self, topic: str, value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes]], partition: int
    ) -> Waiting:
        """As kafka-python's, with all arguments in this order."""
        delivery = Waiting(self._producer)
        delivery.add_errback(self._failed)
        self._produce(topic, value, key, headers, partition, delivery.delivered)
        return delivery

    def send_rows(
        self, where: tuple[str, int], keys: Sequence[bytes | None], values: Sequence[bytes], positions: RowPositions
    ) -> tuple[Delivery, Delivery]:
        """See `AppendingProducer`."""
        first, last = Delivery(), Delivery()
        for delivery in (first, last):
            delivery.add_errback(self._failed)
        topic, partition = where
        end = len(values) - 1
        for row, (key, value) in enumerate(zip(keys, values, strict=True)):
            delivered = self._delivered if 0 < row < end else last.delivered if row else first.delivered
            self._produce(topic, value, key, [(POSITION_HEADER, positions[row])], partition, delivered)
        return first, last if end else first

    def settle(self, timeout_s: float) -> None:
        self.flush(timeout_s)
        if self._failure is not None:
            raise self._failure

    def _produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: list[tuple[str, bytes]],
        partition: int,
        delivered: Callable[[Any, Any], None],
    ) -> None:
        deadline = 0.0
        while True:
            try:
                self._producer.produce(
                    topic, value=value, key=key, partition=partition, headers=headers, on_delivery=delivered
                )
                break
            except BufferError:
                deadline = deadline or time.monotonic() + self._timeout_s
                if time.monotonic() > deadline:
                    raise kafka_errors.KafkaTimeoutError("the producer's queue stayed full") from None
                self._producer.poll(0.05)
            except Exception as error:
                if type(error).__name__ != "KafkaException":
                    raise
                raise _translated(error.args[0]) from error
        self._unpolled += 1
        if self._unpolled >= _POLL_EVERY:
            self._unpolled = 0
            self._producer.poll(0)

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self._failed(_translated(error))

    def _failed(self, error: BaseException) -> None:
        if self._failure is None and isinstance(error, kafka_errors.KafkaError):
            self._failure = error

    def flush(self, timeout: float) -> None:
        if self._producer.flush(timeout):
            raise kafka_errors.KafkaTimeoutError(f"records were not acknowledged within {timeout:g} s")

    def close(self, timeout: float) -> None:
        """What was not acknowledged by then is dropped."""
        self._producer.purge()
        self._producer.flush(timeout)


def _config(options: KafkaOptions, message_bytes: int) -> dict[str, Any]:
    found = {
        "bootstrap.servers": ",".join(options.servers),
        "security.protocol": options.security,
        "sasl.mechanism": options.sasl_mechanism,
        "sasl.username": options.username,
        "sasl.password": options.password,
        "ssl.ca.location": options.cafile,
        "ssl.certificate.location": options.certfile,
        "ssl.key.location": options.keyfile,
        "compression.type": options.compression,
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": 5,
        "batch.size": min(512 << 10, message_bytes),
        "message.max.bytes": max(message_bytes + _ENVELOPE_BYTES, 1 << 20),
        "delivery.timeout.ms": int(options.timeout_s * 1000),
        "queue.buffering.max.kbytes": _QUEUE_KBYTES,
        "log_level": 3,
    }
    return {key: value for key, value in found.items() if value is not None}


def _translated(error: Any) -> kafka_errors.KafkaError:
    """librdkafka's own codes are below zero and all mean that the brokers did not take it in time."""
    code = error.code()
    if code < 0:
        return kafka_errors.KafkaTimeoutError(str(error))
    return kafka_errors.for_code(code)(str(error))
