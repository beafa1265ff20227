"""`strangler gather`: facts about a monolith from what there is of it."""

import json
import secrets
from pathlib import Path

import click

from commands.gather_record import record_command
from commands.output import json_option, print_facts, print_json, stderr
from migration_plans.gather.exchanges import recorded_or_written
from migration_plans.gather.gathering import GatherSettings, gather
from migration_plans.gather.replay import ReplaySettings, replay
from migration_plans.gather.server_log import DEFAULT_PREFIX
from strangler.durable_files import replace_file
from strangler.errors import BadInput

_FILES = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.group("gather")
def gather_group() -> None:
    """Gather facts for `strangler assess`: from schema, statements, requests and code."""


gather_group.add_command(record_command)


@gather_group.command("facts")
@click.option("--source", help="URL of the monolith's database; read only, and never its rows but to prove keys.")
@click.option(
    "--log",
    "logs",
    type=_FILES,
    multiple=True,
    help="PostgreSQL's csvlog, jsonlog or stderr; MySQL's general or slow log.",
)
@click.option("--log-prefix", default=DEFAULT_PREFIX, show_default=True, help="log_line_prefix, for stderr logs.")
@click.option("--log-timezone", help="log_timezone of the server; default: asked of --source, else UTC.")
@click.option("--log-database", help="Only entries of this database; default: that of --source.")
@click.option("--requests", type=_FILES, multiple=True, help="Recorded requests: HAR, or JSON lines.")
@click.option("--code", type=_FOLDER, multiple=True, help="Folder of Python code; read, never run.")
@click.option("--dialect", type=click.Choice(["postgres", "mysql"]), default="postgres", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The facts document.")
@json_option
def facts_command(
    source: str | None,
    logs: tuple[Path, ...],
    log_prefix: str,
    log_timezone: str | None,
    log_database: str | None,
    requests: tuple[Path, ...],
    code: tuple[Path, ...],
    dialect: str,
    out: Path,
    as_json: bool,
) -> None:
    """Merge all that is given into one facts document.

    \b
    Example: strangler gather facts --source postgresql://… --log postgresql.csv --requests run.jsonl --out facts.json
    """
    settings = GatherSettings(
        source=source,
        logs=logs,
        log_prefix=log_prefix,
        log_timezone=log_timezone,
        log_database=log_database,
        requests=requests,
        code=code,
        dialect="mysql" if dialect == "mysql" else "postgres",
    )
    document = gather(settings, say=stderr.print)
    replace_file(out, document.as_json() + "\n")
    gathered = document.gathering
    by_evidence: dict[str, int] = {}
    for one in document.functionalities.values():
        by_evidence[one.evidence] = by_evidence.get(one.evidence, 0) + 1
    summary = {
        "tables": len(document.tables or {}),
        "foreign_keys": sum(not key.inferred for key in document.foreign_keys),
        "inferred_keys": sum(key.inferred for key in document.foreign_keys),
        "functionalities": len(document.functionalities),
        **{f"by {evidence}": count for evidence, count in sorted(by_evidence.items())},
        "not_understood": len(gathered.not_understood),
        "ambiguous_transactions": gathered.ambiguous_transactions,
    }
    if as_json:
        print_json(summary | {"out": str(out)})
    else:
        print_facts(summary)
        for notice in gathered.notices:
            stderr.print(notice)
        for problem in gathered.not_understood[:10]:
            stderr.print(f"not understood: {problem.what[:120]} ({problem.why})", markup=False)


@gather_group.command("replay")
@click.option("--requests", type=_FILES, required=True, help='Recorded (--bodies, HAR), or lines {"method", "path"}.')
@click.option("--url", required=True, help="Where the monolith answers: a copy of it, for requests write.")
@click.option("--source", help="URL of its database, to mark requests in its log; else they are told apart by time.")
@click.option("--secrets", "secrets_file", type=_FILES, help='JSON {"hidden-…": "secret"} for what a record hides.')
@click.option(
    "--pause",
    "settle_s",
    type=click.FloatRange(0, 3600),
    default=5.0,
    show_default=True,
    help="Seconds that the database has at most to become quiet; without --source, between two requests.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The recorded requests.")
@json_option
def replay_command(
    requests: Path,
    url: str,
    source: str | None,
    secrets_file: Path | None,
    settle_s: float,
    out: Path,
    as_json: bool,
) -> None:
    """Play requests one at a time while the server logs statements (log_statement = all).

    Where an answer of a recorded run held an id, a cookie or a token that a later request used, the later request gets
    what the answer holds now.

    \b
    Example: strangler gather replay --requests list.jsonl --url http://127.0.0.1:8000 --source URL --out run.jsonl
    """

    def say(text: str) -> None:
        stderr.print(text, markup=False)

    known = {} if secrets_file is None else _secrets(secrets_file)
    plays = recorded_or_written(_read(requests), thing=str(requests), known=known, say=say)
    settings = ReplaySettings(base_url=url, out=out, run=secrets.token_hex(4), database=source, settle_s=settle_s)
    done = replay(plays, settings, say=say)
    summary = {"requests": done.requests, "refused": done.refused, "restless": done.restless}
    if as_json:
        print_json(summary | {"out": str(out)})
    else:
        print_facts(summary)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(thing=str(path), reason=f"not UTF-8: {error.reason}", mend="save it as UTF-8") from None


def _secrets(path: Path) -> dict[str, str]:
    try:
        given = json.loads(_read(path))
    except ValueError:
        given = None
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise BadInput(
            thing=str(path), reason="is no JSON object of strings", mend='write {"hidden-…": "the secret"} there'
        )
    return given
