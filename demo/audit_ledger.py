"""What the clients were promised: the last word of the traffic ledger about each row.

The ledger is read once; of a line only its place in the file is kept, so that memory grows with the number of rows
written, not with their content.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from strangler.errors import BadInput

Key = tuple[int, ...]
"""A primary key: (id,) or, of an assignment, (product_id, category_id)."""

NATURAL_KEYS: Mapping[str, str] = {"product": "sku", "price": "reference", "category": "slug"}
"""The column that a client can name a row by before it knows the id."""


class DamagedLedger(BadInput):
    """The ledger cannot be read as what its writer documents."""


@dataclass(kw_only=True, slots=True)
class Expectation:
    """Where the ledger speaks of one row: byte offsets of lines, None where it never does."""

    acknowledged: int | None = None
    unknown: int | None = None
    closed_by: int | None = None
    """The acknowledged price that closed this one."""
    maybe_closed: bool = False
    """A price of unknown outcome may have closed this one."""


@dataclass(kw_only=True, slots=True)
class Expectations:
    """`rows`: by entity and primary key. `unborn`: rows that an unknown creation may have made, by natural key."""

    rows: dict[str, dict[Key, Expectation]]
    unborn: dict[str, dict[str, Expectation]]
    acknowledged: int = 0
    unknown: int = 0
    started_at: float | None = None
    """Epoch seconds."""
    complete: bool = False
    """The run ended in order, so no acknowledged write can be missing from the ledger."""


@dataclass(kw_only=True, slots=True)
class LedgerFile:
    """A ledger opened for reading lines again by their offsets."""

    path: Path
    _file: Any = field(init=False, default=None)

    def __enter__(self) -> "LedgerFile":
        try:
            self._file = self.path.open("rb")
        except OSError as error:
            raise DamagedLedger(
                thing=str(self.path),
                reason=f"cannot be read: {error.strerror}",
                mend="pass the ledger that the traffic generator wrote",
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write_at(self, offset: int) -> Mapping[str, Any]:
        """The `write` of the line that starts there."""
        self._file.seek(offset)
        write: Mapping[str, Any] = json.loads(self._file.readline())["write"]
        return write

    def read(self) -> Expectations:
        """Replay the whole ledger. A torn last line (the writer was killed) is not a line."""
        seen = Expectations(
            rows={entity: {} for entity in (*NATURAL_KEYS, "product_category")},
            unborn={entity: {} for entity in NATURAL_KEYS},
        )
        for offset, line in self._lines():
            match line.get("type"):
                case "start":
                    seen.started_at = float(line["t"])
                case "stop":
                    seen.complete = True
                    self._agree(line, seen)
                case "request" if line.get("write") is not None:
                    self._note(seen, offset, line["write"])
        return seen

    def _lines(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        offset = 0
        self._file.seek(0)
        for raw in self._file:
            if not raw.endswith(b"\n"):
                return
            try:
                line = json.loads(raw)
            except ValueError:
                raise DamagedLedger(
                    thing=f"{self.path}, byte {offset}", reason="not a line of JSON", mend="run the traffic again"
                ) from None
            yield offset, line
            offset += len(raw)

    def _agree(self, stop: Mapping[str, Any], seen: Expectations) -> None:
        told = stop.get("acknowledged_writes")
        if told is not None and told != seen.acknowledged:
            raise DamagedLedger(
                thing=str(self.path),
                reason=f"its last line tells of {told} acknowledged writes, it has {seen.acknowledged}",
                mend="run the traffic again",
            )

    def _note(self, seen: Expectations, offset: int, write: Mapping[str, Any]) -> None:
        entity, key, unknown = write["entity"], write["key"], bool(write.get("unknown"))
        expectation = _expectation(seen, entity, key)
        if unknown:
            seen.unknown += 1
            expectation.unknown = offset
        else:
            seen.acknowledged += 1
            expectation.acknowledged = offset
        closes = write.get("closes")
        if closes is not None:
            closed = seen.rows["price"].setdefault((int(closes),), Expectation())
            if unknown:
                closed.maybe_closed = True
            else:
                closed.closed_by = offset


def _expectation(seen: Expectations, entity: str, key: Mapping[str, Any]) -> Expectation:
    if entity == "product_category":
        return seen.rows[entity].setdefault((int(key["product_id"]), int(key["category_id"])), Expectation())
    if "id" in key:
        return seen.rows[entity].setdefault((int(key["id"]),), Expectation())
    return seen.unborn[entity].setdefault(str(key[NATURAL_KEYS[entity]]), Expectation())
