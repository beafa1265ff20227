"""`python -m benchmarks.crash_suite --kills 200 --seed N`: kill -9 of everything under load, and equal afterwards.

`--fresh N` begins with new servers, and so with a new copy, after every N kills. A failure names seed and round; repeat
it with `--seed`, `--first` and `--kills 1`.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence

from benchmarks.crash.suite import CrashCounts, CrashSuite
from sandbox.leftovers import make_folder, remove_folder
from strangler.errors import ExitCode, StranglerError


def run(
    *,
    kills: int,
    seed: int,
    first: int = 0,
    fresh: int = 40,
    say: Callable[[str], None],
    keep: bool = False,
    kafka: bool = False,
) -> CrashCounts:
    """`kills` rounds from `first` on. Raises what `benchmarks.crash.errors` has; counts so far are then said."""
    counts = CrashCounts()
    started = time.monotonic()
    done = 0
    while done < kills:
        folder = make_folder()
        failed = True
        try:
            with CrashSuite(folder, seed, say, kafka=kafka) as suite:
                suite.counts = counts
                for number in range(first + done, first + min(kills, done + fresh)):
                    suite.round(number)
                    done += 1
                suite.finish()
            failed = False
        finally:
            counts.seconds = time.monotonic() - started
            if keep and failed:
                say(f"kept: {folder}")
            else:
                remove_folder(folder)
    return counts


def summary(counts: CrashCounts) -> str:
    """For docs/measurements.md."""
    waited = sorted(counts.catch_up_s) or [0.0]
    lines = [
        f"{counts.total} kills in {counts.seconds:.0f} s, {counts.transactions} transactions of ours committed, "
        f"{counts.connections_lost} connections of writers lost, worker ended by itself {counts.worker_exits} times",
        f"{counts.while_copying} of the kills while tables were copied; "
        f"catch-up p50 {statistics.median(waited):.2f} s, max {waited[-1]:.2f} s; {counts.rows} rows equal at the end",
        *(f"  {count:4d} × {victim}" for victim, count in counts.kills.most_common()),
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--fresh", type=int, default=40, help="rounds between new servers")
    parser.add_argument("--kafka", action="store_true", help="the change log on Apache Kafka, a victim too")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a failure")
    given = parser.parse_args(arguments)
    try:
        counts = run(
            kills=given.kills,
            seed=given.seed,
            first=given.first,
            fresh=given.fresh,
            keep=given.keep,
            kafka=given.kafka,
            say=lambda text: print(text, flush=True),
        )
    except StranglerError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(summary(counts))
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
