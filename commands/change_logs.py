"""One place decides where the change log of a stream is: files of ours, or topics of a Kafka cluster.

The Kafka client is imported where it is used: it takes longer than everything else a short command loads.
"""

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from psycopg.conninfo import conninfo_to_dict

from cdc.changelog.kafka.options import KafkaOptions
from cdc.changelog.local import LocalChangeLog
from cdc.changelog.port import ChangeLog
from cdc.debezium.catalog import TypeCatalog
from cdc.debezium.catalog_reader import read_catalog
from cdc.link import Direction, LinkSpec, stream_name
from commands.layout import Layout
from strangler.settings import Settings


class ChangeLogs:
    """Opens and removes the change logs of one installation, as its settings say."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._layout = settings, Layout.of(settings)

    def of_link(self, link: LinkSpec) -> ChangeLog:
        """For the stream worker, which appends."""
        if self._settings.stream.log == "local":
            return LocalChangeLog(link.log_folder)
        from cdc.changelog.kafka.log import KafkaChangeLog

        return KafkaChangeLog(
            self.kafka_options(link.move, link.direction),
            stream=link.stream,
            keys=link.source_keys,
            debezium=partial(_debezium_facts, link),
        )

    def to_read(self, move: str, direction: Direction) -> ChangeLog:
        """For everybody else."""
        if self._settings.stream.log == "local":
            return LocalChangeLog(self._layout.change_log(move, direction), read_only=True)
        from cdc.changelog.kafka.log import KafkaChangeLog

        options = self.kafka_options(move, direction)
        return KafkaChangeLog(options, stream=stream_name(move, direction), read_only=True)

    def remove(self, move: str, direction: Direction) -> None:
        """When the stream is deprovisioned. What is not there is no error; a cluster that does not answer is."""
        if self._settings.stream.log == "kafka":
            from cdc.changelog.kafka.connection import delete_topics

            delete_topics(self.kafka_options(move, direction))
        shutil.rmtree(self._layout.change_log(move, direction), ignore_errors=True)

    @contextmanager
    def publishing_parked(self, links: Sequence[LinkSpec]) -> Iterator[None]:
        """While it is open, rows that the targets refuse are also published to `<prefix>.dlq`. Kafka only."""
        stop, threads = threading.Event(), []
        for link in links if self._settings.stream.log == "kafka" else ():
            from cdc.changelog.kafka.dlq import DlqExporter

            options = self.kafka_options(link.move, link.direction)
            exporter = DlqExporter(options, target_dsn=link.target_dsn, stream=link.stream)
            threads.append(threading.Thread(target=exporter.run, args=(stop,), name="dlq", daemon=True))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def kafka_options(self, move: str, direction: Direction) -> KafkaOptions:
        """Topics of one stream: `<topic_prefix>_<move>_<direction>.…`."""
        kafka = self._settings.stream.kafka
        root = self._settings.root
        files = {name: getattr(kafka, name) for name in ("cafile", "certfile", "keyfile")}
        return KafkaOptions(
            bootstrap=kafka.bootstrap,
            prefix=f"{kafka.topic_prefix}_{move}_{direction}",
            partitions=kafka.partitions,
            replication_factor=kafka.replication_factor,
            form=kafka.form,
            forms=kafka.forms,
            cluster_id=kafka.cluster_id,
            client=kafka.client,
            compression=kafka.compression,
            security=kafka.security,
            sasl_mechanism=kafka.sasl_mechanism,
            username=kafka.username,
            password=kafka.password,
            timeout_s=kafka.timeout_s,
            **{name: None if path is None else str(root / path) for name, path in files.items()},
        )


def _debezium_facts(link: LinkSpec) -> tuple[str, TypeCatalog]:
    """What Debezium's form needs of the source: the database's name and the types that are not PostgreSQL's own."""
    database = str(conninfo_to_dict(link.source_dsn).get("dbname") or link.move)
    return database, read_catalog(link.source_dsn, list(link.source_keys))
