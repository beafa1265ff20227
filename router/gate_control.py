"""Telling the gate what to do, and seeing that it did: the state file and the gate's status."""

from pathlib import Path

import httpx
from pydantic import ValidationError

from router.errors import BadTable, GateSilent
from router.gate_state import GateMoveStatus, GateState, GateStates, GateStatus, GateWord, parse_states
from router.locked_file import locked
from router.rules import Side, check_name
from strangler.clock import Clock, SystemClock
from strangler.durable_files import replace_file

POLL_S = 0.003


class GateFile:
    """The durable truth about every gate. Writers are serialised; each change is whole and on disk on return."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> GateStates:
        """All gates; none when there is no file. `BadTable` when the file is damaged."""
        try:
            return parse_states(self.path.read_bytes(), str(self.path))
        except FileNotFoundError:
            return GateStates()

    def set(self, move: str, state: GateWord, owner: Side) -> int:
        """Bring one gate into this state; returns the version that has it. Saying it twice changes nothing."""
        check_name(move, what="move")
        with locked(self.path):
            moves = self.read().moves
            before = moves.get(move)
            if before is not None and (before.state, before.owner) == (state, owner):
                return before.version
            version = 1 if before is None else before.version + 1
            self._write({**moves, move: GateState(version=version, state=state, owner=owner)})
            return version

    def remove(self, move: str) -> None:
        """Forget a move. The gate then holds whatever still asks for it."""
        with locked(self.path):
            moves = self.read().moves
            if move in moves:
                self._write({name: state for name, state in moves.items() if name != move})

    def _write(self, moves: dict[str, GateState]) -> None:
        replace_file(self.path, GateStates(moves=moves).model_dump_json(indent=1) + "\n")


class GateClient:
    """What the running gate says of itself."""

    def __init__(self, url: str, clock: Clock | None = None, request_timeout_s: float = 2.0) -> None:
        self._url = url.rstrip("/")
        self._clock = clock or SystemClock()
        self._http = httpx.Client(timeout=request_timeout_s, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def status(self) -> GateStatus:
        """Raises `GateSilent` when it does not answer, or not as a gate."""
        try:
            answer = self._http.get(f"{self._url}/status").raise_for_status()
            return GateStatus.model_validate_json(answer.content)
        except (httpx.HTTPError, ValidationError) as error:
            raise GateSilent(
                thing=f"write gate at {self._url}",
                reason=f"no status: {type(error).__name__}",
                mend="start it with `python -m router.gate`; writes of armed moves wait meanwhile",
            ) from None

    def wait_for(self, move: str, version: int, timeout_s: float) -> GateMoveStatus:
        """Until the gate has taken note of this version (or a later one) of the move; returns its status."""
        deadline = self._clock.monotonic() + timeout_s
        while True:
            silence: GateSilent | None = None
            try:
                status = self.status()
                if (found := status.moves.get(move)) is not None and found.version >= version:
                    return found
            except GateSilent as error:
                silence = error
            if self._clock.monotonic() >= deadline:
                raise silence or GateSilent(
                    thing=f"gate of move {move!r}",
                    reason=f"it did not take note of version {version} in {timeout_s:g} s",
                    mend="look at its log, and that it was started with the same --state file",
                )
            self._clock.sleep(POLL_S)


__all__ = ["BadTable", "GateClient", "GateFile", "GateMoveStatus", "GateState", "GateStates", "GateStatus"]
