"""`python -m legacy_monolith.seed --scale 1.0 --seed 7` fills the store that `DATABASE_URL` names."""

import argparse
import json
import os
import sys

from legacy_monolith.seed.load import AlreadySeeded, seed_store


def main() -> None:
    """Parse, seed, print the row counts as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m legacy_monolith.seed", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1.0 is about 115,000 catalog rows")
    parser.add_argument("--seed", type=int, default=7, help="the same seed makes the same rows")
    options = parser.parse_args()
    if options.scale <= 0:
        parser.error("--scale must be positive")
    if "DATABASE_URL" not in os.environ:
        sys.exit("DATABASE_URL is not set: give the store's database, e.g. postgresql://user@127.0.0.1/store")
    try:
        counts = seed_store(os.environ["DATABASE_URL"], scale=options.scale, seed=options.seed)
    except AlreadySeeded:
        sys.exit("the store already has products: seed an empty one")
    print(json.dumps(counts))


main()
