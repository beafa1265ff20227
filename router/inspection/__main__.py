"""`python -m router.inspection`: run the inspection plane."""

import asyncio
import json
import logging
import sys
from pathlib import Path

import click

from router.inspection.process import serve
from router.inspection.settings import InspectionSettings, parse_listen
from strangler.errors import StranglerError


@click.command()
@click.option("--listen", default="127.0.0.1:9903", show_default=True, help="HOST:PORT; port 0 takes a free one.")
@click.option("--control", required=True, help="Base URL of the side that answers (legacy).")
@click.option("--candidate", required=True, help="Base URL of the side that is compared (the service).")
@click.option("--record", required=True, type=click.Path(path_type=Path), help="File or folder of the record.")
@click.option("--rules", type=click.Path(path_type=Path), help="Rule file (YAML); re-read when it is replaced.")
@click.option("--move", default="", help="Move to record under, where the request names none.")
@click.option("--max-inflight", default=64, show_default=True, help="Requests shadowed at once; more are dropped.")
@click.option("--max-confirming", default=32, show_default=True, help="Mismatches asked again at once.")
@click.option("--timeout", "timeout_s", default=5.0, show_default=True, help="Seconds for a candidate's answer.")
@click.option("--body-limit", default=1 << 20, show_default=True, help="Bytes of a body that are compared.")
@click.option("--confirm-delays", default="0.1,0.5,2", show_default=True, help="Seconds before each re-check.")
@click.option("--paired-share", default=0.02, show_default=True, help="Share of requests that ask legacy twice.")
@click.option("--seed", type=int, help="Seed of the random choices, to reproduce a run.")
def main(listen: str, confirm_delays: str, **options: object) -> None:
    """Answer with the control, ask the candidate afterwards, compare, record."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        delays = tuple(float(part) for part in confirm_delays.split(","))
    except ValueError:
        raise click.BadParameter("give seconds separated by commas", param_hint="--confirm-delays") from None
    try:
        host, port = parse_listen(listen)
        settings = InspectionSettings(listen_host=host, listen_port=port, confirm_delays_s=delays, **options)  # type: ignore[arg-type]
        asyncio.run(serve(settings))
    except StranglerError as error:
        print(json.dumps(error.as_dict()), file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
