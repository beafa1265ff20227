"""A stream pair whose link follows schema changes, for the S scenarios."""

from dataclasses import replace

from cdc.copy_requests import request_copy
from cdc.schema_changes.evolution import StreamSchema
from cdc.schema_changes.policy import SchemaPolicy
from cdc.schema_changes.watch import WatchedSchema
from tests.stream_pair import StreamPair, identical

DDL = "CREATE TABLE t (id bigint PRIMARY KEY, a text, n int NOT NULL DEFAULT 0)"
PLAN = identical(("t", "id a n"))


def stream_schema(pair, direction="forward", policy=None, forward=None):
    link = pair.link if direction == "forward" else pair.make_link("reverse")
    return StreamSchema(
        stream=link.stream,
        direction=direction,
        source_dsn=link.source_dsn,
        target_dsn=link.target_dsn,
        plan=(lambda: pair.mapping) if direction == "forward" else (lambda: forward.mapping().inverse()),
        policy=policy or SchemaPolicy(),
    )


class EvolvingPair(StreamPair):
    """`schema` follows; the stream takes every change from the start, as if the copy were done."""

    def __init__(self, new_database, tmp_path, *, plan=PLAN, ddl=DDL, target_ddl=None, policy=None, copied=True):
        options = {"follows_copy": False} if copied else {}
        super().__init__(new_database, tmp_path, "m", plan, ddl, target_ddl or ddl, **options)
        self.provision()
        self.renew(policy)

    def renew(self, policy=None):
        """What a worker that is started anew begins with."""
        self.schema = stream_schema(self, policy=policy)
        self.schema.remember()
        self.evolution = WatchedSchema(self.schema)
        self.link = replace(self.link, evolution=self.evolution, mapper=self.schema.mapper())
        return self

    def reopen(self):
        if self.applier:
            self.applier.close()
        if self._source:
            self._source.close()
        return self.open()

    def both(self, query):
        """The same query on both sides; they have to agree."""
        source, target = self.rows(query, "source"), self.rows(query)
        assert target == source
        return target

    def request_copy(self):
        request_copy(self.target_dsn, self.link.stream, self.mapping.source_tables)
