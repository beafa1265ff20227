"""Where everything lies below `state_dir`. Pure."""

from dataclasses import dataclass
from pathlib import Path

from cdc.link import Direction
from strangler.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Paths of one installation."""

    root: Path

    @classmethod
    def of(cls, settings: Settings) -> "Layout":
        return cls(root=settings.state_path())

    @property
    def route_table(self) -> Path:
        return self.root / "routes.json"

    @property
    def gate(self) -> Path:
        return self.root / "gate.json"

    @property
    def envoy(self) -> Path:
        return self.root / "envoy"

    def parallel_run(self, move: str) -> Path:
        return self.move(move) / "parallel-run.sqlite"

    def move(self, move: str) -> Path:
        return self.root / "moves" / move

    def journal(self, move: str) -> Path:
        return self.move(move) / "journal.jsonl"

    def change_log(self, move: str, direction: Direction) -> Path:
        return self.move(move) / "log" / direction

    def outbox(self, relay: str) -> Path:
        return self.root / "outbox" / relay
