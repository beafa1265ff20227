"""`python -m benchmarks [NAME]`: run what is there, print a table, write `benchmarks/results.json`.

Exit code 0 when everything ran, also when a goal is missed; 1 when something failed; 2 for a wrong name.
`STRANGLER_BENCH_SCALE` multiplies all sizes (rows, seconds of load, ping-pongs).
"""

import argparse
import json
import os
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.errors import UnknownBenchmark
from benchmarks.goals import GOALS
from benchmarks.harness import BenchmarkResult, Runs, find_cases, judge, load_case, merged, run_in_turn
from benchmarks.machine import cores_in_use, describe_machine, usable_cores
from sandbox.errors import PartMissing
from strangler.durable_files import replace_file
from strangler.errors import BadInput, ExitCode, StranglerError

RESULTS = Path(__file__).parent / "results.json"
SCALE = "STRANGLER_BENCH_SCALE"
_WIDTH = 150
_QUIET = 0.15
"""Share of the cores in use by others below which the machine counts as quiet."""
_DIRECTIONS = {"higher": "more", "lower": "less"}

_stderr = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(kw_only=True)
class Report:
    """What became of each benchmark."""

    results: list[BenchmarkResult] = field(default_factory=list)
    runs: dict[str, Runs] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def main() -> int:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", help="one benchmark; all when left out")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the results go (default: %(default)s)")
    options = parser.parse_args()
    try:
        names, scale = chosen(options.name), scale_from(os.environ.get(SCALE, "1"))
    except BadInput as error:
        _stderr.print(f"[bold red]error[/] {escape(str(error))}")
        return error.exit_code
    report = run_all(names, scale)
    print_table(names, report)
    before = json.loads(options.output.read_text()) if options.output.exists() else []
    entries = merged(before, report.results, keep_others=options.name is not None)
    replace_file(options.output, json.dumps(entries, indent=1) + "\n")
    return ExitCode.PROMISE_BROKEN if report.failed else ExitCode.OK


def chosen(name: str | None) -> list[str]:
    """Every known benchmark, or the one that is asked for. Raises `UnknownBenchmark`."""
    if name is None:
        return list(GOALS)
    if name not in GOALS:
        raise UnknownBenchmark(
            thing=f"benchmark {name!r}", reason="there is none of that name", mend=f"use one of: {', '.join(GOALS)}"
        )
    return [name]


def scale_from(text: str) -> float:
    """The factor for all sizes. Raises `BadInput` unless it is a positive number."""
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale < 1e6:
        raise BadInput(thing=SCALE, reason=f"{text!r} is not a positive number", mend="set it to 1, or leave it out")
    return scale


def run_all(names: list[str], scale: float) -> Report:
    """Each in turn. One that fails does not stop the others."""
    report, machine, there = Report(), describe_machine(), find_cases()
    for name in names:
        if name not in there:
            _missing(report, name, "not written yet")
            continue
        busy = cores_in_use()
        _stderr.print(f"[bold]{name}[/]: {GOALS[name].what} (cores in use by others: {busy:.2f})")
        try:
            with load_case(name)(scale) as case:
                runs = run_in_turn(case, monotonic=time.monotonic, said=lambda text: _stderr.print(f"  {text}"))
                report.results.append(judge(name, GOALS[name], runs, unit=case.unit, machine=machine))
                report.runs[name], report.notes[name] = runs, [*case.notes(), *busy_note(busy, usable_cores())]
        except (PartMissing, ModuleNotFoundError) as error:
            _missing(report, name, str(error))
        except StranglerError as error:
            _failed(report, name, "\n".join([str(error), *getattr(error, "__notes__", ())]))
        except Exception as error:  # noqa: BLE001 — the next benchmark runs all the same; this one is reported as failed
            _failed(report, name, f"{type(error).__name__}: {error}")
            traceback.print_exc()
    return report


def busy_note(in_use: float, cores: int) -> list[str]:
    """What to think of numbers that were measured beside other work."""
    if in_use < _QUIET * cores:
        return []
    return [f"the machine was busy before it began ({in_use:.1f} of {cores} cores): measure again when it is not"]


def print_table(names: list[str], report: Report) -> None:
    """One line a benchmark, and the notes below."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    table = Table(
        "benchmark", "ours", "reference", "ratio", "goal", "met", "runs", "spread", "unit", header_style="bold"
    )
    results = {result.name: result for result in report.results}
    for name in names:
        if name in results:
            table.add_row(*_cells(results[name], report.runs[name]))
        else:
            why = "failed" if name in report.failed else "missing"
            table.add_row(name, "", "", "", f"{GOALS[name].ratio:g}", why, "", "", "")
    console.print(table)
    for name, notes in report.notes.items():
        for note in notes:
            console.print(f"{name}: {note}", markup=False)


def _cells(result: BenchmarkResult, runs: Runs) -> tuple[str, ...]:
    spread = (max(runs.ours) - min(runs.ours)) / result.ours
    return (
        result.name,
        f"{result.ours:,.6g}",
        f"{result.reference:,.6g}",
        f"{result.ratio:.3g}",
        f"{result.goal:g}",
        "[green]yes[/]" if result.met else "[red]no[/]",
        str(result.runs),
        f"{spread:.0%}",
        f"{escape(result.unit)} ({_DIRECTIONS[result.better]} is better)",
    )


def _missing(report: Report, name: str, reason: str) -> None:
    report.missing[name] = reason
    _stderr.print(f"{name} is left out: {reason}", markup=False)


def _failed(report: Report, name: str, reason: str) -> None:
    report.failed[name] = reason
    _stderr.print(f"{name} failed: {reason}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
