"""The toolkit, as a person at a terminal uses it: its commands, in a process of their own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strangler.errors import PromiseBroken

TOP = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Toolkit:
    """Runs `strangler` in `folder`, where strangler.toml and what the commands write lie. `transcript` keeps it all."""

    folder: Path
    transcript: Path

    def run(self, *arguments: str, timeout_s: float = 600, may_fail: bool = False) -> str:
        """Standard output. Raises `PromiseBroken` with what it said when it fails, unless it may."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        with self.transcript.open("a", encoding="utf-8") as file:
            file.write(f"$ strangler {' '.join(arguments)}\n{done.stdout}{done.stderr}[exit {done.returncode}]\n\n")
        if done.returncode != 0 and not may_fail:
            raise PromiseBroken(
                thing=f"strangler {' '.join(arguments)}",
                reason=f"exit {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}",
                mend=f"read {self.transcript}",
            )
        return done.stdout

    def read(self, *arguments: str) -> Any:
        """The JSON of a read command, whatever its exit code says."""
        return json.loads(self.run(*arguments, "--json", may_fail=True))

    @staticmethod
    def command(*arguments: str) -> list[str]:
        """What to execute, from any folder."""
        return [sys.executable, "-m", "cli", *arguments]

    @staticmethod
    def environment(**more: str) -> dict[str, str]:
        """The toolkit is found wherever the command runs."""
        path = os.pathsep.join(filter(None, (str(TOP), os.environ.get("PYTHONPATH"))))
        return {**os.environ, "PYTHONPATH": path, **more}
