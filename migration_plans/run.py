"""The context of one command on one move: parts, journal fold, narration. The operations act through it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from migration_plans.errors import Busy
from migration_plans.gates import GateDecision
from migration_plans.phases import PhaseEvent, next_phase
from migration_plans.plan import Plan
from migration_plans.progress import Progress, fold
from migration_plans.transfer import Parts


class Narrator(Protocol):
    """Tells a person what happens. Never decides anything."""

    def say(self, text: str) -> None: ...

    def progress(self, label: str, done: float, total: float) -> None: ...


class Silent:
    """A narrator for tests and for `--json`."""

    def say(self, text: str) -> None:
        pass

    def progress(self, label: str, done: float, total: float) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class Run:
    """One command's view of a move. Hold `runner_lock.exclusive` around every use that writes."""

    parts: Parts
    folder: Path
    narrator: Narrator = field(default_factory=Silent)

    @property
    def plan(self) -> Plan:
        return self.parts.plan

    def progress(self) -> Progress:
        return fold(self.parts.journal.entries())

    def advance(self, event: PhaseEvent) -> None:
        """Journal a phase change; raises `WrongPhase` when the table has no such edge."""
        phase = next_phase(self.progress().phase, event)
        self.parts.journal.append("phase", event=str(event), phase=str(phase))
        self.narrator.say(f"phase: {phase}")

    def check(self, event: PhaseEvent) -> None:
        """Raise `WrongPhase` now if `event` would be refused later."""
        next_phase(self.progress().phase, event)

    def refuse_if_open(self) -> None:
        """A half-done transfer must be settled before anything else."""
        opened = self.progress().open_operation
        if opened is not None:
            raise Busy(
                thing=f"{opened.operation} of {self.plan.move}",
                reason=f"was interrupted at step {opened.last_step}",
                mend=f"run `strangler resume {self.plan.move}`",
            )

    def refuse_if_ending(self, verb: str | None = None) -> None:
        """Once the streams are being dropped, only the verb that began it may go on."""
        ending = self.progress().ending
        if ending is not None and ending != verb:
            command = "complete" if ending == "complete" else "rollback"
            raise Busy(
                thing=f"move {self.plan.move}",
                reason=f"`{command}` was interrupted while it dropped the streams",
                mend=f"run `strangler {command} {self.plan.move}` again; it goes on where it stopped",
            )

    def record(self, decision: GateDecision) -> None:
        self.parts.journal.append(
            "gate", gate=decision.gate, verdict=str(decision.verdict), reason=decision.reason, mend=decision.mend
        )

    def wait_until(self, ready: Callable[[], bool], *, every_s: float, timeout_s: float | None = None) -> bool:
        """Poll `ready`, pausing while the move is paused; False after `timeout_s` unpaused seconds."""
        clock = self.parts.clock
        waited_s = 0.0
        while self.paused() or not ready():
            if timeout_s is not None and waited_s >= timeout_s:
                return False
            clock.sleep(every_s)
            waited_s += 0.0 if self.paused() else every_s
        return True

    def paused(self) -> bool:
        return self._pause_flag.exists()

    def pause(self) -> None:
        """Stop advancing from the next check on; what is in force stays in force."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._pause_flag.touch()

    def unpause(self) -> None:
        self._pause_flag.unlink(missing_ok=True)

    @property
    def _pause_flag(self) -> Path:
        return self.folder / "paused"


def note(run: Run, kind: str, **data: Any) -> None:
    """Journal a plain fact."""
    run.parts.journal.append(kind, **data)
