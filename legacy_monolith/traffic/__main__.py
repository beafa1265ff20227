"""`python -m legacy_monolith.traffic --base-url http://… --ledger FILE.jsonl` drives the store until it is stopped."""

import argparse
import asyncio
import importlib.util
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from legacy_monolith.traffic.bootstrap import BootstrapFailed
from legacy_monolith.traffic.driver import TrafficSettings, run_traffic
from legacy_monolith.traffic.profiles import PROFILES
from legacy_monolith.traffic.shop import SCOPES


def main() -> None:
    """Parse, drive, print the summary as one line of JSON."""
    settings = _settings(_parser().parse_args())
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            summary = runner.run(_until_signalled(settings))
    except BootstrapFailed as error:
        sys.exit(f"traffic did not start: {error}")
    print(json.dumps(summary), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m legacy_monolith.traffic", description=__doc__)
    parser.add_argument("--base-url", required=True, help="where the store answers, e.g. http://127.0.0.1:8000")
    parser.add_argument("--ledger", required=True, type=Path, help="file to write, JSON lines")
    parser.add_argument("--seed", type=int, default=7, help="what is done, and when, follows from it")
    parser.add_argument("--run", help="part of every name that is made; default: from the time of day")
    parser.add_argument("--writes-per-second", type=float, default=200.0)
    parser.add_argument("--reads-per-second", type=float, default=100.0)
    parser.add_argument("--duration", type=float, default=float("inf"), help="seconds; default: until stopped")
    parser.add_argument("--profile", choices=PROFILES, default="steady")
    parser.add_argument(
        "--scope",
        choices=SCOPES,
        default="catalog",
        help="catalog: mostly the endpoints that move with the catalog; shop: every endpoint, as often as a shop would",
    )
    parser.add_argument("--max-in-flight", type=int, default=512)
    return parser


def _settings(options: argparse.Namespace) -> TrafficSettings:
    return TrafficSettings(
        base_url=options.base_url,
        seed=options.seed,
        run=options.run or f"{options.seed}x{time.time_ns() // 1_000_000:x}",
        writes_per_second=options.writes_per_second,
        reads_per_second=options.reads_per_second,
        duration_s=options.duration,
        profile=options.profile,
        ledger=options.ledger,
        scope=options.scope,
        max_in_flight=options.max_in_flight,
    )


async def _until_signalled(settings: TrafficSettings) -> dict[str, Any]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return await run_traffic(settings, stop)


def _loop_factory() -> Any:
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop


main()
