"""The story: catalog leaves the running store, comes back, and leaves again, all under load, through the real CLI."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from commands.streams import MoveStreams
from demo.pace import FULL_PACE, Pace, fitting_pace
from demo.report import Holds, Phase, Step, Transfer
from demo.stack import Store
from migration_plans.transfer import STEPS
from sandbox.apps import python_program
from strangler import failpoints
from strangler.clock import SystemClock
from strangler.errors import BadInput, PromiseBroken

_SERVICE = "catalog"
_COMMAND_TIMEOUT_S = 300
_TRAFFIC_BOUND_S = 3600
"""Clients run until they are stopped; this only ends those of a story that nobody stops."""
_DRAIN_S = 60.0
_WARM_UP_S = 2.0
_CALIBRATION_S = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Break:
    """Kill the runner of the first `operation` at `failpoint`."""

    operation: str
    failpoint: str


def parse_break(text: str) -> Break:
    """`3`, `fence`, `fence.begin`, `rollback.flip.acted` → where to kill. `acted` (the worst moment) unless given."""
    words = text.split(".")
    operation = words.pop(0) if words[0] in ("cutover", "rollback") else "cutover"
    step = words[0] if words else ""
    name = STEPS[int(step)] if step.isdigit() and int(step) < len(STEPS) else step
    place = words[1] if len(words) > 1 else "acted"
    if name not in STEPS or place not in ("begin", "acted") or len(words) > 2:
        numbered = ", ".join(f"{number} {known}" for number, known in enumerate(STEPS))
        raise BadInput(
            thing=f"--break {text!r}",
            reason="is not a step of the cutover",
            mend=f"name one of: {numbered}; optionally as cutover.STEP.begin or rollback.STEP.acted",
        )
    return Break(operation=operation, failpoint=f"{operation}.{name}.{place}")


@dataclass
class Story:
    """Runs the commands in order and remembers what they said."""

    store: Store
    say: Callable[[str], None]
    started: float
    pace: Pace | None = None
    """None: as much as this machine carries, found when the story begins."""
    seed: int = 7
    broken: Break | None = None
    phases: list[Phase] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    parallel_runs: list[dict[str, Any]] = field(default_factory=list)
    unbroken_holds: list[Transfer] = field(default_factory=list)

    @property
    def ledger(self) -> Path:
        return self.store.folder / "ledger.jsonl"

    def tell(self) -> None:
        """Everything from the first request to the last, and `complete`."""
        with self._phase("traffic alone"):
            pace = self.pace or self._find_pace()
            self.start_traffic(pace)
            self.say(f"clients send {pace.writes_per_s:g} writes and {pace.reads_per_s:g} reads a second")
            self.pace = pace
            time.sleep(3)
        with self._phase("copy and follow"):
            self.strangler("run", _SERVICE, "--until", "following")
        self._to_the_service()
        with self._phase("service owned"):
            time.sleep(5)
        with self._phase("roll back under load"):
            self.transfer("rollback")
        with self._phase("legacy owned again"):
            time.sleep(2)
        self._to_the_service()
        with self._phase("service owned for good"):
            time.sleep(4)
        with self._phase("traffic ends, complete"):
            self.store.stack.stop("traffic")
            self.drain()
            self.strangler("complete", _SERVICE, "--yes")

    def drain(self) -> None:
        """Let both streams carry their last events, with the clients gone."""
        with MoveStreams(self.store.context.settings, self.store.context.plan(_SERVICE), SystemClock()) as streams:
            for direction in ("forward", "reverse"):
                streams.wait_applied(direction, streams.emit_barrier(direction), _DRAIN_S)

    def read(self, *arguments: str) -> Any:
        """The JSON of a read command."""
        return json.loads(self.strangler(*arguments, "--json"))

    def _to_the_service(self) -> None:
        with self._phase("parallel run"):
            self.strangler("run", _SERVICE, "--until", "shadowing")
        with self._phase("ramp reads 5 / 25 / 100 %"):
            self.strangler("run", _SERVICE, "--until", "reads_ramping", "--hold", "1.5")
        self.parallel_runs.append(self.read("diff", "report", _SERVICE))
        with self._phase("cut over under load"):
            self.transfer("cutover")

    def transfer(self, operation: str) -> None:
        """Cut over or roll back; killed on the way and resumed, if `broken` says so."""
        started_at = self._elapsed()
        broken = self.broken if self.broken is not None and self.broken.operation == operation else None
        result = None
        if broken is not None and not self.killed:
            self._killed_at(broken)
            result = json.loads(self.strangler("resume", _SERVICE, "--json"))
            self.say(f"resumed: {'the ' + result['owner'] if result else 'the giver'} owns")
        if result is None:
            result = json.loads(self.strangler(operation, _SERVICE, "--json"))
        transfer = _transfer(operation, result, started_at, self._elapsed() - started_at)
        self.transfers.append(transfer)
        if transfer.undone_attempts:
            self.say(
                f"{transfer.undone_attempts} attempts undone before, held {transfer.undone_hold_ms:.0f} ms at most"
            )
        if broken is None:
            self.unbroken_holds.append(transfer)

    def _killed_at(self, broken: Break) -> None:
        done = self._run((broken.operation, _SERVICE, "--json"), {failpoints.VARIABLE: broken.failpoint})
        if done.returncode != -signal.SIGKILL:
            raise PromiseBroken(
                thing=f"--break {broken.failpoint}",
                reason=f"the runner was not killed there (exit {done.returncode}): {done.stderr.strip()[-300:]}",
                mend="look at the cutover's steps; the failpoint was never reached",
            )
        self.killed.append(broken.failpoint)
        self.say(f"the runner was killed at {broken.failpoint}")

    def start_traffic(self, pace: Pace) -> None:
        """Clients at the front door, until `stack.stop("traffic")`."""
        self._start_clients("traffic", pace, self.ledger)

    def _find_pace(self) -> Pace:
        """Drive the store alone at the full pace, with a ledger of its own, and look how busy the machine is."""
        self._start_clients("calibration", FULL_PACE, self.store.folder / "calibration.jsonl")
        time.sleep(_WARM_UP_S)
        busy = psutil.cpu_percent(interval=_CALIBRATION_S) / 100
        self.store.stack.stop("calibration")
        self.say(f"the store alone keeps the processors busy for {busy:.0%} of the time")
        return fitting_pace(FULL_PACE, busy)

    def _start_clients(self, name: str, pace: Pace, ledger: Path) -> None:
        self.store.stack.add(
            python_program(
                name,
                "legacy_monolith.traffic",
                [
                    *("--base-url", self.store.front_url),
                    *("--seed", str(self.seed)),
                    *("--writes-per-second", str(pace.writes_per_s)),
                    *("--reads-per-second", str(pace.reads_per_s)),
                    *("--duration", str(_TRAFFIC_BOUND_S)),
                    *("--ledger", str(ledger)),
                ],
                autorestart=False,
            )
        )
        self.store.stack.launch(name)

    def strangler(self, *arguments: str) -> str:
        """Run the real command; its standard output. Raises `PromiseBroken` when it fails."""
        done = self._run(arguments, {})
        if done.returncode != 0:
            raise PromiseBroken(
                thing=f"strangler {' '.join(arguments)}",
                reason=f"exit {done.returncode}: {done.stderr.strip()[-1500:]}",
                mend="the story cannot go on; the message says what to mend",
            )
        return done.stdout

    def _run(self, arguments: tuple[str, ...], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli", "--config", str(self.store.config), *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
        )

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self.say(name)
        started_at = self._elapsed()
        yield
        self.phases.append(Phase(name=name, started_at=started_at, seconds=self._elapsed() - started_at))

    def _elapsed(self) -> float:
        return time.monotonic() - self.started


def _transfer(operation: str, result: dict[str, Any], started_at: float, seconds: float) -> Transfer:
    return Transfer.model_validate(
        {
            "kind": operation,
            "started_at": started_at,
            "seconds": seconds,
            "steps": tuple(Step(name=name, seconds=spent) for name, spent in result["steps"].items()),
            "holds": Holds(
                held_requests=result["held_requests"],
                hold_p50_ms=result["hold_p50_ms"],
                hold_p99_ms=result["hold_p99_ms"],
                hold_max_ms=result["hold_max_ms"],
            ),
            "undone_attempts": result["undone_attempts"],
            "undone_hold_ms": result["undone_hold_ms"],
        }
    )
