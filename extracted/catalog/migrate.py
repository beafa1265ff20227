"""`python -m extracted.catalog.migrate [--down-to REVISION]`: the catalog's schema at `DATABASE_URL`."""

import argparse

from extracted.chassis.migration import downgrade, upgrade
from extracted.chassis.settings import load_settings

PACKAGE = "extracted.catalog"


def main() -> None:
    """Up to the newest revision, or down to a named one."""
    parser = argparse.ArgumentParser(prog="python -m extracted.catalog.migrate", description=__doc__)
    parser.add_argument(
        "--down-to", metavar="REVISION", help="take the schema back to this revision (base: to nothing)"
    )
    arguments = parser.parse_args()
    database_url = load_settings().database_url
    if arguments.down_to:
        downgrade(PACKAGE, database_url, arguments.down_to)
    else:
        upgrade(PACKAGE, database_url)


if __name__ == "__main__":
    main()
