"""A bare kafka-python producer and consumer, each a process of its own: what a stream over Kafka is measured against.

`python -m benchmarks.bare_kafka produce|consume BOOTSTRAP TOPIC MESSAGES BYTES plain|fast`; prints when it began and
ended by the machine's monotonic clock. `fast` gives them our checksum in C.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

_ROOT = Path(__file__).resolve().parents[1]
_LONGEST_S = 600
_HEADER = [("strangler.position", b"123456789:12:0")]


def pair_rate(bootstrap: str, topic: str, messages: int, size: int, *, fast: bool = False) -> float:
    """Messages a second from the first send to the last one received, both sides at the same time."""
    arguments = [bootstrap, topic, str(messages), str(size), "fast" if fast else "plain"]
    command = [sys.executable, "-m", "benchmarks.bare_kafka"]
    consumer = subprocess.Popen([*command, "consume", *arguments], stdout=subprocess.PIPE, cwd=_ROOT)
    producer = subprocess.Popen([*command, "produce", *arguments], stdout=subprocess.PIPE, cwd=_ROOT)
    said = [json.loads(process.communicate(timeout=_LONGEST_S)[0]) for process in (producer, consumer)]
    rate: float = messages / (said[1]["ended"] - said[0]["began"])
    return rate


def _produce(bootstrap: str, topic: str, messages: int, size: int) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5, batch_size=512 << 10)
    value = b"x" * size
    producer.partitions_for(topic)
    _said_began = time.monotonic()
    for number in range(messages):
        producer.send(topic, value, b"%d" % number, _HEADER, 0)
    producer.flush()
    print(json.dumps({"began": _said_began, "ended": time.monotonic()}))
    producer.close()


def _consume(bootstrap: str, topic: str, messages: int) -> None:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek(partition, 0)
    began, seen = time.monotonic(), 0
    while seen < messages:
        seen += sum(map(len, consumer.poll(timeout_ms=500, max_records=2000).values()))
    print(json.dumps({"began": began, "ended": time.monotonic()}))
    consumer.close()


def main() -> None:
    role, bootstrap, topic, messages, size, speed = sys.argv[1:]
    if speed == "fast":
        import cdc.changelog.kafka.connection  # noqa: F401 - puts the checksum in C into kafka-python
    if role == "produce":
        _produce(bootstrap, topic, int(messages), int(size))
    else:
        _consume(bootstrap, topic, int(messages))


if __name__ == "__main__":
    main()
