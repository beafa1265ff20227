"""What a stream remembers about the binlog it reads, beside its change log.

A position is only a file's number and an offset. That it still means the same place is known by what is kept here:
which server it was, when each file was opened (RESET MASTER begins the numbers anew), the GTIDs up to the position.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Protocol

from cdc.errors import LogDamaged, LogUnwritable
from strangler.durable_files import replace_file

_NAME: Final = "binlog.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class BinlogMemory:
    """`server`: its identity. `opened_s`: file → when it was opened, source clock. `gtids`: everything up to
    `position`; None when they are off."""

    server: str
    position: int
    gtids: str | None
    opened_s: Mapping[str, int] = field(default_factory=dict)


class MemoryStore(Protocol):
    """Keeps one stream's memory durably."""

    def load(self) -> BinlogMemory | None: ...

    def save(self, memory: BinlogMemory) -> None: ...


class FileMemory:
    """A small JSON file, replaced atomically."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME

    def load(self) -> BinlogMemory | None:
        """None when nothing was kept yet. Raises `LogDamaged`."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return BinlogMemory(**found)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise LogDamaged(
                thing=str(self._path),
                reason=f"is not what was written ({error})",
                mend="remove it if the source is certainly the same server with the same binlogs",
            ) from None

    def save(self, memory: BinlogMemory) -> None:
        """Raises `LogUnwritable`."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, json.dumps(asdict(memory), indent=1))
        except OSError as error:
            raise LogUnwritable.because(error, str(self._path)) from None


class NoMemory:
    """For a stream that is not resumed."""

    def load(self) -> BinlogMemory | None:
        return None

    def save(self, memory: BinlogMemory) -> None:
        """Nothing is kept."""
