"""The `strangler` command: assembles the groups and turns errors into exit codes."""

import json
import sys
from pathlib import Path

import click

from commands.context import Context
from commands.lazy import LazyGroup
from commands.output import print_error
from strangler.errors import ExitCode, StranglerError

_COMMANDS = {
    "assess": "commands.assess:assess_command",
    "boundaries": "commands.boundaries:boundaries_group",
    "cdc": "commands.cdc:cdc",
    "complete": "commands.move:complete",
    "cutover": "commands.move:cutover",
    "demo": "commands.demo:demo",
    "diff": "commands.diff:diff",
    "doctor": "commands.doctor:doctor",
    "gather": "commands.gather:gather_group",
    "parked": "commands.parked:parked",
    "pause": "commands.move:pause",
    "plan": "commands.plan:plan",
    "resume": "commands.move:resume",
    "rollback": "commands.move:rollback",
    "route": "commands.route:route",
    "run": "commands.move:run",
    "status": "commands.move:status",
    "up": "commands.up:up",
    "verify": "commands.verify:verify",
}


@click.group(cls=LazyGroup, where=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="strangler")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("strangler.toml"),
    show_default=True,
    help="Where your databases, services and ports are named.",
)
@click.pass_context
def strangler(click_context: click.Context, config: Path) -> None:
    """Take a service and its tables out of a monolith, live, with a way back at every moment.

    Exit codes: 0 done · 1 a check or promise did not hold · 2 bad input · 3 refused, nothing touched · 4 a part does
    not answer · 130 interrupted.
    """
    click_context.obj = Context(config_path=config)


def main() -> None:
    """Entry point. Every error becomes one message on stderr and its documented exit code."""
    try:
        strangler.main(standalone_mode=False)
    except StranglerError as error:
        if "--json" in sys.argv:
            print(json.dumps(error.as_dict()), file=sys.stderr)
        else:
            print_error(error)
        sys.exit(error.exit_code)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.BAD_INPUT)
    except (KeyboardInterrupt, click.Abort):
        print("interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    main()
