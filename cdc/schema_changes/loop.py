"""Looks now and then for schema changes that no event shows."""

import threading

from cdc.link_signals import LinkSignals
from cdc.schema_port import SchemaEvolution

LOOK_S = 2.0


class SchemaLoop:
    """One session of looking, for one link."""

    def __init__(self, evolution: SchemaEvolution, *, signals: LinkSignals, stop: threading.Event) -> None:
        self._evolution, self._signals, self._stop = evolution, signals, stop

    def session(self) -> None:
        """Runs until `stop`. Raises what `SchemaEvolution.look` raises."""
        while not self._stop.is_set():
            if (applied := self._signals.applied_through) is not None:
                self._evolution.look(applied)
                self._signals.well("schema")
            self._stop.wait(LOOK_S)
