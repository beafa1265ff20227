"""`python -m examples.django_oscar`: all of it. Exit code 0 only when everything held."""

import argparse
import sys
import time
from pathlib import Path

from examples.django_oscar.shop_stack import HERE
from examples.django_oscar.story import Story, tell
from sandbox.supervision import Stack
from strangler.errors import StranglerError


def main() -> int:
    """Tell the story; what it wrote stays in `--out`."""
    parser = argparse.ArgumentParser(prog="python -m examples.django_oscar", description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "out", help="facts, assessment, plan, transcript")
    parser.add_argument("--products", type=int, default=400)
    parser.add_argument(
        "--rounds", type=int, default=2, help="how often each client goes on every errand while recorded"
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--until", choices=["assessed", "planned", "verified"], default="verified")
    options = parser.parse_args()
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {text}", file=sys.stderr, flush=True)

    story = Story(
        out=options.out.resolve(), products=options.products, rounds=options.rounds, seed=options.seed, say=say
    )
    try:
        with Stack() as stack:
            tell(story, stack, until=options.until)
    except StranglerError as error:
        print(f"{error.thing}: {error.reason}\n  {error.mend}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
