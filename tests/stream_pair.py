"""Two databases and a provisioned stream between them, for tests of apply, copy and the worker."""

import time
from pathlib import Path

import psycopg

from cdc.applier import Applier
from cdc.errors import SlotInUse
from cdc.events import TableName
from cdc.link import LinkLimits, LinkSpec, stream_name
from cdc.mapping.compiled import compile_mapping
from cdc.mapping.model import MoveMapping, TableMapping, TargetMapping
from cdc.markers import emit_marker
from cdc.positions import start_ledger
from cdc.postgres_source import PostgresSource
from cdc.provision import deprovision_source, provision_source, provision_target
from cdc.schema import reflect
from strangler.clock import SystemClock
from tests.catalog_mapping import same


class StreamPair:
    """`source` and `target` are autocommit connections. `link` is ready for an applier or a worker."""

    def __init__(self, new_database, tmp_path, move, mapping, source_ddl, target_ddl, **options):
        self.source_dsn, self.target_dsn = new_database("source"), new_database("target")
        self.move, self.mapping, self.folder = move, mapping, Path(tmp_path)
        self.options = options
        self.source = psycopg.connect(self.source_dsn, autocommit=True)
        self.target = psycopg.connect(self.target_dsn, autocommit=True)
        self.source.execute(source_ddl)
        self.target.execute(target_ddl)
        self.link = self.make_link("forward")
        self._provisioned = []
        self._source = None
        self.applier = None
        self.closing = []

    def make_link(self, direction):
        return make_link(
            self.move, direction, self.mapping, self.source_dsn, self.target_dsn, self.folder, **self.options
        )

    def provision(self, link=None):
        link = link or self.link
        position = provision_source(link.source_dsn, link.stream, link.mapper.source_tables)
        provision_target(link.target_dsn, link.stream)
        start_ledger(link.target_dsn, link.stream, position)
        self._provisioned.append(link)

    def open(self):
        """An applier and a source in this thread."""
        self.applier = Applier(self.link, clock=SystemClock())
        self._source = PostgresSource(
            self.source_dsn, slot=self.link.stream, publication=self.link.stream, position=self.applier.position
        )
        self._source.open()
        return self.applier

    def capture(self, through=None):
        """Every transaction that has committed in the source by now."""
        target = through or emit_marker(self.source, "strangler.barrier", "x")
        found, deadline = [], time.monotonic() + 20
        while not found or found[-1].commit_lsn < target:
            found += self._source.poll(0.2)
            assert time.monotonic() < deadline, "the source did not deliver"
        return found

    def sync(self):
        """Capture and apply everything."""
        self.applier.apply(self.capture())

    def rows(self, query, side="target"):
        return getattr(self, side).execute(query).fetchall()

    def close(self):
        for session in self.closing:
            session.close()
        if self.applier:
            self.applier.close()
        if self._source:
            self._source.close()
        for link in self._provisioned:
            self._deprovision(link)
        self.source.close()
        self.target.close()

    def _deprovision(self, link):
        """A server sees only after a moment that the reader of a slot is gone."""
        deadline = time.monotonic() + 20
        while True:
            try:
                return deprovision_source(link.source_dsn, link.stream)
            except SlotInUse:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def make_link(move, direction, mapping, source_dsn, target_dsn, folder, *, limits=(), **options):
    """A link whose mapping is compiled against the databases as they are."""
    if direction == "reverse":
        source_dsn, target_dsn, mapping = target_dsn, source_dsn, mapping.inverse()
    source, target = reflect(source_dsn, mapping.source_tables), reflect(target_dsn, mapping.target_tables)
    return LinkSpec(
        move=move,
        direction=direction,
        source_dsn=source_dsn,
        target_dsn=target_dsn,
        log_folder=folder / stream_name(move, direction),
        mapper=compile_mapping(mapping, source, target),
        source_keys={name: table.primary_key for name, table in source.tables.items()},
        limits=LinkLimits(**{"takeover_s": 5.0, "retry_min_s": 0.05, "retry_max_s": 0.2, **dict(limits)}),
        **options,
    )


def identical(*tables):
    """A mapping that changes nothing: `identical(("t", "id a b"), …)`."""
    return MoveMapping(
        tables=tuple(
            TableMapping(
                source=TableName(name=name),
                targets=(TargetMapping(table=TableName(name=name), columns=same(*columns.split())),),
            )
            for name, columns in tables
        )
    )
